// SPDX-License-Identifier: MIT
// corun.task: the bindings of tasks and scopes; lua/corun/init.lua makes the module `corun` of
// them.
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/mods.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/wait.h"

#define NS 1e9

// --- Starting tasks --------------------------------------------------------------------------

// Give the new task, whose handle is on top, a shallow copy of its parent's locals.
static void inherit_locals(lua_State *L, task *t) {
  rt *r = rt_of(L);
  int handle = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->refs.locals);
  task_push(L, r->current);
  lua_rawget(L, -2);  // table of locals, the parent's
  lua_pushnil(L);
  if (!lua_next(L, -2)) {  // empty: the child makes its own when it wants one
    lua_settop(L, handle);
    return;
  }
  lua_pop(L, 2);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, -3);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_pushvalue(L, handle);
  lua_insert(L, -2);
  lua_rawset(L, -4);
  lua_settop(L, handle);
  t->flags |= TASK_LOCALS;
}

static int is_callable(lua_State *L, int idx) {
  if (lua_isfunction(L, idx)) return 1;
  if (luaL_getmetafield(L, idx, "__call") == LUA_TNIL) return 0;
  lua_pop(L, 1);
  return 1;
}

static void check_callable(lua_State *L, int idx) {
  if (!is_callable(L, idx)) arg_type_error(L, idx, "function");
}

static int start(lua_State *L, scope *s, task_kind kind, int nargs) {
  const task *me = task_current(L);
  task *t = task_spawn(L, s, kind, nargs);
  if (me->flags & TASK_LOCALS) inherit_locals(L, t);
  return 1;
}

static int start_here(lua_State *L, task_kind kind) {
  check_callable(L, 1);
  return start(L, scope_innermost(L), kind, lua_gettop(L) - 1);
}

static int l_spawn(lua_State *L) {
  return start_here(L, TASK_SPAWN);
}

static int l_async(lua_State *L) {
  return start_here(L, TASK_ASYNC);
}

static int l_daemon(lua_State *L) {
  return start_here(L, TASK_DAEMON);
}

// --- Task handles ----------------------------------------------------------------------------

static int l_cancel(lua_State *L) {
  task *t = task_check(L, 1);
  lua_settop(L, 2);
  task_cancel(L, t);
  return 0;
}

static int l_done(lua_State *L) {
  lua_pushboolean(L, task_ended(task_check(L, 1)));
  return 1;
}

static const char *status_of(const task *t) {
  static const char *const names[] = {"ready", "running", "waiting", "done", "failed", "cancelled"};
  return names[t->state];
}

static int l_status(lua_State *L) {
  lua_pushstring(L, status_of(task_check(L, 1)));
  return 1;
}

static int push_name(lua_State *L, int idx) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt_of(L)->refs.names);
  lua_pushvalue(L, idx);
  int type = lua_rawget(L, -2);
  lua_remove(L, -2);
  return type;
}

static void set_name(lua_State *L, int idx, int name) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt_of(L)->refs.names);
  lua_pushvalue(L, idx);
  lua_pushvalue(L, name);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static int l_task_index(lua_State *L) {  // the methods are upvalue 1
  task *t = task_check(L, 1);
  const char *key = lua_tostring(L, 2);
  if (key && strcmp(key, "id") == 0) {
    lua_pushinteger(L, t->id);
  } else if (key && strcmp(key, "name") == 0) {
    push_name(L, 1);
  } else {
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
  }
  return 1;
}

static int l_task_newindex(lua_State *L) {
  task *t = task_check(L, 1);
  const char *key = luaL_tolstring(L, 2, NULL);
  if (strcmp(key, "name") != 0) return err_misuse(L, "a task has no field \"%s\" to set", key);
  if (!lua_isnil(L, 3) && lua_type(L, 3) != LUA_TSTRING)
    return err_misuse(L, "the name of a task must be a string, got %s", luaL_typename(L, 3));
  set_name(L, 1, 3);
  t->flags |= TASK_NAMED;
  return 0;
}

static int l_task_tostring(lua_State *L) {
  task *t = task_check(L, 1);
  if (push_name(L, 1) == LUA_TSTRING)
    lua_pushfstring(L, "task %I '%s' (%s)", (lua_Integer)t->id, lua_tostring(L, -1), status_of(t));
  else
    lua_pushfstring(L, "task %I (%s)", (lua_Integer)t->id, status_of(t));
  return 1;
}

// --- Scopes ----------------------------------------------------------------------------------

