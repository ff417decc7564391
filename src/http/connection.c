// SPDX-License-Identifier: MIT
// One HTTP/1.1 connection. See connection.h.
#include "http/connection.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "http/connection_inner.h"
#include "http/idle.h"
#include "http/target.h"
#include "io/block.h"
#include "io/stream_lua.h"

#define TRUST ((size_t)1 << 20)  // memory reserved on the word of the peer
#define KEEP ((size_t)16 << 10)  // a body buffer of up to this stays with the connection
#define BLOCK_SECONDS 0.25       // for what follows the first bytes in a block
#define NS 1e9

static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
static const http_timing no_timing = {-1, -1, -1};

void http_connection_init(http_connection *c, stream *s, http_kind kind,
                          const http_limits *limits) {
  c->s = s;
  s->answered = 1;
  http_parser_init(&c->p, kind, limits);
  buffer_init(&c->body);
  c->whole = (http_text){NULL, 0};
  c->block = NULL;
  list_init(&c->idle);
  c->idles_in = NULL;
  c->take = NULL;
  c->request = NULL;
  c->idle_since = 0;
  c->pause = 0;
  c->timing = no_timing;
  c->until = c->head_until = c->call_until = TIMER_NEVER;
  c->sent_at = c->answered_at = 0;
  c->sent = c->untaken = 0;
  c->parts = 0;
  c->send_rc = 0;
  c->in_pieces = c->until_go_on = 0;
  c->busy = c->answered = c->out_of_step = c->receive_next = 0;
  c->go_on_due = c->offers = 0;
  c->part = HTTP_PART_WHOLE;
}

void http_connection_close(http_connection *c) {
  if (!c->s) return;
  http_idle_remove(c);
  if (!c->s->closed) stream_close(c->s, 0);
}

void http_connection_end(http_connection *c) {
  if (!c->s->out)
    http_connection_close(c);
  else if (c->s->reader)
    wait_expire(c->s->h.r, c->s->reader);
}

stream *http_connection_take(http_connection *c) {
  stream *s = c->s;
  http_idle_remove(c);
  c->s = NULL;
  http_parser_fini(&c->p);
  buffer_fini(&c->body);
  return s;
}

void http_connection_cool(http_connection *c) {
  http_limits limits = c->p.limits;
  http_kind kind = c->p.kind;
  stream_trim(c->s);
  if (c->busy) return;
  buffer_trim(&c->body, 0);
  if (!c->p.block) return;
  http_parser_fini(&c->p);
  http_parser_init(&c->p, kind, &limits);
}

void http_connection_fini(http_connection *c) {
  if (!c->s) return;
  http_connection_close(c);
  stream_unref(http_connection_take(c));
}

void http_connection_pause(http_connection *c, double seconds) {
  c->pause = seconds < 0 || seconds >= 1e9 ? 0 : seconds * NS < 1 ? 1 : (uint64_t)(seconds * NS);
}

void http_connection_limit(http_connection *c, double pause, double total) {
  http_connection_pause(c, pause);
  c->until = total >= 0 ? timer_after(c->s->h.r, total) : TIMER_NEVER;
}

int http_connection_has_more(const http_connection *c) {
  size_t n;
  const stream *s = c->s;
  stream_peek(s, &n);
  return n || (s->t->read_now && s->t->read_now(c->s, NULL, 0) > 0);
}

int http_connection_is_reusable(const http_connection *c) {
  size_t n = 0;
  if (!c->s || c->busy || c->s->closed || stream_end(c->s) || c->s->out) return 0;
  stream_peek(c->s, &n);
  return n == 0;  // bytes nobody asked for: out of step
}

// The instant when the message, or the call, must be over.
static uint64_t limit(const http_connection *c) {
  uint64_t last = c->until < c->head_until ? c->until : c->head_until;
  return c->call_until < last ? c->call_until : last;
}

