// SPDX-License-Identifier: MIT
// One HTTP/1.1 connection. See connection.h.
#include "http/connection.h"

#include <lauxlib.h>
#include <math.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "http/idle.h"
#include "http/target.h"
#include "io/stream_lua.h"

#define PARTS 2  // stack index of the first part of what is sent
#define MOST_PARTS 3
#define SLICE \
  HTTP_CONNECTION_AT_ONCE        // bytes handed to the stream at once, so that time limits are felt
#define TRUST (16 * SLICE)       // memory reserved on the word of the peer
#define KEEP ((size_t)16 << 10)  // a body buffer of up to this stays with the connection
#define HEAD_SECONDS 30.0        // for a request's head, from its first byte to its last
#define NS 1e9

static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

void http_connection_init(http_connection *c, stream *s, http_kind kind,
                          const http_limits *limits) {
  c->s = s;
  http_parser_init(&c->p, kind, limits);
  buffer_init(&c->body);
  c->whole = (http_text){NULL, 0};
  list_init(&c->idle);
  c->idle_since = 0;
  c->pause = 0;
  c->until = c->head_until = c->call_until = TIMER_NEVER;
  c->sent_at = c->answered_at = 0;
  c->sent = 0;
  c->parts = 0;
  c->send_rc = 0;
  c->in_pieces = c->until_go_on = 0;
  c->busy = c->answered = c->out_of_step = c->receive_next = 0;
  c->part = HTTP_PART_WHOLE;
}

void http_connection_close(http_connection *c) {
  if (!c->s) return;
  http_idle_remove(c);
  if (!c->s->closed) stream_close(c->s, 0);
}

void http_connection_fini(http_connection *c) {
  if (!c->s) return;
  http_connection_close(c);
  stream_unref(c->s);
  c->s = NULL;
  http_parser_fini(&c->p);
  buffer_fini(&c->body);
}

