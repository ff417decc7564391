// SPDX-License-Identifier: MIT
// corun.sync: the bindings of channels, select, semaphores, mutexes, events and signals;
// lua/corun/init.lua makes them part of the module `corun`. Each method has the metatable of its
// class as its first upvalue.
#include <lauxlib.h>
#include <math.h>

#include "core/args.h"
#include "core/channel.h"
#include "core/error.h"
#include "core/event.h"
#include "core/interrupt.h"
#include "core/mods.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/semaphore.h"
#include "core/signals.h"
#include "core/site.h"

#define CLASS lua_upvalueindex(1)
#define GUARD lua_upvalueindex(2)  // metatable of guards, upvalue of those that make them

// --- Classes ---------------------------------------------------------------------------------

static void *check_self(lua_State *L) {
  void *p = lua_touserdata(L, 1);
  if (p && lua_getmetatable(L, 1)) {
    int same = lua_rawequal(L, -1, CLASS);
    lua_pop(L, 1);
    if (same) return p;
  }
  lua_getfield(L, CLASS, "__name");
  const char *name = lua_tostring(L, -1);  // the metatable keeps it
  lua_pop(L, 1);
  arg_type_error(L, 1, name);
  return NULL;
}

static void refuse_arguments(lua_State *L, const char *hint) {
  if (lua_gettop(L) > 1) err_misuse(L, "%s", hint);
}

// Push a metatable; its functions get it as their upvalue, and the value on top of the stack, which
// is popped, as the second.
static void make_class(lua_State *L, const char *name, const luaL_Reg *methods,
                       const luaL_Reg *metamethods) {
  int second = lua_gettop(L);
  lua_createtable(L, 0, 8);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_pushvalue(L, second);
  luaL_setfuncs(L, metamethods, 2);
  lua_newtable(L);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, second);
  luaL_setfuncs(L, methods, 2);
  lua_setfield(L, -2, "__index");
  lua_remove(L, second);
}

// Add a constructor to the module at index 1: a function whose upvalues are the `n` classes on top
// of the stack, which stay there.
static void add(lua_State *L, const char *name, lua_CFunction fn, int n) {
  for (int i = 0; i < n; i++) lua_pushvalue(L, -n);
  lua_pushcclosure(L, fn, n);
  lua_setfield(L, 1, name);
}

// Give the new object on top of the stack its class.
static int classify(lua_State *L) {
  lua_pushvalue(L, CLASS);
  lua_setmetatable(L, -2);
  interrupt_closable(L);
  return 1;
}

// --- Channels --------------------------------------------------------------------------------

static int l_channel(lua_State *L) {
  lua_Integer capacity = arg_opt_integer(L, 1, 0);
  arg_check(L, capacity >= 0, 1, "capacity must not be negative");
  channel_new(L, capacity);
  return classify(L);
}

static int l_send(lua_State *L) {
  check_self(L);
  waitable_check_item(L, "send");
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_send);
  return channel_send(L);
}

static int l_try_send(lua_State *L) {
  check_self(L);
  waitable_check_item(L, "try_send");
  return waitable_try_send(L, &channel_class);
}

static const char *const no_timeout =
  "recv takes no arguments: for a time limit use corun.timeout or corun.select";

static int l_recv(lua_State *L) {
  check_self(L);
  refuse_arguments(L, no_timeout);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_recv);
  return channel_recv(L);
}

// In a generic for two more arguments are passed.
static int l_channel_call(lua_State *L) {
  check_self(L);
  lua_settop(L, 1);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_channel_call);
  return channel_recv(L);
}

static int l_try_recv(lua_State *L) {
  return waitable_try_recv(L, &channel_class, check_self(L));
}

static int l_channel_close(lua_State *L) {
  channel_close(check_self(L));
  return 0;
}

static int l_channel_len(lua_State *L) {
  lua_pushinteger(L, ((const channel *)check_self(L))->count);
  return 1;
}

static int l_channel_tostring(lua_State *L) {
  const channel *c = check_self(L);
  lua_pushfstring(L, "channel %p (%s%d of %I)", (const void *)c, c->closed ? "closed, " : "",
                  (int)c->count, c->capacity);
  return 1;
}

// --- Select ----------------------------------------------------------------------------------

