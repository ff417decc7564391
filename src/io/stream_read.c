// SPDX-License-Identifier: MIT
// The reading methods of streams: formats as those of Lua's io library, over the bytes buffered in
// C. Each method is a request; `attempt` tries to answer it from the buffer and else waits for
// more. Runs on the loop thread. Invariant: bytes leave the buffer only together with the result,
// so a read that fails, times out or is cancelled loses none.
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/bytes.h"
#include "core/collector.h"
#include "core/error.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/stream_lua.h"

#define MAX_LINE ((lua_Integer)1 << 20)
#define MAX_NUMERAL 200            // as in liolib.c
#define DIRECT ((size_t)16 << 10)  // bytes from which on a piece is read without a buffer between

enum {
  READ_LINE,
  READ_LINE_END,
  READ_ALL,
  READ_COUNT,
  READ_NUMBER,
  READ_SOME,
  READ_EXACTLY,
  READ_UNTIL,
  READ_NOTHING
};

static int attempt(lua_State *L, stream *s);

// --- Results ---------------------------------------------------------------------------------

// Give the error below the top of the stack as the request wants it.
static int give_error(lua_State *L, int raises) {
  if (!raises) return 2;
  err_where(L);
  lua_setfield(L, -2, "where");
  return lua_error(L);
}

static int fail(lua_State *L, const stream *s, int rc) {
  int raises = s->rq.raises;  // of this call, and not of one that a finaliser makes
  stream_fail(L, s, rc, s->rq.op);
  return give_error(L, raises);
}

static int fail_with(lua_State *L, const stream *s, const char *code, const char *message) {
  char target[128] = "";
  int raises = s->rq.raises;
  s->t->describe(s, target, sizeof target);
  err_return(L, code, s->rq.op, target, "%s", message);
  return give_error(L, raises);
}

// Give `n` bytes from the front without the last `cut` of them. To make the string may run
// finalisers; if one has read from this stream, or closed it, the request begins anew.
static int give(lua_State *L, stream *s, size_t n, size_t cut) {
  stream_request asked = s->rq;
  if (!bytes_take(L, &s->in, n, cut)) {
    lua_pop(L, 1);
    asked.scanned = 0;
    s->rq = asked;
    return attempt(L, s);
  }
  stream_consumed(s);
  return 1;
}

// When the time limit passed, what came with the poll after it is still given: a limit of 0 asks
// for what is there.
static int on_more(lua_State *L, stream *s, void *arg, int rc) {
  (void)arg;
  return rc < 0 && rc != UV_ETIMEDOUT ? fail(L, s, rc) : attempt(L, s);
}

// The first wait of a request begins even if its time limit has passed: the bytes may be in the
// system. A later one does not, or a peer that sends without pause would put the limit off.
static int wait_for(lua_State *L, stream *s, size_t want) {
  stream_request *q = &s->rq;
  if (q->waits && q->when != TIMER_NEVER && !s->in_rc && timer_now(rt_of(L)) >= q->when)
    return fail(L, s, UV_ETIMEDOUT);
  q->waits = 1;
  return stream_wait(L, s, want, q->when, on_more, NULL);
}

// The bytes that are there do not satisfy the request, and no more will come.
static int give_end(lua_State *L, stream *s) {
  size_t len;
  stream_peek(s, &len);
  if (s->in_rc != UV_EOF) return fail(L, s, s->in_rc);
  if (s->t->ends_again && (!len || s->rq.kind == READ_ALL)) s->in_rc = 0;
  switch (s->rq.kind) {
    case READ_ALL: return give(L, s, len, 0);
    case READ_LINE:
    case READ_LINE_END:
    case READ_COUNT:
      if (len) return give(L, s, len, 0);
      break;
    case READ_EXACTLY:
    case READ_UNTIL:
      if (len) return fail_with(L, s, "EOF", "the stream ended before all of it had come");
      break;
  }
  lua_pushnil(L);
  return 1;
}

// --- Formats ---------------------------------------------------------------------------------

