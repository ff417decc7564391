// SPDX-License-Identifier: MIT
// Waitables: classes, waiters, and waiting for one object. See waitable.h; select.c waits for
// several. Runs on the loop thread. A waiter for one object lives on the C heap from the moment it
// is queued until it is served or its task is cancelled.
#include "core/waitable.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/select.h"
#include "core/task.h"

static const char classes;  // its address is the key in the registry

// The table that leads from metatables to classes is out of reach of scripts: what it says of a
// userdata can be trusted.
void waitable_register(lua_State *L, const waitable *cls) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &classes) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &classes);
  }
  lua_pushvalue(L, -2);
  lua_pushlightuserdata(L, (void *)(uintptr_t)cls);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

const waitable *waitable_of(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return NULL;
  const waitable *cls = NULL;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &classes) == LUA_TTABLE) {
    lua_insert(L, -2);
    lua_rawget(L, -2);
    cls = lua_touserdata(L, -1);
  }
  lua_pop(L, 2);
  return cls;
}

int waitable_begin(lua_State *L, const wait_ops *ops, const waitable *cls, int item) {
  task_checkpoint(L);
  int n = cls->poll(L, 1, item);
  if (n >= 0) return n;
  wait_check(L);
  waiter *w = malloc(sizeof *w);
  if (!w) return luaL_error(L, "not enough memory");
  w->t = task_current(L);
  w->L = L;
  w->object = lua_touserdata(L, 1);
  w->cls = cls;
  w->of = NULL;
  w->item = item;
  cls->enqueue(w);
  return wait_begin(L, ops, w);
}

wait_answer waitable_cancel(task *t, void *arg) {
  (void)t;
  waiter *w = arg;
  w->cls->dequeue(w);
  free(w);
  return WAIT_STOPPED;
}

int waitable_done(lua_State *L, const waitable *cls, int item, int rc) {
  if (rc == UV_ENOMEM) return luaL_error(L, "not enough memory");
  return cls->finish(L, 1, item, rc);
}

void waitable_describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  const waiter *w = arg;
  snprintf(buf, n, "%s %p", w->cls->name, w->object);
}

int waiter_serve(waiter *w, int rc, lua_State *from, int n) {
  task *t = w->t;
  if (w->of) {
    select_decide(w->of, w);
  } else {
    w->cls->dequeue(w);
    free(w);
  }
  if (n && wait_wake_values(t, rc, from, n) == 0) return 0;
  wait_wake(t, n ? UV_ENOMEM : rc);
  return n ? UV_ENOMEM : 0;
}

// --- Channels --------------------------------------------------------------------------------

void waitable_check_item(lua_State *L, const char *op) {
  if (lua_gettop(L) > 2)
    err_misuse(L, "%s takes one value, got %d: put them into a table", op, lua_gettop(L) - 1);
  if (lua_isnoneornil(L, 2))
    err_misuse(L, "cannot %s nil: it stands for the end of the channel; close it instead", op);
}

int waitable_try_send(lua_State *L, const waitable *cls) {
  int n = cls->poll(L, 1, 2);
  if (n >= 0) return n;
  lua_pushboolean(L, 0);
  return 1;
}

static int fail(lua_State *L, const char *code, const char *op, const waitable *cls,
                const void *self, const char *why) {
  char target[48];
  snprintf(target, sizeof target, "%s %p", cls->name, self);
  return err_return(L, code, op, target, "%s", why);
}

int waitable_try_recv(lua_State *L, const waitable *cls, const void *self) {
  int n = cls->poll(L, 1, 0);
  return n >= 0 ? n : fail(L, "EEMPTY", "try_recv", cls, self, "nothing is there now");
}

int waitable_fail_closed(lua_State *L, const waitable *cls, const void *self) {
  return fail(L, "ECLOSED", "send", cls, self, "the channel is closed");
}