static scope *check_scope(lua_State *L, int idx) {
  void *p = lua_touserdata(L, idx);
  if (p && lua_getmetatable(L, idx)) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rt_of(L)->refs.scope_mt);
    int same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (same) return p;
  }
  arg_type_error(L, idx, "scope");
  return NULL;
}

// The frame of these functions: the scope's userdata, the message handler, results or error.
#define RESULTS 3

static int leave(lua_State *L, scope *s, scope_outcome o) {
  rt *r = rt_of(L);
  int timeout = s->kind == SCOPE_TIMEOUT;
  scope_release(r, s);
  interrupt_limit(r);
  if (o == SCOPE_FAILED || o == SCOPE_CANCELLED) return lua_error(L);
  if (o == SCOPE_ABSORBED) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (timeout && lua_gettop(L) < RESULTS) lua_pushboolean(L, 1);
  return lua_gettop(L) - RESULTS + 1;
}

// Raise where no scope can be opened, before any effect.
static void check_room(lua_State *L) {
  wait_check(L);
  if (scope_depth(task_current(L)) >= SCOPE_MOST)
    err_misuse(L, "more than %d scopes are open in this task", SCOPE_MOST);
}

static int l_scope(lua_State *L) {
  static const char *const names[] = {"name", "limit", "timeout", NULL};
  check_callable(L, 1);
  opt_check(L, 2, "scope", names);
  double seconds = opt_seconds(L, 2, "scope", "timeout", HUGE_VAL);
  lua_Integer limit = opt_count(L, 2, "scope", "limit", 1, 0);
  const char *name = opt_string(L, 2, "scope", "name", NULL);
  task_checkpoint(L);
  check_room(L);
  lua_settop(L, 2);
  scope *s = scope_push(L);
  if (name) {
    lua_pushstring(L, name);
    set_name(L, 3, 4);
    lua_pop(L, 1);
  }
  scope_enter(L, s, SCOPE_PLAIN, seconds);
  s->limit = (uint32_t)(limit > UINT32_MAX ? UINT32_MAX : limit);
  lua_replace(L, 2);
  lua_insert(L, 1);  // the scope, fn
  lua_pushvalue(L, 1);
  return scope_call(L, s, 2, leave);
}

// Call the function at index 2 with the arguments above it in a scope of `kind`.
static int call_in(lua_State *L, scope_kind kind, double seconds) {
  check_room(L);
  scope *s = scope_push(L);
  lua_replace(L, 1);
  scope_enter(L, s, kind, seconds);
  return scope_call(L, s, 2, leave);
}

static int l_timeout(lua_State *L) {
  double seconds = opt_duration(L, 1);
  check_callable(L, 2);
  task_checkpoint(L);
  return call_in(L, SCOPE_TIMEOUT, seconds);
}

static int l_shield(lua_State *L) {
  check_callable(L, 1);
  lua_pushnil(L);
  lua_insert(L, 1);
  return call_in(L, SCOPE_SHIELD, HUGE_VAL);
}

static scope *check_open(lua_State *L) {
  scope *s = check_scope(L, 1);
  if (s->shut) err_misuse(L, "the scope has ended");
  return s;
}

static wait_answer cancel_slot(task *t, void *arg) {
  (void)arg;
  list_remove(&t->wlink);
  return WAIT_STOPPED;
}

static int spawn_into(lua_State *L, scope *s, task_kind kind) {
  return start(L, s, kind, lua_gettop(L) - 2);
}

static int l_spawn_into(lua_State *L) {
  return spawn_into(L, check_scope(L, 1), TASK_SPAWN);
}

static int l_async_into(lua_State *L) {
  return spawn_into(L, check_scope(L, 1), TASK_ASYNC);
}

static int l_daemon_into(lua_State *L) {
  return spawn_into(L, check_scope(L, 1), TASK_DAEMON);
}

// Start the task in the slot that was kept for it, or give the slot on.
static int take_slot(lua_State *L, scope *s, lua_CFunction start_into) {
  lua_pushcfunction(L, start_into);
  lua_insert(L, 1);
  int status = lua_pcall(L, lua_gettop(L) - 1, 1, 0);
  scope_slot_taken(rt_of(L), s);
  return status == LUA_OK ? 1 : lua_error(L);
}

static int slot_spawn(lua_State *L, void *arg, int rc) {
  (void)rc;
  return take_slot(L, arg, l_spawn_into);
}

static int slot_async(lua_State *L, void *arg, int rc) {
  (void)rc;
  return take_slot(L, arg, l_async_into);
}

static int slot_daemon(lua_State *L, void *arg, int rc) {
  (void)rc;
  return take_slot(L, arg, l_daemon_into);
}