// The instant when waiting any longer is too long.
static uint64_t patience(const http_connection *c) {
  uint64_t last = limit(c);
  if (!c->pause) return last;
  uint64_t when = timer_now(c->s->h.r) + c->pause;
  return when < last ? when : last;
}

// The same when one wait has passed: a peer that is sent a body need not have said anything yet.
static uint64_t more_patience(const http_connection *c) {
  uint64_t last = limit(c), when = c->sent_at ? c->sent_at + c->pause : 0;
  if (c->in_pieces) when = timer_now(c->s->h.r) + c->pause;
  return when < last ? when : last;
}

// The same for a client that sends no request for too long: as long as it takes what is left of the
// answer before, it does not idle, and may pause as within any answer.
static uint64_t patience_with_taker(http_connection *c) {
  size_t queued = stream_queued(c->s), before = c->untaken;
  if (c->p.kind == HTTP_KIND_RESPONSE || c->answered || c->timing.pause < 0) return 0;
  c->untaken = queued ? queued : SIZE_MAX;
  if (queued && queued >= before) c->send_rc = UV_ETIMEDOUT;
  if (queued) return queued < before ? timer_after(c->s->h.r, c->timing.pause) : 0;
  return before < SIZE_MAX ? timer_now(c->s->h.r) + c->pause : 0;  // it has idled since then only
}

// --- Failures --------------------------------------------------------------------------------

// Say whether the connection ended. TLS says UV_EPROTO, when the peer does not say goodbye.
static int is_end(int rc) {
  return rc == UV_EOF || rc == UV_ECONNRESET || rc == UV_EPIPE || rc == UV_ECONNABORTED ||
         rc == UV_EPROTO;
}

// Push nil, the error on top, the status for a server, and whether the peer had gone unanswered.
static int give_up(lua_State *L, const http_connection *c, int status, int rc) {
  lua_pushnil(L);
  lua_insert(L, -2);
  lua_pushinteger(L, status);
  lua_pushboolean(L, is_end(rc) && !c->answered);
  return 4;
}

static int fail_eof(lua_State *L, const http_connection *c, const char *message, int status) {
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  err_push(L, "EOF", "read", target, "%s", message);
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "retryable");
  return give_up(L, c, status, UV_EOF);
}

int http_connection_fail(lua_State *L, const http_connection *c, int rc, const char *op) {
  if (rc == UV_EOF) return fail_eof(L, c, "the connection was closed without an answer", 0);
  stream_fail(L, c->s, rc, op);
  lua_remove(L, -2);
  return give_up(L, c, rc == UV_ETIMEDOUT && c->answered ? 408 : 0, rc);
}

static int is_too_large(const http_parser *p) {
  switch ((http_error)p->error) {
    case HTTP_E_HEAD_SIZE:
    case HTTP_E_HEADER_COUNT:
    case HTTP_E_TARGET_LENGTH:
    case HTTP_E_BODY_SIZE:
    case HTTP_E_CHUNK_OVERHEAD:
    case HTTP_E_TRAILER_SIZE: return 1;
    default: return 0;
  }
}

// The parser has refused the message.
static int refuse(lua_State *L, const http_connection *c) {
  const http_parser *p = &c->p;
  if (p->error == HTTP_E_NO_MEMORY) return http_connection_fail(L, c, UV_ENOMEM, "read");
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  const char *code = is_too_large(p) ? "EMSGSIZE" : "EPROTO", *why = http_parser_error(p);
  if (p->error == HTTP_E_BODY_SIZE)
    err_push(L, code, "read", target, "%s of %I bytes", why, (LUAI_UACINT)p->limits.body);
  else
    err_push(L, code, "read", target, "%s", why);
  return give_up(L, c, http_parser_error_status(p), 0);
}

static int refuse_upgrade(lua_State *L, const http_connection *c) {
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  err_push(L, "EPROTO", "read", target, "the peer switched to a protocol that nobody asked for");
  return give_up(L, c, 0, 0);
}