void http_connection_limit(http_connection *c, double pause, double total) {
  rt *r = c->s->h.r;
  c->pause = pause < 0 || pause >= 1e9 ? 0 : pause * NS < 1 ? 1 : (uint64_t)(pause * NS);
  c->until = total >= 0 ? timer_after(r, total) : TIMER_NEVER;
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

// The instant when waiting any longer to send is too long.
static uint64_t turn_until(const http_connection *c) {
  uint64_t when = c->pause ? timer_now(c->s->h.r) + c->pause : TIMER_NEVER;
  return when < c->until ? when : c->until;
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

static int fail_eof(lua_State *L, const http_connection *c, const char *message) {
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  err_push(L, "EOF", "read", target, "%s", message);
  return give_up(L, c, 0, UV_EOF);
}

static int fail_uv(lua_State *L, const http_connection *c, int rc, const char *op) {
  if (rc == UV_EOF) return fail_eof(L, c, "the connection was closed without an answer");
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
  if (p->error == HTTP_E_NO_MEMORY) return fail_uv(L, c, UV_ENOMEM, "read");
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  err_push(L, is_too_large(p) ? "EMSGSIZE" : "EPROTO", "read", target, "%s", http_parser_error(p));
  return give_up(L, c, http_parser_error_status(p), 0);
}

static int refuse_upgrade(lua_State *L, const http_connection *c) {
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  err_push(L, "EPROTO", "read", target, "the peer switched to a protocol that nobody asked for");
  return give_up(L, c, 0, 0);
}

// --- Receiving -------------------------------------------------------------------------------

static int receive(lua_State *L, http_connection *c);

// After a message that is complete.
static int may_be_kept(const http_connection *c) {
  return http_parser_keepalive(&c->p) && c->send_rc == 0 && !c->in_pieces && !c->out_of_step;
}

// Push what was gathered of the body, and take it out of the buffer.
static void push_body(lua_State *L, http_connection *c) {
  if (c->whole.s)
    lua_pushlstring(L, c->whole.s, c->whole.n);
  else
    bytes_take(L, &c->body, buffer_len(&c->body), 0);
}

static void forget_body(http_connection *c) {
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

static int push_message(lua_State *L, http_connection *c) {
  const http_parser *p = &c->p;
  int is_request = p->kind == HTTP_KIND_REQUEST;
  luaL_checkstack(L, 8, NULL);
  if (is_request) {
    http_text method = http_parser_method(p), target = http_parser_target(p);
    lua_pushlstring(L, method.s, method.n);
    lua_pushlstring(L, target.s, target.n);
  } else {
    lua_pushinteger(L, p->head.status);
  }
  uint32_t end = p->head.framing == HTTP_BODY_CHUNKED ? p->trailers : p->block_len;
  lua_pushlstring(L, p->block + p->head.start_len, end - p->head.start_len);
  push_body(L, c);
  lua_pushboolean(L, may_be_kept(c));
  if (is_request) {
    lua_pushinteger(L, p->head.minor);
    lua_pushvalue(L, -5);
    http_target_push_path(L);
    lua_replace(L, -2);
  } else {
    push_codings(L, p);
    push_answered(L, c);
  }
  return is_request ? 7 : 6;
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
  lua_pushboolean(L, is_last && may_be_kept(c));
  return 3;
}

// Add a span to the piece that will be given. The first stays in the stream's buffer.
static int gather(http_connection *c) {
  const http_parser *p = &c->p;
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
  if (c->p.kind != HTTP_KIND_REQUEST || !c->p.head.expect_continue || more) return;
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t)go_on, sizeof go_on - 1);
  stream_write(c->s, &buf, 1);  // a failure shows when the answer is written
}

// The message is complete: give it, or the last piece, and drop `used` bytes that it came in.
static int complete(lua_State *L, http_connection *c, size_t used) {
  int n = c->part == HTTP_PART_PIECE ? push_piece(L, c, 1) : push_message(L, c);
  stream_consume(c->s, used);
  forget_body(c);
  c->busy = 0;
  return n;
}

// All that has come was parsed: give the piece that it made, if it made one.
static int give_piece(lua_State *L, http_connection *c, size_t used) {
  int n = c->whole.s || buffer_len(&c->body) ? push_piece(L, c, 0) : 0;
  stream_consume(c->s, used);
  if (n) forget_body(c);
  return n;
}

static int give_head(lua_State *L, http_connection *c, size_t used) {
  stream_consume(c->s, used);
  return push_head(L, c);
}

// Parse what has arrived. Answers the number of results, 0 when more bytes are needed.
static int parse(lua_State *L, http_connection *c) {
  size_t len, used = 0, n;
  const char *data = stream_peek(c->s, &len);
  int results;
  http_idle_remove(c);
  if (!c->answered) c->answered_at = timer_now(c->s->h.r);
  if (!c->answered && c->p.kind == HTTP_KIND_REQUEST)
    c->head_until = timer_after(c->s->h.r, HEAD_SECONDS);
  c->answered = 1;
  c->busy = 1;
  for (;;) {
    http_event ev = http_parser_feed(&c->p, data + used, len - used, &n);
    used += n;
    switch (ev) {
      case HTTP_EV_MORE:
        if (c->part == HTTP_PART_PIECE) return give_piece(L, c, used);
        stream_consume(c->s, used);
        if (!c->until_go_on || !c->p.go_on) return 0;
        lua_pushboolean(L, 1);
        return 1;
      case HTTP_EV_HEAD:
        take_head(c, len - used);
        if (c->part == HTTP_PART_HEAD && c->p.head.status != 101) return give_head(L, c, used);
        break;
      case HTTP_EV_BODY:
        if (take_body(c) < 0) return fail_uv(L, c, UV_ENOMEM, "read");
        break;
      case HTTP_EV_COMPLETE: return complete(L, c, used);
      case HTTP_EV_UPGRADE: return refuse_upgrade(L, c);
      case HTTP_EV_END:
      case HTTP_EV_ERROR:  // which stays, and is told once what went before it was given
        results = c->part == HTTP_PART_PIECE ? give_piece(L, c, used) : 0;
        return results ? results : refuse(L, c);
    }
  }
}

static int finish(lua_State *L, http_connection *c) {
  int rc = stream_end(c->s);
  if (rc != UV_EOF) return fail_uv(L, c, rc, "read");
  switch (http_parser_finish(&c->p)) {
    case HTTP_EV_COMPLETE: return complete(L, c, 0);
    case HTTP_EV_END:
      if (c->p.kind == HTTP_KIND_RESPONSE) return fail_uv(L, c, UV_EOF, "read");
      lua_pushnil(L);
      return 1;
    default: return fail_eof(L, c, http_parser_error(&c->p));
  }
}

static int on_data(lua_State *L, stream *s, void *arg, int rc) {
  http_connection *c = arg;
  if (rc == UV_ETIMEDOUT && more_patience(c) > timer_now(c->s->h.r))
    return stream_wait(L, s, 1, more_patience(c), on_data, c);
  if (rc < 0) return fail_uv(L, c, rc, "read");
  return receive(L, c);
}

static int receive(lua_State *L, http_connection *c) {
  size_t n;
  if (c->s->closed) return fail_uv(L, c, STREAM_CLOSED, "read");
  stream_peek(c->s, &n);
  if (n || c->part == HTTP_PART_PIECE) {
    int results = parse(L, c);
    if (results) return results;
  }
  if (stream_end(c->s)) return finish(L, c);
  return stream_wait(L, c->s, 1, patience(c), on_data, c);
}

static int on_rested(lua_State *L, void *arg, int rc) {
  http_connection *c = arg;
  (void)rc;
  return receive(L, c);
}

static const wait_ops rest_ops = {"other tasks", NULL, on_rested, NULL};

// It may idle for long: let go of memory, and let the parser begin anew.
static void forget_head(http_connection *c) {
  http_limits limits = c->p.limits;
  http_kind kind = c->p.kind;
  stream_trim(c->s);
  if (!c->p.block || c->busy) return;
  http_parser_fini(&c->p);
  http_parser_init(&c->p, kind, &limits);
}

int http_connection_receive(lua_State *L, http_connection *c) {
  size_t n;
  task_checkpoint(L);
  stream_peek(c->s, &n);
  c->answered = 0;
  c->part = HTTP_PART_WHOLE;
  c->head_until = TIMER_NEVER;
  if (!n) forget_head(c);
  // A peer that sends without a pause must not keep the loop.
  if (n && !wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, c, timer_after(rt_of(L), 0));
  return receive(L, c);
}

int http_connection_piece(lua_State *L, http_connection *c, double seconds) {
  size_t n;
  task_checkpoint(L);
  c->part = HTTP_PART_PIECE;
  c->call_until = timer_after(rt_of(L), seconds);
  stream_peek(c->s, &n);
  if (n && !wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, c, timer_after(rt_of(L), 0));
  return receive(L, c);
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

// --- Sending ---------------------------------------------------------------------------------

static int send_more(lua_State *L, http_connection *c);

static int sent(lua_State *L, http_connection *c) {
  if (c->receive_next) return receive(L, c);
  if (c->send_rc) return fail_uv(L, c, c->send_rc, "send");
  c->busy = c->in_pieces;
  lua_pushboolean(L, 1);
  return 1;
}

static int on_turn(lua_State *L, void *arg, int rc) {
  http_connection *c = arg;
  rc = stream_take_turn(c->s, rc);
  if (rc == UV_ETIMEDOUT) return fail_uv(L, c, rc, "send");
  if (rc < 0) {  // the peer may have answered before it stopped reading
    c->send_rc = rc;
    return sent(L, c);
  }
  return send_more(L, c);
}

static void describe_turn(const task *t, const void *arg, char *buf, size_t n) {
  const http_connection *c = arg;
  (void)t;
  c->s->t->describe(c->s, buf, n);
}

static const wait_ops turn_ops = {"room to write to", NULL, on_turn, describe_turn};

// Hand the next slice of the parts to the stream.
static int send_slice(lua_State *L, http_connection *c) {
  uv_buf_t bufs[MOST_PARTS];
  unsigned n = 0;
  size_t skip = c->sent, room = SLICE;
  for (int i = 0; i < c->parts; i++) {
    size_t len = 0;
    const char *text = lua_tolstring(L, PARTS + i, &len);
    if (skip >= len) {
      skip -= len;
      continue;
    }
    size_t part = len - skip < room ? len - skip : room;
    if (!part) break;
    bufs[n++] = uv_buf_init((char *)(uintptr_t)text + skip, (unsigned)part);
    room -= part;
    skip = 0;
  }
  c->sent += SLICE - room;
  return n ? stream_write(c->s, bufs, n) : 0;
}

static int send_more(lua_State *L, http_connection *c) {
  size_t total = 0;
  for (int i = 0; i < c->parts; i++) total += (size_t)lua_rawlen(L, PARTS + i);
  while (c->sent < total && !c->send_rc) {
    if (!stream_is_writable(c->s)) return stream_wait_turn(L, c->s, turn_until(c), &turn_ops, c);
    c->send_rc = send_slice(L, c);
  }
  return sent(L, c);
}

static int send_parts(lua_State *L, http_connection *c, int parts, int receive_next) {
  lua_settop(L, PARTS + parts - 1);
  c->parts = parts;
  c->sent = 0;
  c->receive_next = receive_next ? 1 : 0;
  return send_more(L, c);
}

// Say whether the peer has sent something already, which over a new connection nobody has read yet.
static int has_spoken(const http_connection *c) {
  size_t n;
  const stream *s = c->s;
  stream_peek(s, &n);
  return n || (!s->reading && s->t->read_now && s->t->read_now(c->s, NULL, 0) > 0);
}

// Begin a message with its first parts. A server that has answered before the request will go on to
// answer it, and that would be taken for the answer to the next one.
static void begin_message(http_connection *c, http_part part) {
  http_idle_remove(c);
  if (c->p.kind == HTTP_KIND_RESPONSE) c->out_of_step |= has_spoken(c) != 0;
  c->busy = 1;
  c->send_rc = 0;
  c->answered = 0;
  c->sent_at = 0;
  c->part = part;
  c->call_until = TIMER_NEVER;
}

static int send_message(lua_State *L, http_connection *c, int receive_next, http_part part) {
  task_checkpoint(L);
  begin_message(c, part);
  return send_parts(L, c, 2, receive_next);
}

int http_connection_send_bytes(lua_State *L, http_connection *c, const uv_buf_t *bufs, unsigned n) {
  task_checkpoint(L);
  begin_message(c, HTTP_PART_WHOLE);
  if (stream_is_writable(c->s)) {
    c->receive_next = 0;
    c->send_rc = stream_write(c->s, bufs, n);
    return sent(L, c);
  }
  lua_settop(L, PARTS - 1);
  for (unsigned i = 0; i < n; i++) lua_pushlstring(L, bufs[i].base, bufs[i].len);
  return send_parts(L, c, (int)n, 0);
}

int http_connection_send(lua_State *L, http_connection *c) {
  return send_message(L, c, 0, HTTP_PART_WHOLE);
}

int http_connection_exchange(lua_State *L, http_connection *c, http_part part) {
  return send_message(L, c, 1, part);
}

// --- A body in pieces --------------------------------------------------------------------------

int http_connection_begin(lua_State *L, http_connection *c) {
  c->in_pieces = 1;
  lua_settop(L, PARTS);
  return send_message(L, c, 0, HTTP_PART_HEAD);
}

int http_connection_write(lua_State *L, http_connection *c) {
  task_checkpoint(L);
  if (c->s->closed) return fail_uv(L, c, STREAM_CLOSED, "send");
  return send_parts(L, c, MOST_PARTS, 0);
}

void http_connection_sent(http_connection *c) {
  c->in_pieces = 0;
  c->sent_at = timer_now(c->s->h.r);
}

int http_connection_head(lua_State *L, http_connection *c, double seconds) {
  task_checkpoint(L);
  c->part = HTTP_PART_HEAD;
  c->until_go_on = seconds >= 0;
  c->call_until = seconds >= 0 ? timer_after(rt_of(L), seconds) : TIMER_NEVER;
  return receive(L, c);
}
