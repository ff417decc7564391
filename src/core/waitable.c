// SPDX-License-Identifier: MIT
// Waitables: classes, waiters, and waiting for one object. See waitable.h; select.c waits for
// several. Runs on the loop thread. A waiter for one object lives on the C heap from the moment it
// is queued until it is served or its task is cancelled.
#include "core/waitable.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/runtime.h"
#include "core/select.h"
#include "core/task.h"

static const char class_key; // its address is the key in metatables

void waitable_register(lua_State *L, const waitable *cls) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)cls);
  lua_rawsetp(L, -2, &class_key);
}

const waitable *waitable_of(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return NULL;
  lua_rawgetp(L, -1, &class_key);
  const waitable *cls = lua_touserdata(L, -1);
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

static int finish(lua_State *L, int item, int rc) {
  if (rc == UV_ENOMEM) return luaL_error(L, "not enough memory");
  return waitable_of(L, 1)->finish(L, 1, item, rc);
}

int waitable_received(lua_State *L, void *arg, int rc) {
  (void)arg; // freed when it was served
  return finish(L, 0, rc);
}

int waitable_sent(lua_State *L, void *arg, int rc) {
  (void)arg;
  return finish(L, 2, rc);
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