// --- Receiving -------------------------------------------------------------------------------

// After a message that is complete.
int http_connection_keeps(const http_connection *c) {
  return http_parser_keepalive(&c->p) && c->send_rc == 0 && !c->in_pieces && !c->out_of_step;
}

// The block that the piece is gathered in which is waited for.
static block *block_of(const http_connection *c) {
  return c->part == HTTP_PART_PIECE ? c->block : NULL;
}

// Push what was gathered of the body, and take it out of the buffer. The block is the argument
// behind the seconds.
static void push_body(lua_State *L, http_connection *c) {
  if (block_of(c))
    lua_pushvalue(L, 3);
  else if (c->whole.s)
    lua_pushlstring(L, c->whole.s, c->whole.n);
  else
    bytes_take(L, &c->body, buffer_len(&c->body), 0);
}

static void forget_body(http_connection *c) {
  c->block = NULL;
  c->whole = (http_text){NULL, 0};
  buffer_trim(&c->body, KEEP);
}

// Push the content codings of a response, nil when there are none.
static void push_codings(lua_State *L, const http_parser *p) {
  static const char name[] = "content-encoding";
  uint32_t i = 0;
  http_text value = http_parser_find(p, name, sizeof name - 1, &i);
  if (!value.s) {
    lua_pushnil(L);
    return;
  }
  lua_pushlstring(L, value.s, value.n);
  while (i++, value = http_parser_find(p, name, sizeof name - 1, &i), value.s) {
    lua_pushliteral(L, ",");
    lua_pushlstring(L, value.s, value.n);
    lua_concat(L, 3);
  }
}

static void push_answered(lua_State *L, const http_connection *c) {
  lua_pushnumber(L, (double)(int64_t)(c->answered_at - rt_of(L)->started) / NS);
}

// Push the header lines, and the body if all of it has come.
static void push_content(lua_State *L, http_connection *c, int has_body) {
  const http_parser *p = &c->p;
  int has_trailers = has_body && p->head.framing == HTTP_BODY_CHUNKED;
  uint32_t end = has_trailers ? p->trailers : p->block_len;
  lua_pushlstring(L, p->block + p->head.start_len, end - p->head.start_len);
  if (!has_body)
    lua_pushnil(L);
  else if (p->head.framing == HTTP_BODY_NONE)
    lua_pushliteral(L, "");
  else
    push_body(L, c);
}

static int push_response(lua_State *L, http_connection *c) {
  luaL_checkstack(L, 10, NULL);
  lua_pushinteger(L, c->p.head.status);
  push_content(L, c, 1);
  lua_pushboolean(L, http_connection_keeps(c));
  push_codings(L, &c->p);
  push_answered(L, c);
  return 6;
}

static void push_request(lua_State *L, http_connection *c, int has_body) {
  http_text method = http_parser_method(&c->p), target = http_parser_target(&c->p);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_pushlstring(L, method.s, method.n);
  lua_pushlstring(L, target.s, target.n);
  http_target_push_path(L);
  push_content(L, c, has_body);
}

static int push_head(lua_State *L, const http_connection *c) {
  const http_parser *p = &c->p;
  luaL_checkstack(L, 8, NULL);
  lua_pushinteger(L, p->head.status);
  lua_pushlstring(L, p->block + p->head.start_len, p->block_len - p->head.start_len);
  if (p->head.framing == HTTP_BODY_NONE)
    lua_pushinteger(L, 0);
  else if (p->head.framing == HTTP_BODY_LENGTH)
    lua_pushinteger(L, (lua_Integer)p->head.length);
  else
    lua_pushnil(L);
  push_codings(L, p);
  push_answered(L, c);
  return 5;
}

static int push_piece(lua_State *L, http_connection *c, int is_last) {
  luaL_checkstack(L, 8, NULL);
  push_body(L, c);
  lua_pushboolean(L, is_last);
  lua_pushboolean(L, is_last && http_connection_keeps(c));
  return 3;
}

