// SPDX-License-Identifier: MIT
// What a connection sends. See connection.h.
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "http/connection_inner.h"
#include "http/idle.h"
#include "io/stream_lua.h"

#define PARTS 2  // stack index of the first part of what is sent
#define MOST_PARTS 3
#define SLICE HTTP_CONNECTION_AT_ONCE  // so that time limits are felt

// The instant when waiting any longer to send is too long.
static uint64_t turn_until(const http_connection *c) {
  uint64_t when = c->pause ? timer_now(c->s->h.r) + c->pause : TIMER_NEVER;
  return when < c->until ? when : c->until;
}

static int send_more(lua_State *L, http_connection *c);

static int sent(lua_State *L, http_connection *c) {
  if (c->receive_next) return http_connection_go_on(L, c);
  if (c->send_rc) return http_connection_fail(L, c, c->send_rc, "send");
  c->busy = c->in_pieces;
  lua_pushboolean(L, 1);
  return 1;
}

static int on_turn(lua_State *L, void *arg, int rc) {
  http_connection *c = arg;
  rc = stream_take_turn(c->s, rc);
  if (rc < 0) c->send_rc = rc;
  if (rc == UV_ETIMEDOUT) return http_connection_fail(L, c, rc, "send");
  if (rc < 0) return sent(L, c);  // the peer may have answered before it stopped reading
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
  if (c->s->closed) return http_connection_fail(L, c, STREAM_CLOSED, "send");
  return send_parts(L, c, MOST_PARTS, 0);
}

void http_connection_sent(http_connection *c) {
  c->in_pieces = 0;
  c->sent_at = timer_now(c->s->h.r);
}

// --- The end of a connection -------------------------------------------------------------------

static int await_taker(lua_State *L, http_connection *c);

static int on_taken(lua_State *L, void *arg, int rc) {
  http_connection *c = arg;
  return rc == UV_ETIMEDOUT && stream_queued(c->s) < c->untaken ? await_taker(L, c) : 0;
}

static const wait_ops taker_ops = {"queued bytes to reach", NULL, on_taken, describe_turn};

// Wait for as long as the peer takes some of the queue within each pause that it may make.
static int await_taker(lua_State *L, http_connection *c) {
  stream *s = c->s;
  if (s->closed || s->shut_done) return 0;
  c->untaken = stream_queued(s);
  list_push(&s->writers, &task_current(L)->wlink);
  uint64_t until = c->timing.pause < 0 ? TIMER_NEVER : timer_after(s->h.r, c->timing.pause);
  return wait_begin_until(L, &taker_ops, c, until);
}

int http_connection_finish(lua_State *L, http_connection *c) {
  task_checkpoint(L);
  if (!c->s || c->s->closed || !c->s->out || c->send_rc || stream_shutdown(c->s) < 0) return 0;
  return await_taker(L, c);
}
