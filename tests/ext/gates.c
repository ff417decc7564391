// SPDX-License-Identifier: MIT
// An ordinary Lua C module that blocks, as libraries for databases do: a gate is a userdata whose
// `wait` does not return before somebody, on whatever thread, has called the module's `open` with
// its name. All states of the process see the same names and counts.
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <string.h>

#define CLASS "gate"
#define GATES 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

// Guarded by the lock: names that are open, how many wait, how many gates there are.
static char names[GATES][32];
static int is_opened[GATES], waiting, alive;

typedef struct gate {
  int number;
  int is_alive;
  int ticks;
} gate;

// The lock is held.
static int number_of(const char *name) {
  int i = 0;
  while (i < GATES && names[i][0] && strcmp(names[i], name) != 0) i++;
  if (i < GATES) strcpy(names[i], name);
  return i;
}

static gate *check_gate(lua_State *L, int idx) {
  gate *g = luaL_checkudata(L, idx, CLASS);
  luaL_argcheck(L, g->is_alive, idx, "closed gate");
  return g;
}

static const char *check_name(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  luaL_argcheck(L, *name && strlen(name) < sizeof names[0], 1, "bad length");
  return name;
}

// name -> gate
static int l_new(lua_State *L) {
  const char *name = check_name(L);
  gate *g = lua_newuserdatauv(L, sizeof *g, 0);
  g->is_alive = g->ticks = 0;
  luaL_setmetatable(L, CLASS);
  pthread_mutex_lock(&lock);
  g->number = number_of(name);
  g->is_alive = g->number < GATES;
  alive += g->is_alive;
  pthread_mutex_unlock(&lock);
  return g->is_alive ? 1 : luaL_error(L, "too many gates");
}

// The lock is held.
static void pass(int number) {
  waiting++;
  while (!is_opened[number]) pthread_cond_wait(&changed, &lock);
  waiting--;
}

// name -> gate, once it is open
static int l_enter(lua_State *L) {
  l_new(L);
  pthread_mutex_lock(&lock);
  pass(((const gate *)lua_touserdata(L, -1))->number);
  pthread_mutex_unlock(&lock);
  return 1;
}

// Block until the gate is open; what else was passed comes back.
static int l_wait(lua_State *L) {
  const gate *g = check_gate(L, 1);
  pthread_mutex_lock(&lock);
  pass(g->number);
  pthread_mutex_unlock(&lock);
  return lua_gettop(L) - 1;
}

static int l_name(lua_State *L) {
  lua_pushstring(L, names[check_gate(L, 1)->number]);
  return 1;
}

// How often it was called.
static int l_tick(lua_State *L) {
  lua_pushinteger(L, ++check_gate(L, 1)->ticks);
  return 1;
}

// Whether the argument is the very same gate.
static int l_is(lua_State *L) {
  lua_pushboolean(L, check_gate(L, 1) == check_gate(L, 2));
  return 1;
}

static int l_step(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 2);
  if (n >= 3) return 0;
  lua_pushinteger(L, n + 1);
  lua_pushvalue(L, 1);
  return 2;
}

// The values of a generic for, that counts to 3; the function has no name anywhere.
static int l_each(lua_State *L) {
  check_gate(L, 1);
  lua_pushcfunction(L, l_step);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

// A table in which the gate is twice.
static int l_table(lua_State *L) {
  check_gate(L, 1);
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "gate");
  lua_createtable(L, 1, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  lua_setfield(L, -2, "list");
  return 1;
}

static int l_fail(lua_State *L) {
  check_gate(L, 1);
  if (lua_isstring(L, 2)) return luaL_error(L, "gate: %s", lua_tostring(L, 2));
  lua_settop(L, 2);
  return lua_error(L);
}

// Gives false when it was closed before, as luasql does.
static int l_close(lua_State *L) {
  gate *g = luaL_checkudata(L, 1, CLASS);
  pthread_mutex_lock(&lock);
  alive -= g->is_alive;
  pthread_mutex_unlock(&lock);
  lua_pushboolean(L, g->is_alive);
  g->is_alive = 0;
  return 1;
}

// name: let all pass who wait for it, from now on
static int l_open(lua_State *L) {
  const char *name = check_name(L);
  pthread_mutex_lock(&lock);
  int i = number_of(name);
  if (i < GATES) is_opened[i] = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return 0;
}

// -> gates that there are, calls of wait that block
static int l_count(lua_State *L) {
  pthread_mutex_lock(&lock);
  lua_pushinteger(L, alive);
  lua_pushinteger(L, waiting);
  pthread_mutex_unlock(&lock);
  return 2;
}

__attribute__((visibility("default"))) int luaopen_gates(lua_State *L);

int luaopen_gates(lua_State *L) {
  static const luaL_Reg methods[] = {{"wait", l_wait}, {"name", l_name},   {"tick", l_tick},
                                     {"is", l_is},     {"each", l_each},   {"table", l_table},
                                     {"fail", l_fail}, {"close", l_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
    {"new", l_new}, {"enter", l_enter}, {"open", l_open}, {"count", l_count}, {NULL, NULL}};
  luaL_newmetatable(L, CLASS);
  lua_pushcfunction(L, l_close);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