// The bytes that may be parsed before a piece is given.
static size_t room(const http_connection *c) {
  const block *b = block_of(c);
  return b ? b->capacity - b->n : SIZE_MAX;
}

static int has_gathered(const http_connection *c) {
  const block *b = block_of(c);
  return b ? b->n > 0 : c->whole.s || buffer_len(&c->body);
}

// Add a span to the block, in which there is room for it. Those that follow the first may take
// their time, but not as long as they like: a slow peer's bytes are wanted too.
static int fill(http_connection *c, block *b) {
  const http_parser *p = &c->p;
  uint64_t until = timer_after(c->s->h.r, BLOCK_SECONDS);
  if (!b->n && until < c->call_until) c->call_until = until;
  memcpy(b->data + b->n, p->body.s, p->body.n);
  b->n += p->body.n;
  return 0;
}

// Add a span to the piece that will be given. The first stays in the stream's buffer.
static int gather(http_connection *c) {
  const http_parser *p = &c->p;
  if (c->block) return fill(c, c->block);
  if (!c->whole.s && !buffer_len(&c->body)) {
    c->whole = p->body;
    return 0;
  }
  if (c->whole.s && buffer_append(&c->body, c->whole.s, c->whole.n) < 0) return UV_ENOMEM;
  c->whole.s = NULL;
  return buffer_append(&c->body, p->body.s, p->body.n) < 0 ? UV_ENOMEM : 0;
}

// Keep a span of the body. A whole one stays in the stream's buffer until it becomes a string.
static int take_body(http_connection *c) {
  const http_parser *p = &c->p;
  if (c->part == HTTP_PART_PIECE) return gather(c);
  if (p->head.framing == HTTP_BODY_LENGTH && p->body.n == p->head.length) {
    c->whole = p->body;
    return 0;
  }
  if (!buffer_len(&c->body)) {
    int is_known = p->head.framing == HTTP_BODY_LENGTH && p->head.length <= TRUST;
    size_t n = is_known ? (size_t)p->head.length : p->body.n;
    if (buffer_begin(&c->body, bytes_head(c->s->h.r), n + BYTES_TAIL) < 0) return UV_ENOMEM;
  }
  return buffer_append(&c->body, p->body.s, p->body.n) < 0 ? UV_ENOMEM : 0;
}

// The head is complete; `more` bytes of what follows have come with it.
static void take_head(http_connection *c, size_t more) {
  c->head_until = TIMER_NEVER;
  c->go_on_due = c->p.kind == HTTP_KIND_REQUEST && c->p.head.expect_continue && !more;
}

// The body is wanted now: let a client go on that waits for that.
static void let_go_on(http_connection *c) {
  if (!c->go_on_due) return;
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t)go_on, sizeof go_on - 1);
  c->go_on_due = 0;
  if (!c->s->out_rc) stream_write(c->s, &buf, 1);  // a failure shows when the answer is written
}

// The message is complete: give it, or the last piece, and drop `used` bytes that it came in.
static int complete(lua_State *L, http_connection *c, size_t used) {
  int is_request = c->p.kind == HTTP_KIND_REQUEST, is_piece = c->part == HTTP_PART_PIECE, n = 0;
  if (is_piece)
    n = push_piece(L, c, 1);
  else if (is_request)
    push_request(L, c, 1);
  else
    n = push_response(L, c);
  stream_consume(c->s, used);
  forget_body(c);
  c->busy = 0;
  if (is_request) c->until = TIMER_NEVER;  // answering takes its own time
  return is_request && !is_piece ? c->take(L, c) : n;
}

// What has come was parsed: give the piece that it made, if it made one.
static int give_piece(lua_State *L, http_connection *c, size_t used) {
  int n = has_gathered(c) ? push_piece(L, c, 0) : 0;
  stream_consume(c->s, used);
  if (n) forget_body(c);
  return n;
}