// The line or the piece that ends with the `n` bytes at `end`. `max` bounds what comes before.
static int attempt_until(lua_State *L, stream *s, const char *end, size_t n, size_t cut) {
  stream_request *q = &s->rq;
  size_t len;
  const char *p = stream_peek(s, &len), *hit = NULL;
  if (len > q->scanned)
    hit = n == 1 ? memchr(p + q->scanned, *end, len - q->scanned)
                 : memmem(p + q->scanned, len - q->scanned, end, n);
  size_t before = hit ? (size_t)(hit - p) : len >= n ? len - n + 1 : 0;
  if (before > q->max) return fail_with(L, s, "EMSGSIZE", "it is longer than the limit (max)");
  if (hit) return give(L, s, before + n, cut);
  if (s->in_rc) return give_end(L, s);
  q->scanned = before;
  return wait_for(L, s, len + 1);
}

static int attempt_all(lua_State *L, stream *s) {
  size_t len;
  stream_peek(s, &len);
  if (len > s->rq.max) return fail_with(L, s, "EMSGSIZE", "it is longer than the limit (max)");
  if (s->in_rc) return give_end(L, s);
  return wait_for(L, s, s->rq.max + 1);
}

static int attempt_count(lua_State *L, stream *s) {
  size_t len, n = s->rq.n;
  stream_peek(s, &len);
  if (len && len >= n) return give(L, s, n, 0);
  if (s->in_rc) return give_end(L, s);
  stream_expect(s, n);
  return wait_for(L, s, n ? n : 1);
}

// Read what the transport has into memory that becomes the string, when that may be much: it saves
// a copy of it. Answers 0 when it is to be read into the buffer as ever, or an error came.
static int take_direct(lua_State *L, stream *s) {
  size_t n = s->rq.n < IO_BLOCK ? s->rq.n : IO_BLOCK, head = bytes_head(rt_of(L));
  char *block = n >= DIRECT ? malloc(head + n + BYTES_TAIL) : NULL;
  if (!block) return 0;
  ssize_t got = s->t->read_now(s, block + head, n);
  if (got <= 0) {
    free(block);
    if (got != UV_EAGAIN) stream_ended(s, (int)got);
    return 0;
  }
  s->many = got >= (ssize_t)DIRECT;
  s->bytes_in += (uint64_t)got;
  char *fit = s->many ? realloc(block, head + (size_t)got + BYTES_TAIL) : NULL;
  bytes_push(L, fit ? fit : block, head, (size_t)got);
  return 1;
}

static int attempt_some(lua_State *L, stream *s) {
  size_t len;
  stream_peek(s, &len);
  if (len) {
    s->many = len >= DIRECT;
    return give(L, s, len < s->rq.n ? len : s->rq.n, 0);
  }
  if (!s->in_rc && stream_is_ready(s) && take_direct(L, s)) return 1;
  if (s->in_rc) return give_end(L, s);
  if (!s->many || !s->t->read_now) return wait_for(L, s, 1);
  s->many = 0;
  return stream_wait_direct(L, s, s->rq.when, on_more, NULL);
}

// --- Numbers ---------------------------------------------------------------------------------

typedef struct numeral {
  const char *p;
  size_t len, at;
  int ended;   // no byte comes after the last
  int hungry;  // the next byte decides, and it is not there yet
} numeral;

// The next byte if it may be part of the numeral, else 0. One more than a numeral may have is
// taken, which tells that it is too long.
static int look(numeral *m) {
  if (m->at > MAX_NUMERAL) return 0;
  if (m->at < m->len) return (unsigned char)m->p[m->at];
  m->hungry = !m->ended;
  return 0;
}

static int take_any(numeral *m, const char *set) {
  int c = look(m);
  if (!c || !strchr(set, c)) return 0;
  m->at++;
  return 1;
}

static int take_digits(numeral *m, int hex) {
  int n = 0;
  for (int c; (c = look(m)) && (hex ? isxdigit(c) : isdigit(c)); n++) m->at++;
  return n;
}