static int l_select(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  arg_type(L, 1, LUA_TTABLE);
  opt_check(L, 2, "select", names);
  double seconds = opt_seconds(L, 2, "select", "timeout", HUGE_VAL);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_select);
  return select_begin(L, seconds);
}

// --- Semaphores and mutexes ------------------------------------------------------------------

static int l_semaphore(lua_State *L) {
  lua_Integer n = arg_integer(L, 1);
  arg_check(L, n > 0, 1, "a semaphore needs at least one permit");
  semaphore_new(L, n, 0);
  return classify(L);
}

static int l_mutex(lua_State *L) {
  semaphore_new(L, 1, 1);
  return classify(L);
}

static guard *push_guard(lua_State *L) {
  guard *g = guard_new(L, 1);
  lua_pushvalue(L, GUARD);
  lua_setmetatable(L, -2);
  return g;
}

static int l_acquire(lua_State *L) {
  check_self(L);
  refuse_arguments(L, "acquire takes no arguments: a guard holds one permit");
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_acquire);
  return semaphore_acquire(L, push_guard(L));
}

static int l_try_acquire(lua_State *L) {
  const semaphore *s = check_self(L);
  refuse_arguments(L, "try_acquire takes no arguments: a guard holds one permit");
  if (s->left && semaphore_try(L, push_guard(L))) return 1;
  lua_pushnil(L);
  return 1;
}

static int l_semaphore_tostring(lua_State *L) {
  const semaphore *s = check_self(L);
  if (!s->is_mutex)
    lua_pushfstring(L, "semaphore %p (%I of %I left)", (const void *)s, s->left, s->total);
  else if (s->left)
    lua_pushfstring(L, "mutex %p (free)", (const void *)s);
  else
    lua_pushfstring(L, "mutex %p (held by task %I)", (const void *)s, (lua_Integer)s->holder);
  return 1;
}

static int l_release(lua_State *L) {
  guard_release(check_self(L));
  return 0;
}

static int l_guard_gc(lua_State *L) {
  guard *g = check_self(L);
  rt *r = rt_of(L);
  if (!g->held || r->closing) return 0;
  if (r->opts.dev)
    fprintf(r->err,
            "corun: warning: a guard of %s %p was left to the garbage collector; task %u acquired "
            "it at %s: keep it in a <close> variable\n",
            g->of->is_mutex ? "mutex" : "semaphore", (void *)g->of, g->task, site_text(r, g->site));
  guard_release(g);
  return 0;
}

static int l_guard_tostring(lua_State *L) {
  const guard *g = check_self(L);
  lua_pushfstring(L, "guard %p (%s %p, %s)", (const void *)g,
                  g->of->is_mutex ? "mutex" : "semaphore", (const void *)g->of,
                  g->held ? "held" : "released");
  return 1;
}

// --- Events ----------------------------------------------------------------------------------

static int l_event(lua_State *L) {
  arg_opt_string(L, 1, NULL);
  lua_settop(L, 1);
  event_new(L);
  return classify(L);
}

static int l_set(lua_State *L) {
  check_self(L);
  event_set(L);
  return 0;
}

static int l_clear(lua_State *L) {
  check_self(L);
  event_clear(L);
  return 0;
}

static int l_is_set(lua_State *L) {
  lua_pushboolean(L, ((const event *)check_self(L))->is_set);
  return 1;
}

static int l_wait(lua_State *L) {
  check_self(L);
  refuse_arguments(L,
                   "wait takes no arguments: for a time limit use corun.timeout or corun.select");
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_wait);
  return event_wait(L);
}

static int l_event_tostring(lua_State *L) {
  const event *e = check_self(L);
  lua_pushfstring(L, "event %p (%s)", (const void *)e, e->is_set ? "set" : "not set");
  return 1;
}

// --- Signals ---------------------------------------------------------------------------------

static void check_signal(lua_State *L, int arg) {
  const char *name = arg_string(L, arg);
  int number = signal_number(name);
  if (number < 0) err_misuse(L, "a program cannot listen to %s", name);
  if (number == 0) err_misuse(L, "unknown signal \"%s\"", name);
}

