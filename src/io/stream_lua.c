// SPDX-License-Identifier: MIT
// Streams as scripts see them: classes, errors, writing and closing. See stream_lua.h. Reading
// stands in stream_read.c.
#include "io/stream_lua.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "core/args.h"
#include "core/error.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/stream_write.h"

#define PIECES 16  // arguments of write that go out without being joined first
#define TARGET 128

static const char tag = 0;  // its address is in every box

// --- The userdata ----------------------------------------------------------------------------

int stream_is(lua_State *L, int idx) {
  const stream_box *b = lua_touserdata(L, idx);
  return b && lua_rawlen(L, idx) == sizeof *b && b->tag == &tag;
}

static stream_box *to_box(lua_State *L, int idx) {
  if (!stream_is(L, idx)) arg_type_error(L, idx, "stream");
  return lua_touserdata(L, idx);
}

stream_box *stream_newbox(lua_State *L, const char *name) {
  stream_box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->tag = &tag;
  b->s = NULL;
  luaL_setmetatable(L, name);
  return b;
}

stream *stream_check(lua_State *L, int idx, const char *op) {
  stream *s = to_box(L, idx)->s;
  if (!s || s->closed) stream_raise_closed(L, s, op);
  return s;
}

stream *stream_take(lua_State *L, int idx) {
  stream_box *b = lua_touserdata(L, idx);
  stream *s = b->s;
  b->s = NULL;
  return s;
}

// --- Errors ----------------------------------------------------------------------------------

static const char *target_of(const stream *s, char *buf) {
  buf[0] = 0;
  if (s) s->t->describe(s, buf, TARGET);
  return buf[0] ? buf : NULL;
}

int stream_raise_closed(lua_State *L, const stream *s, const char *op) {
  char target[TARGET];
  const char *site = s && s->closed_at ? site_text(rt_of(L), s->closed_at) : NULL;
  return err_raise_closed(L, op, target_of(s, target), "stream", site, s && s->by_scope);
}

// Push nil and the error that the transport has of its own; 0: it has none.
static int fail_own(lua_State *L, const stream *s, const char *op, const char *target) {
  char text[512];
  int may_pass = 0;
  const char *code = s->t->explain ? s->t->explain(s, text, sizeof text, &may_pass) : NULL;
  if (!code) return 0;
  err_return(L, code, op, target, "%s", text);
  if (may_pass) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "retryable");
  }
  return 2;
}

int stream_fail(lua_State *L, const stream *s, int rc, const char *op) {
  char target[TARGET];
  target_of(s, target);
  if (rc == UV_EPROTO && fail_own(L, s, op, target)) return 2;
  switch (rc) {
    case STREAM_CLOSED:
      if (!s->closed_at)
        return err_return(L, "ECLOSED", op, target, "%s was %s meanwhile",
                          s->closed ? "the stream" : "the write side",
                          s->closed ? "closed" : "shut down");
      return err_return(L, "ECLOSED", op, target, "the stream was closed meanwhile at %s",
                        site_text(rt_of(L), s->closed_at));
    case UV_ETIMEDOUT: return err_return(L, "ETIMEDOUT", op, target, "it took too long");
    default: return err_return_uv(L, rc, op, target);
  }
}

// --- Settings --------------------------------------------------------------------------------

static double own_limit(const stream *s) {
  return s->timeout > 0 ? (double)s->timeout : HUGE_VAL;
}

uint64_t stream_limit(lua_State *L, const stream *s, int idx, const char *op) {
  double otherwise = own_limit(s);
  double seconds = idx ? opt_seconds(L, idx, op, "timeout", otherwise) : otherwise;
  return timer_after(rt_of(L), seconds);
}

void stream_configure(lua_State *L, stream *s, const char *const *names) {
  arg_type(L, 2, LUA_TTABLE);
  opt_check(L, 2, "configure", names);
  double timeout = opt_seconds(L, 2, "configure", "timeout", own_limit(s));
  lua_Integer bytes = opt_count(L, 2, "configure", "queue", 1, s->bound);
  s->timeout = timeout < HUGE_VAL ? fmaxf((float)timeout, FLT_MIN) : 0;
  stream_set_bound(s, bytes);
}

static int l_configure(lua_State *L) {
  static const char *const names[] = {"timeout", "queue", NULL};
  stream_configure(L, stream_check(L, 1, "configure"), names);
  lua_settop(L, 1);
  return 1;
}

// --- Writing ---------------------------------------------------------------------------------

static int finish_write(lua_State *L, stream *s, int rc) {
  if (rc < 0) return stream_fail(L, s, rc, "write");
  lua_pushboolean(L, 1);
  return 1;
}

// Write the strings from index 2 on, which are at most PIECES.
static int write_now(lua_State *L, stream *s) {
  uv_buf_t bufs[PIECES];
  int n = lua_gettop(L) - 1;
  for (int i = 0; i < n; i++) bufs[i].base = (char *)arg_lstring(L, i + 2, &bufs[i].len);
  return finish_write(L, s, stream_write(s, bufs, (unsigned)n));
}