// Find the longest prefix of a numeral, as io.read does.
static void scan(numeral *m) {
  int count = 0, hex = 0;
  take_any(m, "-+");
  if (take_any(m, "0")) {
    if (take_any(m, "xX"))
      hex = 1;
    else
      count = 1;
  }
  count += take_digits(m, hex);
  if (take_any(m, ".")) count += take_digits(m, hex);
  if (count > 0 && take_any(m, hex ? "pP" : "eE")) {
    take_any(m, "-+");
    take_digits(m, 0);
  }
}

static int attempt_number(lua_State *L, stream *s) {
  stream_request *q = &s->rq;
  size_t len;
  const char *p = stream_peek(s, &len);
  while (q->scanned < len && isspace((unsigned char)p[q->scanned])) q->scanned++;
  size_t blanks = q->scanned;
  if (blanks > q->max)
    return fail_with(L, s, "EMSGSIZE", "the blanks are longer than the limit (max)");
  if (blanks == len) {
    if (s->in_rc == UV_EOF) stream_consume(s, blanks);
    return s->in_rc ? give_end(L, s) : wait_for(L, s, len + 1);
  }
  numeral m = {p + blanks, len - blanks, 0, s->in_rc != 0, 0};
  scan(&m);
  if (m.hungry) return wait_for(L, s, len + 1);
  if (s->in_rc && s->in_rc != UV_EOF && m.at == m.len) return give_end(L, s);
  char text[MAX_NUMERAL + 2];
  memcpy(text, m.p, m.at);
  text[m.at] = 0;
  if (m.at > MAX_NUMERAL || lua_stringtonumber(L, text) != m.at + 1)
    return fail_with(L, s, "EINVAL", "what comes next is not a number");
  stream_consume(s, blanks + m.at);
  return 1;
}

static int attempt(lua_State *L, stream *s) {
  size_t n;
  const char *end;
  switch (s->rq.kind) {
    case READ_LINE: return attempt_until(L, s, "\n", 1, 1);
    case READ_LINE_END: return attempt_until(L, s, "\n", 1, 0);
    case READ_ALL: return attempt_all(L, s);
    case READ_NUMBER: return attempt_number(L, s);
    case READ_SOME: return attempt_some(L, s);
    case READ_UNTIL: end = lua_tolstring(L, 2, &n); return attempt_until(L, s, end, n, 0);
    default: return attempt_count(L, s);
  }
}

// --- Requests --------------------------------------------------------------------------------

static int begin(lua_State *L, stream *s, const stream_request *q) {
  task_checkpoint(L);
  if (stream_is_busy(s))
    return err_raise(L, "EBUSY", q->op, NULL, "another task is reading from this stream");
  if (s->t->asks_again) s->in_rc = 0;
  s->rq = *q;
  return attempt(L, s);
}

// Read the options at `idx` into the request; `max` only where it has a meaning.
static void read_options(lua_State *L, int idx, const stream *s, stream_request *q, int has_max) {
  static const char *const all[] = {"timeout", "max", NULL}, *const few[] = {"timeout", NULL};
  int is_given = opt_check(L, idx, q->op, has_max ? all : few);
  q->when = TIMER_NEVER;
  if (is_given || s->timeout > 0) q->when = stream_limit(L, s, is_given ? idx : 0, q->op);
  if (!is_given) return;
  if (has_max) q->max = (size_t)opt_count(L, idx, q->op, "max", 1, (lua_Integer)q->max);
}

