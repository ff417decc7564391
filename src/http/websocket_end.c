// SPDX-License-Identifier: MIT
// How a WebSocket is kept alive, and how it ends. See websocket.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "http/websocket_inner.h"
#include "io/stream_lua.h"

static void on_timer(timer_call *c);

// --- Life ------------------------------------------------------------------------------------

void websocket_init(websocket *w, stream *s, websocket_common *common, int is_server) {
  memset(w, 0, sizeof *w);
  w->s = s;
  w->common = common;
  w->is_server = is_server != 0;
  w->timer.tm.kind = TIMER_CALL;
  w->timer.fire = on_timer;
  w->until = TIMER_NEVER;
  list_init(&w->closers);
  buffer_init(&w->message);
}

void websocket_fini(websocket *w) {
  if (!w->s) return;
  websocket_bye(w, WEBSOCKET_GOING_AWAY, NULL, 0);
  websocket_hang_up(w);
  stream_unref(w->s);
  w->s = NULL;
  buffer_fini(&w->message);
  if (w->deflate) websocket_deflate_fini(w->deflate);
  free(w->deflate);
  free(w->reason);
  w->deflate = NULL;
  w->reason = NULL;
  w->reason_len = 0;
}

void websocket_hang_up(websocket *w) {
  timer_disarm(w->s->h.r, &w->timer.tm);
  stream_close(w->s, 0);
  for (list *l; (l = list_shift(&w->closers));) wait_wake(list_entry(l, task, wlink), 0);
}

// --- Signs of life ---------------------------------------------------------------------------

static void arm(websocket *w, uint64_t ns) {
  rt *r = w->s->h.r;
  timer_disarm(r, &w->timer.tm);
  timer_arm(r, &w->timer.tm, timer_now(r) + ns);  // without memory it is not looked after
}

void websocket_set_ping(websocket *w, double seconds) {
  w->ping = seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * 1e9) : 0;
  w->seen = w->s->bytes_in;
  if (w->ping) arm(w, w->ping);
}

// Say whether the peer has done something since the timer fired last: sent bytes, or taken some of
// those that wait for it. While nobody takes what it sends its silence says nothing.
static int is_alive(const websocket *w) {
  size_t unread;
  stream_peek(w->s, &unread);
  return w->s->bytes_in != w->seen || stream_queued(w->s) < w->queued || unread || !w->s->reading;
}

static void on_timer(timer_call *c) {
  websocket *w = list_entry(c, websocket, timer);
  if (w->is_closing) {
    if (!w->over) websocket_lost(w, UV_ETIMEDOUT);
    websocket_hang_up(w);
    return;
  }
  if (is_alive(w)) {
    int is_silent = w->s->bytes_in == w->seen;
    w->pinged = is_silent;
    if (is_silent) websocket_control(w, WEBSOCKET_PING, "", 0);
  } else if (w->pinged) {
    websocket_lost(w, UV_ETIMEDOUT);
    return;
  } else {
    websocket_control(w, WEBSOCKET_PING, "", 0);
    w->pinged = 1;
  }
  w->seen = w->s->bytes_in;
  w->queued = stream_queued(w->s);
  arm(w, w->ping);
}

// --- The end ---------------------------------------------------------------------------------

// The goodbye may take so long.
static void bound_goodbye(websocket *w, double seconds) {
  w->is_closing = 1;
  arm(w, seconds < 1e9 ? (uint64_t)(seconds * 1e9) : (uint64_t)1e18);
}

void websocket_bye(websocket *w, unsigned code, const char *why, size_t n) {
  unsigned char p[WEBSOCKET_CONTROL] = {(unsigned char)(code >> 8), (unsigned char)code};
  if (w->said_bye || w->over) return;
  w->said_bye = 1;
  if (n) memcpy(p + 2, why, n);
  websocket_control(w, WEBSOCKET_CLOSE, p, code == WEBSOCKET_NO_CODE ? 0 : 2 + n);
}

void websocket_fail(websocket *w, unsigned code, const char *fault) {
  websocket_bye(w, code, fault, strlen(fault));
  w->over = 1;
  w->code = (uint16_t)code;
  w->fault = fault;
  if (!w->s->closed) stream_shutdown(w->s);
  if (!w->is_closing) bound_goodbye(w, WEBSOCKET_LINGER);
}