static int on_turn(lua_State *L, void *arg, int rc) {
  stream *s = arg;
  rc = stream_take_turn(s, rc);
  return rc < 0 ? finish_write(L, s, rc) : write_now(L, s);
}

static int on_rested(lua_State *L, void *arg, int rc) {
  (void)L;
  (void)arg;
  (void)rc;
  return 1;  // the result of the write is on top
}

static const wait_ops write_ops = {"room to write to", NULL, on_turn, stream_describe_wait};
static const wait_ops rest_ops = {"other tasks", NULL, on_rested, NULL};

static int l_write(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  stream *s = stream_check(L, 1, "write");
  int last = lua_gettop(L);
  uint64_t when = TIMER_NEVER;
  if (lua_istable(L, last)) {
    opt_check(L, last, "write", names);
    when = stream_limit(L, s, last, "write");
    lua_settop(L, --last);
  } else if (s->timeout > 0) {
    when = stream_limit(L, s, 0, "write");
  }
  if (last > PIECES + 1) {
    for (int i = 2; i <= last; i++) arg_lstring(L, i, NULL);
    lua_concat(L, last - 1);
    last = 2;
  }
  uv_buf_t bufs[PIECES];
  for (int i = 2; i <= last; i++) bufs[i - 2].base = (char *)arg_lstring(L, i, &bufs[i - 2].len);
  task_checkpoint(L);
  if (s->shut) return err_raise(L, "ECLOSED", "write", NULL, "the write side was shut down");
  rt *r = rt_of(L);
  if (!stream_is_writable(s)) return stream_wait_turn(L, s, when, &write_ops, s);
  int rc = stream_write(s, bufs, (unsigned)(last - 1));
  finish_write(L, s, rc);
  if (rc < 0) return 2;
  if (!wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, s, timer_after(r, 0));
  return 1;
}

static int on_shut(lua_State *L, void *arg, int rc) {
  if (rc < 0) return stream_fail(L, arg, rc, "shutdown");
  lua_pushboolean(L, 1);
  return 1;
}

static const wait_ops shut_ops = {"shutdown of", NULL, on_shut, stream_describe_wait};

int stream_l_shutdown(lua_State *L) {
  stream *s = stream_check(L, 1, "shutdown");
  task_checkpoint(L);
  wait_check(L);
  int rc = stream_shutdown(s);
  if (rc < 0 || s->shut_done) return on_shut(L, s, rc);
  list_push(&s->writers, &task_current(L)->wlink);
  return wait_begin(L, &shut_ops, s);
}

// --- Closing ---------------------------------------------------------------------------------

static int on_lingered(lua_State *L, void *arg, int rc) {
  if (rc < 0) return stream_fail(L, arg, rc, "close");
  lua_pushboolean(L, 1);
  return 1;
}

static const wait_ops linger_ops = {"queued bytes to reach", stream_cancel_linger, on_lingered,
                                    stream_describe_wait};

static int close_stream(lua_State *L, int by_scope) {
  stream *s = to_box(L, 1)->s;
  if (!s || s->closed) {
    lua_pushboolean(L, 1);
    return 1;
  }
  s->by_scope = by_scope != 0;
  stream_close(s, site_here(L, 0));
  return stream_linger(L, s, &linger_ops);
}

static int l_close(lua_State *L) {
  return close_stream(L, 0);
}

static int l_meta_close(lua_State *L) {
  return close_stream(L, 1);
}

static int l_gc(lua_State *L) {
  stream_box *b = lua_touserdata(L, 1);
  stream *s = b->s;
  if (!s) return 0;
  b->s = NULL;
  rt *r = rt_of(L);
  if (!s->closed && r->opts.dev && !r->closing) {
    char target[TARGET];
    s->t->describe(s, target, sizeof target);
    fprintf(r->err, "corun: warning: a %s stream to %s was left to the collector\n", s->t->kind,
            target);
  }
  stream_close(s, 0);
  stream_unref(s);
  return 0;
}

// --- The class -------------------------------------------------------------------------------

static int l_tostring(lua_State *L) {
  stream *s = to_box(L, 1)->s;
  char target[TARGET];
  luaL_getmetafield(L, 1, "__name");
  lua_pushfstring(L, "%s (%s%s%s)", lua_tostring(L, -1), s ? target_of(s, target) : "",
                  s ? ", " : "", s && !s->closed ? "open" : "closed");
  return 1;
}

void stream_class(lua_State *L, const char *name, const char *shown, const luaL_Reg *extra) {
  static const luaL_Reg methods[] = {
    {"write", l_write}, {"close", l_close}, {"configure", l_configure}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
    {"__close", l_meta_close}, {"__gc", l_gc}, {"__tostring", l_tostring}, {NULL, NULL}};
  if (luaL_newmetatable(L, name)) {
    luaL_setfuncs(L, meta, 0);
    lua_pushstring(L, shown);
    lua_setfield(L, -2, "__name");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    luaL_setfuncs(L, stream_readers, 0);
    luaL_setfuncs(L, extra, 0);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}