// Say whether the head is given by itself. A request without a body is complete with it.
static int wants_head(const http_connection *c) {
  if (c->part != HTTP_PART_HEAD) return 0;
  return c->p.kind == HTTP_KIND_REQUEST ? c->p.head.framing != HTTP_BODY_NONE
                                        : c->p.head.status != 101;
}

static int give_head(lua_State *L, http_connection *c, size_t used) {
  stream_consume(c->s, used);
  if (c->p.kind == HTTP_KIND_RESPONSE) return push_head(L, c);
  push_request(L, c, 0);
  return c->take(L, c);
}

// The first byte of a request has come: from here on its time is limited.
static void begin_request(http_connection *c) {
  const http_timing *t = &c->timing;
  if (t->head >= 0) c->head_until = timer_later(c->answered_at, t->head);
  if (t->total >= 0) c->until = timer_later(c->answered_at, t->total);
  if (t->pause >= 0) http_connection_pause(c, t->pause);
}

// Parse what has arrived. Answers the number of results, 0 when more bytes are needed.
static int parse(lua_State *L, http_connection *c) {
  size_t len, used = 0, n;
  const char *data = stream_peek(c->s, &len);
  int results;
  http_idle_remove(c);
  if (!c->answered) c->answered_at = timer_now(c->s->h.r);
  if (!c->answered && c->p.kind == HTTP_KIND_REQUEST) begin_request(c);
  c->answered = 1;
  c->busy = 1;
  for (;;) {
    size_t left = len - used, most = room(c);
    http_event ev = http_parser_feed(&c->p, data + used, left < most ? left : most, &n);
    used += n;
    switch (ev) {
      case HTTP_EV_MORE:
        if (used < len && room(c)) break;
        if (c->part == HTTP_PART_PIECE && !(c->block && room(c))) return give_piece(L, c, used);
        stream_consume(c->s, used);
        if (c->part == HTTP_PART_PIECE || !c->until_go_on || !c->p.go_on) return 0;
        lua_pushboolean(L, 1);
        return 1;
      case HTTP_EV_HEAD:
        take_head(c, len - used);
        if (wants_head(c)) return give_head(L, c, used);
        let_go_on(c);
        break;
      case HTTP_EV_BODY:
        if (take_body(c) < 0) return http_connection_fail(L, c, UV_ENOMEM, "read");
        break;
      case HTTP_EV_COMPLETE: return complete(L, c, used);
      case HTTP_EV_UPGRADE: return c->offers ? complete(L, c, used) : refuse_upgrade(L, c);
      case HTTP_EV_END:
      case HTTP_EV_ERROR:  // which stays, and is told once what went before it was given
        results = c->part == HTTP_PART_PIECE ? give_piece(L, c, used) : 0;
        return results ? results : refuse(L, c);
    }
  }
}

static int finish(lua_State *L, http_connection *c) {
  int rc = stream_end(c->s);
  if (rc != UV_EOF) return http_connection_fail(L, c, rc, "read");
  switch (http_parser_finish(&c->p)) {
    case HTTP_EV_COMPLETE: return complete(L, c, 0);
    case HTTP_EV_END:
      if (c->p.kind == HTTP_KIND_RESPONSE) return http_connection_fail(L, c, UV_EOF, "read");
      lua_pushnil(L);
      return 1;
    default:  // whoever cuts a request short may still listen: it ended its own side alone
      return fail_eof(L, c, http_parser_error(&c->p), http_parser_error_status(&c->p));
  }
}