static const wait_ops slot_ops[] = {{"a slot of its scope", cancel_slot, slot_spawn, NULL},
                                    {"a slot of its scope", cancel_slot, slot_async, NULL},
                                    {"a slot of its scope", cancel_slot, slot_daemon, NULL}};

static int scope_start(lua_State *L, task_kind kind) {
  scope *s = check_open(L);
  check_callable(L, 2);
  if (!s->limit) return spawn_into(L, s, kind);
  task *me = task_current(L);
  task_checkpoint(L);
  if (!scope_is_full(s) && list_empty(&s->slots)) return spawn_into(L, s, kind);
  for (const scope *x = task_home(me); x; x = x->parent)
    if (x == s) err_misuse(L, "a task cannot wait for a slot of the full scope it runs in");
  wait_check(L);
  list_push(&s->slots, &me->wlink);
  return wait_begin(L, &slot_ops[kind], s);
}

static int l_scope_spawn(lua_State *L) {
  return scope_start(L, TASK_SPAWN);
}

static int l_scope_async(lua_State *L) {
  return scope_start(L, TASK_ASYNC);
}

static int l_scope_daemon(lua_State *L) {
  return scope_start(L, TASK_DAEMON);
}

static int l_scope_cancel(lua_State *L) {
  scope *s = check_scope(L, 1);
  lua_settop(L, 2);
  if (s->ended || s->cause) return 0;
  if (!lua_isnil(L, 2)) s->reason_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  scope_cancel(rt_of(L), s, CANCEL_ASKED);
  return 0;
}

static int l_count(lua_State *L) {
  scope *s = check_scope(L, 1);
  lua_pushinteger(L, s->ended ? 0 : (lua_Integer)(s->nkids + s->ndaemons));
  return 1;
}

static int l_scope_tostring(lua_State *L) {
  scope *s = check_scope(L, 1);
  const char *state = s->ended ? "ended" : s->cause ? "cancelled" : "open";
  if (push_name(L, 1) == LUA_TSTRING)
    lua_pushfstring(L, "scope '%s' (%s)", lua_tostring(L, -1), state);
  else
    lua_pushfstring(L, "scope %p (%s)", (void *)s, state);
  return 1;
}

// --- try, defer ------------------------------------------------------------------------------

static int tried(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (status == LUA_OK || status == LUA_YIELD) {
    if (lua_gettop(L) == 1) lua_pushboolean(L, 1);
    return lua_gettop(L) - 1;
  }
  uint64_t id = err_cancel_scope(L, -1);
  if (id && scope_concerns(task_current(L), id)) return lua_error(L);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int l_try(lua_State *L) {
  check_callable(L, 1);
  lua_pushcfunction(L, trace_handler);
  lua_insert(L, 1);
  return tried(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, tried), 0);
}

static int l_defer(lua_State *L) {  // upvalue 1: the metatable
  check_callable(L, 1);
  int n = lua_gettop(L);
  lua_createtable(L, n, 1);
  lua_insert(L, 1);
  for (int i = n; i >= 1; i--) lua_rawseti(L, 1, i);
  lua_pushinteger(L, n);
  lua_setfield(L, 1, "n");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setmetatable(L, 1);
  interrupt_closable(L);
  return 1;
}

// Run the function once, undisturbed by cancellation (S14).
static int l_run_deferred(lua_State *L) {
  arg_type(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "n") == LUA_TNIL) return 0;
  int n = (int)lua_tointeger(L, -1);
  lua_pushnil(L);
  lua_setfield(L, 1, "n");
  lua_settop(L, 1);
  luaL_checkstack(L, n + 4, NULL);
  for (int i = 1; i <= n; i++) lua_rawgeti(L, 1, i);
  scope *s = scope_push(L);
  lua_replace(L, 1);
  scope_enter(L, s, SCOPE_SHIELD, HUGE_VAL);
  return scope_call(L, s, 2, leave);
}

// --- Time ------------------------------------------------------------------------------------

static int slept(lua_State *L, void *arg, int rc) {
  (void)L;
  (void)arg;
  (void)rc;
  return 0;
}

static const wait_ops sleep_ops = {"sleep", NULL, slept, NULL};

static int l_sleep(lua_State *L) {
  double seconds = opt_duration(L, 1);
  task_checkpoint(L);
  return wait_begin_until(L, &sleep_ops, NULL, timer_after(rt_of(L), seconds));
}

static int l_yield(lua_State *L) {
  task_checkpoint(L);
  return wait_yield(L);
}

static int l_now(lua_State *L) {
  rt *r = rt_of(L);
  lua_pushnumber(L, (double)(int64_t)(timer_now(r) - r->started) / NS);
  return 1;
}