static int l_signal(lua_State *L) {
  int n = lua_gettop(L);
  arg_check(L, n >= 1, 1, "name of a signal expected");
  for (int i = 1; i <= n; i++) check_signal(L, i);
  signals *s = signals_new(L);
  classify(L);
  for (int i = 1; i <= n; i++) {
    int rc = signals_add(L, s, lua_tostring(L, i));
    if (rc == 0) continue;
    signals_close(s);
    return err_return_uv(L, rc, "signal", lua_tostring(L, i));
  }
  return 1;
}

static int l_signals_recv(lua_State *L) {
  check_self(L);
  refuse_arguments(L, no_timeout);
  return signals_recv(L);
}

static int l_signals_call(lua_State *L) {
  check_self(L);
  lua_settop(L, 1);
  return signals_recv(L);
}

static int l_signals_try_recv(lua_State *L) {
  return waitable_try_recv(L, &signals_class, check_self(L));
}

static int l_signals_close(lua_State *L) {
  signals_close(check_self(L));
  return 0;
}

static int l_signals_len(lua_State *L) {
  lua_pushinteger(L, signals_count(check_self(L)));
  return 1;
}

static int l_signals_tostring(lua_State *L) {
  const signals *s = check_self(L);
  signals_push_names(L, s);
  lua_pushfstring(L, "signals %p (%s)", (const void *)s, lua_tostring(L, -1));
  return 1;
}

// --- The module ------------------------------------------------------------------------------

static void open_channels(lua_State *L) {
  static const luaL_Reg methods[] = {{"send", l_send},           {"recv", l_recv},
                                     {"try_send", l_try_send},   {"try_recv", l_try_recv},
                                     {"close", l_channel_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__call", l_channel_call},
                                         {"__len", l_channel_len},
                                         {"__close", l_channel_close},
                                         {"__tostring", l_channel_tostring},
                                         {NULL, NULL}};
  lua_pushnil(L);
  make_class(L, "channel", methods, metamethods);
  waitable_register(L, &channel_class);
  add(L, "channel", l_channel, 1);
  lua_pop(L, 1);
}

static void open_semaphores(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"acquire", l_acquire}, {"try_acquire", l_try_acquire}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__tostring", l_semaphore_tostring}, {NULL, NULL}};
  static const luaL_Reg guard_methods[] = {
    {"close", l_release}, {"release", l_release}, {NULL, NULL}};
  static const luaL_Reg guard_metamethods[] = {
    {"__close", l_release}, {"__gc", l_guard_gc}, {"__tostring", l_guard_tostring}, {NULL, NULL}};
  lua_pushnil(L);
  make_class(L, "guard", guard_methods, guard_metamethods);
  lua_pushvalue(L, -1);
  make_class(L, "semaphore", methods, metamethods);
  add(L, "semaphore", l_semaphore, 1);
  lua_pop(L, 1);
  make_class(L, "mutex", methods, metamethods);
  add(L, "mutex", l_mutex, 1);
  lua_pop(L, 1);
}

static void open_events(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"set", l_set}, {"clear", l_clear}, {"is_set", l_is_set}, {"wait", l_wait}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__tostring", l_event_tostring}, {NULL, NULL}};
  lua_pushnil(L);
  make_class(L, "event", methods, metamethods);
  waitable_register(L, &event_class);
  add(L, "event", l_event, 1);
  lua_pop(L, 1);
}

static void open_signals(lua_State *L) {
  static const luaL_Reg methods[] = {{"recv", l_signals_recv},
                                     {"try_recv", l_signals_try_recv},
                                     {"close", l_signals_close},
                                     {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
    {"__call", l_signals_call}, {"__len", l_signals_len},           {"__close", l_signals_close},
    {"__gc", l_signals_close},  {"__tostring", l_signals_tostring}, {NULL, NULL}};
  lua_pushnil(L);
  make_class(L, "signals", methods, metamethods);
  waitable_register(L, &signals_class);
  add(L, "signal", l_signal, 1);
  lua_pop(L, 1);
}

int luaopen_corun_sync(lua_State *L) {
  lua_settop(L, 0);
  lua_createtable(L, 0, 6);
  lua_pushcfunction(L, l_select);
  lua_setfield(L, 1, "select");
  open_channels(L);
  open_semaphores(L);
  open_events(L);
  open_signals(L);
  return 1;
}