static int on_data(lua_State *L, stream *s, void *arg, int rc) {
  http_connection *c = arg;
  if (rc == UV_ETIMEDOUT && c->idles_in && c->idles_in->is_closing)
    return http_connection_fail(L, c, STREAM_CLOSED, "read");
  uint64_t more = rc == UV_ETIMEDOUT ? more_patience(c) : 0;
  if (rc == UV_ETIMEDOUT && more <= timer_now(s->h.r)) more = patience_with_taker(c);
  if (more) return stream_wait(L, s, 1, more, on_data, c);
  if (rc < 0 && block_of(c) && has_gathered(c)) return give_piece(L, c, 0);
  if (rc < 0) return http_connection_fail(L, c, rc, "read");
  return http_connection_go_on(L, c);
}

int http_connection_go_on(lua_State *L, http_connection *c) {
  size_t n;
  if (c->s->closed) return http_connection_fail(L, c, STREAM_CLOSED, "read");
  stream_peek(c->s, &n);
  if (n || c->part == HTTP_PART_PIECE) {
    int results = parse(L, c);
    if (results) return results;
  }
  if (stream_end(c->s)) return block_of(c) && has_gathered(c) ? give_piece(L, c, 0) : finish(L, c);
  return stream_wait(L, c->s, 1, patience(c), on_data, c);
}

static int on_rested(lua_State *L, void *arg, int rc) {
  http_connection *c = arg;
  (void)rc;
  return http_connection_go_on(L, c);
}

static const wait_ops rest_ops = {"other tasks", NULL, on_rested, NULL};

int http_connection_receive(lua_State *L, http_connection *c, http_part part, double idle,
                            http_taker *take) {
  size_t n;
  task_checkpoint(L);
  c->take = take;
  stream_peek(c->s, &n);
  c->answered = 0;
  c->untaken = SIZE_MAX;
  c->part = part;
  c->head_until = TIMER_NEVER;
  http_connection_limit(c, idle, -1);
  if (!n) http_parser_trim(&c->p);
  // A peer that sends without a pause must not keep the loop.
  if (n && !wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, c, timer_after(rt_of(L), 0));
  return http_connection_go_on(L, c);
}

int http_connection_head(lua_State *L, http_connection *c, double seconds) {
  task_checkpoint(L);
  c->part = HTTP_PART_HEAD;
  c->until_go_on = seconds >= 0;
  c->call_until = seconds >= 0 ? timer_after(rt_of(L), seconds) : TIMER_NEVER;
  return http_connection_go_on(L, c);
}

int http_connection_piece(lua_State *L, http_connection *c, double seconds, block *b) {
  size_t n;
  task_checkpoint(L);
  c->block = b;
  if (b) b->n = 0;
  c->part = HTTP_PART_PIECE;
  c->call_until = timer_after(rt_of(L), seconds);
  let_go_on(c);
  stream_peek(c->s, &n);
  if (n && !wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, c, timer_after(rt_of(L), 0));
  return http_connection_go_on(L, c);
}

// --- The end of a connection -----------------------------------------------------------------

static int discard(lua_State *L, stream *s, void *arg, int rc) {
  http_connection *c = arg;
  size_t n;
  stream_peek(s, &n);
  if (rc < 0 || s->closed || (!n && stream_end(s))) return 0;
  stream_consume(s, n);
  return stream_wait(L, s, 1, c->until, discard, c);
}

int http_connection_drain(lua_State *L, http_connection *c, double seconds) {
  task_checkpoint(L);
  if (stream_shutdown(c->s) < 0) return 0;
  c->until = timer_after(c->s->h.r, seconds);
  return discard(L, c->s, c, 0);
}

// --- The other side's end --------------------------------------------------------------------

static int watch(lua_State *L, stream *s, void *arg, int rc) {
  size_t n;
  stream_peek(s, &n);
  int is_gone = rc < 0 || s->closed || stream_end(s);
  if (!is_gone && n < STREAM_AHEAD) return stream_wait(L, s, n + 1, TIMER_NEVER, watch, arg);
  lua_pushboolean(L, is_gone);
  return 1;
}

int http_connection_watch(lua_State *L, http_connection *c) {
  task_checkpoint(L);
  return watch(L, c->s, c, 0);
}