void websocket_lost(websocket *w, int rc) {
  w->over = 1;
  w->is_ours = w->said_bye;
  w->rc = rc;
  w->code = WEBSOCKET_LOST;
  websocket_hang_up(w);
}

void websocket_end(websocket *w, unsigned code, const unsigned char *why, size_t n) {
  if (n && (w->reason = malloc(n))) {
    memcpy(w->reason, why, n);
    w->reason_len = (uint8_t)n;
  }
  w->is_ours = w->said_bye;
  websocket_bye(w, code, NULL, 0);
  w->over = 1;
  w->code = (uint16_t)code;
  websocket_hang_up(w);
}

static int on_end(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  lua_pushboolean(L, 1);
  return 1;
}

static void describe_end(const task *t, const void *arg, char *buf, size_t n) {
  const websocket *w = arg;
  (void)t;
  w->s->t->describe(w->s, buf, n);
}

static const wait_ops end_ops = {"goodbye from", NULL, on_end, describe_end};

int websocket_close(lua_State *L, websocket *w, unsigned code, const char *why, size_t n,
                    double seconds) {
  websocket_bye(w, code, why, n);
  if (!w->s->closed && !w->is_closing) bound_goodbye(w, seconds);
  if (!w->s->closed && w->s->out_rc && !w->over) websocket_lost(w, w->s->out_rc);
  if (w->s->closed) return on_end(L, w, 0);
  if (websocket_is_busy(w)) {
    wait_check(L);
    list_push(&w->closers, &task_current(L)->wlink);
    return wait_begin(L, &end_ops, w);
  }
  w->until = TIMER_NEVER;
  w->discards = 1;
  return websocket_go_on(L, w);
}

void websocket_leave(websocket *w, unsigned code, double seconds) {
  if (w->s->closed) return;
  websocket_bye(w, code, NULL, 0);
  if (!w->is_closing) bound_goodbye(w, seconds);
}

// --- What is said of it ----------------------------------------------------------------------

int websocket_give_error(lua_State *L, const websocket *w, int rc, const char *op) {
  return stream_fail(L, w->s, rc, op);
}

// Add the close code and the reason to the error on top.
static void add_code(lua_State *L, const websocket *w) {
  lua_pushinteger(L, w->code);
  lua_setfield(L, -2, "status");
  if (!w->reason) return;
  lua_pushlstring(L, w->reason, w->reason_len);
  lua_setfield(L, -2, "reason");
}

// Push nil and why the conversation ended otherwise than it should.
static int give_fault(lua_State *L, const websocket *w, const char *op) {
  char target[128] = "";
  w->s->t->describe(w->s, target, sizeof target);
  if (w->fault)
    err_return(L, w->code == WEBSOCKET_TOO_BIG ? "EMSGSIZE" : "EPROTO", op, target, "%s", w->fault);
  else if (w->rc == UV_EOF)
    err_return(L, "EOF", op, target, "the connection was closed without a goodbye");
  else if (w->rc == UV_ETIMEDOUT)
    err_return(L, "ECONNRESET", op, target, "the peer gave no sign of life for too long");
  else if (w->rc)
    websocket_give_error(L, w, w->rc, op);
  else
    err_return(L, "ECLOSED", op, target, "the peer closed the conversation with code %d", w->code);
  add_code(L, w);
  return 2;
}

// Say whether it ended as it should, or this side wanted it to end.
static int is_good_end(const websocket *w) {
  if (w->fault || w->is_ours) return w->is_ours;
  return !w->rc && (w->code == WEBSOCKET_NORMAL || w->code == WEBSOCKET_GOING_AWAY ||
                    w->code == WEBSOCKET_NO_CODE);
}

int websocket_give_end(lua_State *L, websocket *w) {
  if (w->discards) {
    websocket_hang_up(w);
    return on_end(L, w, 0);
  }
  if (is_good_end(w)) {
    lua_pushnil(L);
    return 1;
  }
  int raises = w->raises;  // of this call, and not of one that a finaliser makes
  int results = give_fault(L, w, "recv");
  if (!raises) return results;
  err_where(L);
  lua_setfield(L, -2, "where");
  return lua_error(L);
}

int websocket_give_closed(lua_State *L, const websocket *w, const char *op) {
  if (w->over && !is_good_end(w)) return give_fault(L, w, op);
  char target[128] = "";
  w->s->t->describe(w->s, target, sizeof target);
  err_return(L, "ECLOSED", op, target, "the conversation is over");
  if (w->over) add_code(L, w);
  return 2;
}
