// SPDX-License-Identifier: MIT
// Failures of a scope. The table holds, in the order in which they came, the handle of an async
// task whose failure is pending, and false where that was delivered; a pending handle is also a key
// with its place as the value. A list of its own has a box {error} for each other failure, so that
// any number of pending ones leaves room for these, which come first. See failures.h.
#include "core/failures.h"

#include <lauxlib.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/weak.h"

#define KEPT ERR_MOST
#define COUNTED 0   // where the weak table of the tasks only counted stands
#define NOTED (-1)  // where the list of boxes stands

// Push the scope's table, made when `make` asks for it; answer 0 when there is none.
static int push_table(lua_State *L, scope *s, int make) {
  if (s->failed_ref == LUA_NOREF) {
    if (!make) return 0;
    lua_newtable(L);
    lua_pushvalue(L, -1);
    s->failed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 1;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->failed_ref);
  return 1;
}

// Close the gaps that delivered failures left in the table on top of the stack; answer its length.
static lua_Integer compact(lua_State *L) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1), live = 0;
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, -1, i) == LUA_TBOOLEAN) {
      lua_pop(L, 1);
      continue;
    }
    live++;
    lua_pushvalue(L, -1);
    lua_pushinteger(L, live);
    lua_rawset(L, -4);
    lua_rawseti(L, -2, live);
  }
  for (lua_Integer i = live + 1; i <= n; i++) {
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  return live;
}

// With the table on top: answer the place for one more entry, 0 when there is no room.
static lua_Integer place(lua_State *L) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  if (n >= KEPT) n = compact(L);
  return n < KEPT ? n + 1 : 0;
}

// With the table on top: push the table that stands at `key`, which is made at first, with `mode`.
static void push_part(lua_State *L, int key, const char *mode) {
  if (lua_rawgeti(L, -1, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  weak_newtable(L, mode);
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, key);
}

void failures_note(lua_State *L, scope *s) {
  luaL_checkstack(L, 8, NULL);
  lua_createtable(L, 1, 0);
  lua_insert(L, -2);
  lua_rawseti(L, -2, 1);
  push_table(L, s, 1);
  push_part(L, NOTED, NULL);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  if (n < KEPT) {
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, n + 1);
  } else {
    s->nfailures++;
  }
  lua_pop(L, 3);
}

void failures_pend(lua_State *L, scope *s, int idx) {
  task *t = lua_touserdata(L, idx);
  idx = lua_absindex(L, idx);
  luaL_checkstack(L, 8, NULL);
  push_table(L, s, 1);
  lua_Integer at = place(L);
  if (at) {
    lua_pushvalue(L, idx);
    lua_pushinteger(L, at);
    lua_rawset(L, -3);
    lua_pushvalue(L, idx);
    lua_rawseti(L, -2, at);
  } else {
    push_part(L, COUNTED, "k");
    lua_pushvalue(L, idx);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    s->nfailures++;
  }
  t->flags |= TASK_PENDING;
  lua_pop(L, 1);
}

void failures_deliver(lua_State *L, scope *s, int idx) {
  task *t = lua_touserdata(L, idx);
  if (!(t->flags & TASK_PENDING)) return;
  t->flags &= (uint16_t)~TASK_PENDING;
  idx = lua_absindex(L, idx);
  push_table(L, s, 0);
  lua_pushvalue(L, idx);
  if (lua_rawget(L, -2) != LUA_TNUMBER) {
    lua_pop(L, 1);
    push_part(L, COUNTED, "k");
    lua_pushvalue(L, idx);
    lua_pushnil(L);
    lua_rawset(L, -3);
    s->nfailures--;
    lua_pop(L, 2);
    return;
  }
  lua_Integer at = lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, at);
  lua_pushvalue(L, idx);
  lua_pushnil(L);
  lua_rawset(L, -3);
  if (at == (lua_Integer)lua_rawlen(L, -1)) {
    lua_pushnil(L);
    lua_rawseti(L, -2, at);
  }
  lua_pop(L, 1);
}