static void read_format(lua_State *L, int idx, stream_request *q, int is_loop) {
  q->max = (size_t)MAX_LINE;
  q->kind = READ_LINE;
  if (lua_isnoneornil(L, idx)) return;
  if (lua_type(L, idx) == LUA_TNUMBER) {
    q->kind = READ_COUNT;
    q->n = (size_t)arg_count(L, idx, 0);
    return;
  }
  size_t n;
  const char *f = arg_lstring(L, idx, &n);
  size_t at = *f == '*';  // as io.read: the mark of Lua 5.2 and before
  switch (n == at + 1 ? f[at] : 0) {
    case 'l': break;
    case 'L': q->kind = READ_LINE_END; break;
    case 'n': q->kind = READ_NUMBER; break;
    case 'a':
      q->kind = READ_ALL;
      q->max = SIZE_MAX >> 1;
      break;
    default: q->kind = READ_NOTHING;
  }
  // A loop over "a" would never end.
  if (q->kind == READ_NOTHING || (q->kind == READ_ALL && is_loop))
    err_misuse(L, "unknown format \"%s\" for %s: \"l\", \"L\", %s\"n\" or a number of bytes",
               lua_tostring(L, idx), q->op, is_loop ? "" : "\"a\", ");
}

// Where the first argument was left out, put nil in its place before the options.
static void shift_options(lua_State *L) {
  if (lua_istable(L, 2) && lua_isnoneornil(L, 3)) {
    lua_settop(L, 2);
    lua_pushnil(L);
    lua_insert(L, 2);
  }
}

static int l_read(lua_State *L) {
  stream_request q = {.op = "read"};
  stream *s = stream_check(L, 1, q.op);
  shift_options(L);
  read_format(L, 2, &q, 0);
  read_options(L, 3, s, &q, 1);
  return begin(L, s, &q);
}

static int l_recv(lua_State *L) {
  stream_request q = {.op = "recv", .kind = READ_SOME, .n = SIZE_MAX, .when = TIMER_NEVER};
  stream *s = stream_check(L, 1, q.op);
  if (lua_gettop(L) > 1) {
    shift_options(L);
    if (!lua_isnil(L, 2)) q.n = (size_t)arg_count(L, 2, 1);
    read_options(L, 3, s, &q, 0);
  } else if (s->timeout > 0) {
    q.when = stream_limit(L, s, 0, q.op);
  }
  if (s->many) collector_make_room(L, IO_BLOCK + 1024);
  return begin(L, s, &q);
}

static int l_read_exactly(lua_State *L) {
  stream_request q = {.op = "read_exactly", .kind = READ_EXACTLY};
  stream *s = stream_check(L, 1, q.op);
  q.n = (size_t)arg_count(L, 2, 0);
  read_options(L, 3, s, &q, 0);
  if (q.n) return begin(L, s, &q);
  task_checkpoint(L);
  lua_pushliteral(L, "");
  return 1;
}

static int l_read_until(lua_State *L) {
  stream_request q = {.op = "read_until", .kind = READ_UNTIL, .max = (size_t)MAX_LINE};
  stream *s = stream_check(L, 1, q.op);
  size_t n;
  arg_lstring(L, 2, &n);
  if (!n) return err_misuse(L, "the text to read until must not be empty");
  read_options(L, 3, s, &q, 1);
  return begin(L, s, &q);
}

// One step of the loop. Upvalues: the stream, the format, the options.
static int l_next(lua_State *L) {
  stream_request q = {.op = "lines", .raises = 1};
  lua_settop(L, 0);
  for (int i = 1; i <= 3; i++) lua_pushvalue(L, lua_upvalueindex(i));
  stream *s = stream_check(L, 1, q.op);
  read_format(L, 2, &q, 1);
  read_options(L, 3, s, &q, 1);
  return begin(L, s, &q);
}

static int l_lines(lua_State *L) {
  stream_request q = {.op = "lines"};
  const stream *s = stream_check(L, 1, q.op);
  shift_options(L);
  lua_settop(L, 3);
  read_format(L, 2, &q, 1);
  read_options(L, 3, s, &q, 1);
  lua_pushcclosure(L, l_next, 3);
  return 1;
}

const luaL_Reg stream_readers[] = {{"read", l_read},
                                   {"recv", l_recv},
                                   {"read_exactly", l_read_exactly},
                                   {"read_until", l_read_until},
                                   {"lines", l_lines},
                                   {NULL, NULL}};
