// SPDX-License-Identifier: MIT
// Events. See event.h. The values of an event that is set lie in a table in its user value; who
// waits is handed that table, so that a later set or clear changes nothing for them.
#include "core/event.h"

#include <lauxlib.h>
#include <stdio.h>

#include "core/runtime.h"
#include "core/task.h"

enum { VALUES = 1, WHAT };  // user values

event *event_new(lua_State *L) {
  event *e = lua_newuserdatauv(L, sizeof *e, WHAT);
  e->what = lua_tostring(L, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, WHAT);
  list_init(&e->tasks);
  list_init(&e->selects);
  e->is_set = 0;
  return e;
}

// Replace the table of values on top of the stack by the values; answer their number.
static int unpack(lua_State *L) {
  int values = lua_gettop(L);
  lua_getfield(L, values, "n");
  int n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, n + 1, "too many values");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, values, i);
  lua_remove(L, values);
  return n;
}

static int poll(lua_State *L, int object, int item) {
  (void)item;
  const event *e = lua_touserdata(L, object);
  if (!e->is_set) return -1;
  lua_getiuservalue(L, object, VALUES);
  return unpack(L);
}

static void enqueue(waiter *w) {
  list_push(&((event *)w->object)->selects, &w->link);
}

static void dequeue(waiter *w) {
  list_remove(&w->link);
}

static int finish(lua_State *L, int object, int item, int rc) {
  (void)object;
  (void)item;
  (void)rc;
  return unpack(L);
}

const waitable event_class = {"event", 0, poll, enqueue, dequeue, finish};

static wait_answer cancel_wait(task *t, void *arg) {
  (void)arg;
  list_remove(&t->wlink);
  return WAIT_STOPPED;
}

static int happened(lua_State *L, void *arg, int rc) {
  (void)arg;
  if (rc < 0) return luaL_error(L, "not enough memory");
  return unpack(L);
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  snprintf(buf, n, "event %p", arg);
}

static const wait_ops wait_event_ops = {"wait", cancel_wait, happened, describe};

static void describe_news(const task *t, const void *arg, char *buf, size_t n) {
  const event *e = arg;
  (void)t;
  snprintf(buf, n, "%s", e->what);
}

static const wait_ops wait_news_ops = {"word of", cancel_wait, happened, describe_news};

int event_wait(lua_State *L) {
  event *e = lua_touserdata(L, 1);
  task_checkpoint(L);
  int n = poll(L, 1, 0);
  if (n >= 0) return n;
  wait_check(L);
  lua_settop(L, 1);
  list_push(&e->tasks, &task_current(L)->wlink);
  return wait_begin(L, e->what ? &wait_news_ops : &wait_event_ops, e);
}

void event_set(lua_State *L) {
  event *e = lua_touserdata(L, 1);
  int n = lua_gettop(L) - 1;
  lua_createtable(L, n, 1);
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
  lua_insert(L, 2);
  for (int i = n; i >= 1; i--) lua_rawseti(L, 2, i);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 1, VALUES);
  e->is_set = 1;
  for (list *l; (l = list_shift(&e->tasks));) {
    task *t = list_entry(l, task, wlink);
    lua_pushvalue(L, 2);
    if (wait_wake_values(t, 0, L, 1) == 0) continue;
    lua_pop(L, 1);
    wait_wake(t, UV_ENOMEM);
  }
  while (!list_empty(&e->selects)) {
    lua_pushvalue(L, 2);
    if (waiter_serve(list_entry(e->selects.next, waiter, link), SERVED, L, 1) < 0) lua_pop(L, 1);
  }
}

void event_clear(lua_State *L) {
  event *e = lua_touserdata(L, 1);
  e->is_set = 0;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, VALUES);
}