// Answer whether the value on top equals one of the `n` errors below the value under it.
static int known(lua_State *L, int n) {
  for (int i = 1; i <= n; i++)
    if (lua_rawequal(L, -1, -2 - i)) return 1;
  return 0;
}

// Push the error of the failed task whose handle is on top of the stack.
static void push_failure(lua_State *L) {
  const task *t = lua_touserdata(L, -1);
  task_push_error(L, -1);
  if (t->flags & TASK_SOFT) trace_returned(L, t);
}

// With a list on top of the stack and `n` errors below it: push those of the list, boxes or pending
// tasks, each once and up to KEPT in all, in its place; answer the number of errors.
static int push_kept(lua_State *L, scope *s, int n) {
  lua_Integer len = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= len; i++) {
    int kind = lua_rawgeti(L, -1, i);
    if (kind == LUA_TBOOLEAN) {
      lua_pop(L, 1);
      continue;
    }
    if (kind == LUA_TTABLE)
      lua_rawgeti(L, -1, 1);
    else
      push_failure(L);
    lua_remove(L, -2);
    if (known(L, n)) {
      lua_pop(L, 1);
    } else if (n == KEPT) {
      lua_pop(L, 1);
      s->nfailures++;
    } else {
      lua_insert(L, -2);
      n++;
    }
  }
  lua_pop(L, 1);
  return n;
}

// With the table at `table` and `n` errors above it: push those of tasks that were only counted and
// still live, up to KEPT in all; answer the number of errors.
static int push_pending(lua_State *L, scope *s, int table, int n) {
  if (lua_rawgeti(L, table, COUNTED) != LUA_TTABLE) {
    lua_pop(L, 1);
    return n;
  }
  lua_replace(L, table);
  lua_pushnil(L);
  while (n < KEPT && lua_next(L, table)) {
    lua_pop(L, 1);
    s->nfailures--;
    push_failure(L);
    if (known(L, n)) {
      lua_pop(L, 1);
    } else {
      lua_insert(L, -2);
      n++;
    }
  }
  if (n == KEPT) lua_pop(L, 1);  // the key
  return n;
}

void failures_group(lua_State *L, int n, unsigned omitted) {
  if (n == 1 && !omitted) return;
  lua_pushvalue(L, -n);
  lua_insert(L, -n - 1);  // the first once more, below
  err_push_group(L, n, omitted);
  trace_inherit(L);
  lua_remove(L, -2);
}

int failures_push(lua_State *L, scope *s) {
  luaL_checkstack(L, KEPT + LUA_MINSTACK, NULL);
  int n = 0;
  if (push_table(L, s, 0)) {
    int table = lua_gettop(L);
    if (lua_rawgeti(L, table, NOTED) == LUA_TTABLE)
      n = push_kept(L, s, n);
    else
      lua_pop(L, 1);
    lua_pushvalue(L, table);
    n = push_kept(L, s, n);  // these count from now on, so they come after
    if (s->nfailures && n < KEPT) n = push_pending(L, s, table, n);
    lua_remove(L, table);
  }
  if (s->oom) {
    lua_pushliteral(L, "not enough memory");
    n++;
  }
  if (!n && s->nfailures) {
    lua_pushliteral(L, "a task failed whose error was not kept");
    s->nfailures--;
    n++;
  }
  if (!n) return 0;
  failures_group(L, n, s->nfailures);
  return 1;
}

// Clear the mark of the tasks that are keys of the table on top.
static void clear_keys(lua_State *L) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (!lua_isuserdata(L, -2)) continue;
    task *t = lua_touserdata(L, -2);
    t->flags &= (uint16_t)~TASK_PENDING;
  }
}

void failures_forget(rt *r, scope *s) {
  lua_State *L = r->L;
  if (!push_table(L, s, 0)) return;
  clear_keys(L);
  if (lua_rawgeti(L, -1, COUNTED) == LUA_TTABLE) clear_keys(L);
  lua_pop(L, 2);
}
