// SPDX-License-Identifier: MIT
// corun.debug: what the runtime knows about itself: counts, the task tree, the clock of tests.
#include <lauxlib.h>

#include "core/args.h"
#include "core/mods.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/trace.h"

static void set(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static int l_stats(lua_State *L) {
  rt *r = rt_of(L);
  lua_createtable(L, 0, 8);
  set(L, "tasks", r->ntasks);
  set(L, "handles", r->nhandles);
  set(L, "jobs", r->njobs);
  set(L, "timers", r->timers.count);
  set(L, "steps", r->stats.steps);
  set(L, "spawned", r->stats.spawned);
  set(L, "polls", r->stats.polls);
  set(L, "memory", r->alloc.held);
  return 1;
}

static int l_tree(lua_State *L) {
  trace_tree(rt_of(L));
  return 0;
}

// Push the lines of all tasks below the scope, as the tree shows them.
static void list_tasks(lua_State *L, rt *r, const task *top) {
  char line[400];
  const scope *home = task_home(top);
  for (const scope *s = top->in; s != home; s = s->parent) {
    for (const list *l = s->tasks.next; l != &s->tasks; l = l->next) {
      const task *t = list_entry(l, task, siblings);
      trace_describe(r, t, line, sizeof line);
      lua_pushstring(L, line);
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
      list_tasks(L, r, t);
    }
  }
}

static int l_tasks(lua_State *L) {
  rt *r = rt_of(L);
  const task *top = lua_isnoneornil(L, 1) ? r->main : task_check(L, 1);
  lua_newtable(L);
  if (top && !task_ended(top)) list_tasks(L, r, top);
  return 1;
}

static int l_virtual(lua_State *L) {
  arg_type(L, 1, LUA_TBOOLEAN);
  timer_virtual(rt_of(L), lua_toboolean(L, 1));
  return 0;
}

static int l_traceback(lua_State *L) {
  arg_any(L, 1);
  trace_push(L, 1);
  return 1;
}

int luaopen_corun_debug(lua_State *L) {
  static const luaL_Reg functions[] = {{"stats", l_stats},         {"tree", l_tree},
                                       {"tasks", l_tasks},         {"virtual", l_virtual},
                                       {"traceback", l_traceback}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
