// SPDX-License-Identifier: MIT
// corun.inside: what corun's own Lua modules have to see of tasks and errors, and scripts do not.
#include <lauxlib.h>

#include "core/args.h"
#include "core/error.h"
#include "core/failures.h"
#include "core/interrupt.h"
#include "core/mods.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/site.h"
#include "core/task.h"
#include "core/wait.h"

// failure(task): the error of a failed task, nil for others.
static int l_failure(lua_State *L) {
  const task *t = task_check(L, 1);
  if (t->state == TASK_FAILED)
    task_push_error(L, 1);
  else
    lua_pushnil(L);
  return 1;
}

// text(failure): it as a text, also when its __tostring fails.
static int l_text(lua_State *L) {
  arg_any(L, 1);
  err_push_text(L, 1);
  return 1;
}

// is_inside(task): whether the running task is this one or was started inside it.
static int l_is_inside(lua_State *L) {
  lua_pushboolean(L, task_is_inside(task_current(L), task_check(L, 1)));
  return 1;
}

// checkpoint(): raise the cancellation that concerns the running task (S13).
static int l_checkpoint(lua_State *L) {
  task_checkpoint(L);
  return 0;
}

// depth(): how many scopes are open in the running task's body.
static int l_depth(lua_State *L) {
  lua_pushinteger(L, scope_depth(task_current(L)));
  return 1;
}

// dependents(task): the tasks that await it, in a list; then the task it is a child of, and the
// depth of the scope there that cannot end before it.
static int l_dependents(lua_State *L) {
  task *t = task_check(L, 1);
  lua_Integer n = 0;
  lua_newtable(L);
  for (task *j = t->joiners; j; j = task_next_joiner(t, j)) {
    task_push(L, j);
    lua_rawseti(L, -2, ++n);
  }
  const scope *home = task_ended(t) ? NULL : task_home(t);
  if (!home) return 1;
  task_push(L, home->owner);
  lua_pushinteger(L, home->depth);
  return 3;
}

static scope *scope_arg(lua_State *L) {
  return arg_object(L, 1, "scope");
}

// children(scope): how many tasks the scope waits for; its daemons are not among them.
static int l_children(lua_State *L) {
  lua_pushinteger(L, scope_arg(L)->nkids);
  return 1;
}

// fence(scope): a deadlock cancels this scope, as long as it is open, and not the program.
static int l_fence(lua_State *L) {
  scope *s = scope_arg(L);
  if (!s->ended) rt_of(L)->fence = s;
  return 0;
}

// site(fn): the number of the place where the function is defined, for attend.
static int l_site(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isfunction(L, 1))
    lua_pushinteger(L, site_of(L));
  else
    lua_pushinteger(L, 0);
  return 1;
}

// The frame of attend: the site, the message handler, results or error.
#define RESULTS 3

static int attended(lua_State *L, scope *s, scope_outcome o) {
  scope_attended(L, s, o);
  if (o == SCOPE_OK) {
    if (lua_gettop(L) < RESULTS) lua_pushboolean(L, 1);
    return lua_gettop(L) - RESULTS + 1;
  }
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

// attend(site, fn, ...): what try(scope, fn) gives, but fn is called with the arguments, and the
// scope belongs to the site.
static int l_attend(lua_State *L) {
  lua_Integer site = arg_integer(L, 1);
  task_checkpoint(L);
  wait_check(L);
  return scope_attend(L, (uint32_t)site, 2, attended);
}

// group(errors): one error made of a list of them (S5).
static int l_group(lua_State *L) {
  arg_type(L, 1, LUA_TTABLE);
  int n = (int)lua_rawlen(L, 1), most = n > ERR_MOST ? ERR_MOST : n;
  luaL_checkstack(L, most + LUA_MINSTACK, NULL);
  for (int i = 1; i <= most; i++) lua_rawgeti(L, 1, i);
  failures_group(L, most, (unsigned)(n - most));
  return 1;
}

// misuse(message): raise it at the line of the script that called into corun.
static int l_misuse(lua_State *L) {
  return err_misuse(L, "%s", err_escaped(L, 1));
}

// raise(code, op, target, message): the error, at the line of the script that called into corun.
static int l_raise(lua_State *L) {
  return err_raise(L, arg_string(L, 1), arg_string(L, 2), arg_opt_string(L, 3, NULL), "%s",
                   err_escaped(L, 4));
}

int luaopen_corun_inside(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"failure", l_failure},       {"text", l_text},   {"is_inside", l_is_inside},
    {"checkpoint", l_checkpoint}, {"depth", l_depth}, {"dependents", l_dependents},
    {"children", l_children},     {"fence", l_fence}, {"site", l_site},
    {"attend", l_attend},         {"group", l_group}, {"misuse", l_misuse},
    {"raise", l_raise},           {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