static int l_deadline(lua_State *L) {
  rt *r = rt_of(L);
  task *t = task_current(L);
  if (!t->in || t->in->until == TIMER_NEVER) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushnumber(L, (double)(int64_t)(t->in->until - r->started) / NS);
  return 1;
}

// --- The running task ------------------------------------------------------------------------

static int l_current(lua_State *L) {
  task_push(L, task_current(L));
  return 1;
}

static int l_locals(lua_State *L) {
  rt *r = rt_of(L);
  task *t = task_current(L);
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->refs.locals);
  task_push(L, t);
  if (t->flags & TASK_LOCALS) {
    lua_rawget(L, 1);
    return 1;
  }
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_insert(L, 2);
  lua_rawset(L, 1);
  lua_remove(L, 1);
  t->flags |= TASK_LOCALS;
  return 1;
}

static int l_exit(lua_State *L) {
  int code = 0;
  if (rt_of(L)->role)
    err_misuse(L, "a worker cannot end the program; return from the job or raise an error");
  if (!lua_isnoneornil(L, 1) && !lua_isboolean(L, 1) && !lua_isnumber(L, 1))
    arg_type_error(L, 1, "boolean or number");
  if (lua_isboolean(L, 1))
    code = lua_toboolean(L, 1) ? 0 : 1;
  else
    code = (int)arg_opt_integer(L, 1, 0);
  arg_check(L, code >= 0 && code <= 255, 1, "exit status must be 0 to 255");
  task_current(L);
  rt_stop(rt_of(L), code);
  task_checkpoint(L);
  return 0;
}

static int l_err(lua_State *L) {
  const char *code = arg_string(L, 1);
  arg_string(L, 2);
  if (!lua_isnoneornil(L, 3)) {
    arg_type(L, 3, LUA_TTABLE);
    if (lua_getfield(L, 3, "code") != LUA_TNIL || lua_getfield(L, 3, "message") != LUA_TNIL)
      err_misuse(L, "the code and the message of an error are no fields of its third argument");
    lua_settop(L, 3);
  }
  err_push_fields(L, code, 2, lua_istable(L, 3) ? 3 : 0);
  return 1;
}

static int l_is_cancelled(lua_State *L) {
  arg_any(L, 1);
  lua_pushboolean(L, err_is_cancel(L, 1));
  return 1;
}

// --- Opening ---------------------------------------------------------------------------------

static void set_class(lua_State *L, int ref, const luaL_Reg *methods, const luaL_Reg *meta) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
}

static void open_classes(lua_State *L) {
  static const luaL_Reg task_methods[] = {{"await", task_await},
                                          {"cancel", l_cancel},
                                          {"done", l_done},
                                          {"status", l_status},
                                          {NULL, NULL}};
  static const luaL_Reg task_meta[] = {
    {"__newindex", l_task_newindex}, {"__tostring", l_task_tostring}, {NULL, NULL}};
  static const luaL_Reg scope_methods[] = {{"spawn", l_scope_spawn},   {"async", l_scope_async},
                                           {"daemon", l_scope_daemon}, {"cancel", l_scope_cancel},
                                           {"count", l_count},         {NULL, NULL}};
  static const luaL_Reg scope_meta[] = {{"__tostring", l_scope_tostring}, {NULL, NULL}};
  rt *r = rt_of(L);
  set_class(L, r->refs.task_mt, task_methods, task_meta);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->refs.task_mt);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, l_task_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  set_class(L, r->refs.scope_mt, scope_methods, scope_meta);
}

int luaopen_corun_task(lua_State *L) {
  static const luaL_Reg functions[] = {{"spawn", l_spawn},
                                       {"async", l_async},
                                       {"daemon", l_daemon},
                                       {"await", task_await},
                                       {"scope", l_scope},
                                       {"timeout", l_timeout},
                                       {"shield", l_shield},
                                       {"try", l_try},
                                       {"sleep", l_sleep},
                                       {"yield", l_yield},
                                       {"now", l_now},
                                       {"deadline", l_deadline},
                                       {"current", l_current},
                                       {"locals", l_locals},
                                       {"exit", l_exit},
                                       {"err", l_err},
                                       {"is_cancelled", l_is_cancelled},
                                       {NULL, NULL}};
  open_classes(L);
  luaL_newlib(L, functions);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, l_run_deferred);
  lua_setfield(L, -2, "__close");
  lua_pushliteral(L, "deferred call");
  lua_setfield(L, -2, "__name");
  lua_pushcclosure(L, l_defer, 1);
  lua_setfield(L, -2, "defer");
  return 1;
}
