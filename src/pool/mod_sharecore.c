// SPDX-License-Identifier: MIT
// Binding of channels, buffers and counters that runtimes share; lua/corun/pool.lua gives them to
// scripts. Positions are those of Lua: from 1, negative ones from the end.
#include <lauxlib.h>
#include <limits.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/wait.h"
#include "pool/commons.h"
#include "pool/mods.h"
#include "pool/shared_buffer.h"
#include "pool/shared_channel.h"

// --- Channels --------------------------------------------------------------------------------

static int l_channel(lua_State *L) {
  lua_Integer capacity = arg_opt_integer(L, 1, 0);
  arg_check(L, capacity >= 0, 1, "capacity must not be negative");
  shared_channel_push(L, capacity);
  interrupt_closable(L);
  return 1;
}

static shared_channel *check_channel(lua_State *L) {
  return (shared_channel *)(void *)shared_check(L, 1, &shared_channel_type);
}

static int l_send(lua_State *L) {
  check_channel(L);
  waitable_check_item(L, "send");
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_send);
  return shared_channel_send(L);
}

static int l_try_send(lua_State *L) {
  check_channel(L);
  waitable_check_item(L, "try_send");
  return waitable_try_send(L, &shared_channel_class);
}

// In a generic for two more arguments are passed.
static int l_recv(lua_State *L) {
  check_channel(L);
  lua_settop(L, 1);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_recv);
  return shared_channel_recv(L);
}

static int l_try_recv(lua_State *L) {
  return waitable_try_recv(L, &shared_channel_class, check_channel(L));
}

static int l_channel_close(lua_State *L) {
  shared_channel_close(check_channel(L));
  return 0;
}

static int l_channel_len(lua_State *L) {
  lua_Integer capacity;
  int closed;
  lua_pushinteger(L, (lua_Integer)shared_channel_count(check_channel(L), &capacity, &closed));
  return 1;
}

static int l_channel_tostring(lua_State *L) {
  shared_channel *c = check_channel(L);
  lua_Integer capacity;
  int closed;
  size_t n = shared_channel_count(c, &capacity, &closed);
  lua_pushfstring(L, "pool channel %p (%s%I of %I)", (void *)c, closed ? "closed, " : "",
                  (lua_Integer)n, capacity);
  return 1;
}

// name -> the channel that all runtimes know by it, whether it was made now
static int l_common(lua_State *L) {
  size_t len;
  const char *name = arg_lstring(L, 1, &len);
  lua_pushboolean(L, commons_push(L, name, len));
  return 2;
}

// --- Buffers ---------------------------------------------------------------------------------

static int l_buffer(lua_State *L) {
  size_t len;
  if (lua_type(L, 1) == LUA_TSTRING) {
    const char *bytes = lua_tolstring(L, 1, &len);
    shared_buffer_push(L, bytes, len);
  } else {
    lua_Integer n = arg_count(L, 1, 0);
    shared_buffer_push(L, NULL, (size_t)n);
  }
  return 1;
}

static shared_buffer *check_buffer(lua_State *L) {
  return (shared_buffer *)(void *)shared_check(L, 1, &shared_buffer_type);
}

static int fail_moved(lua_State *L, const char *op) {
  return err_raise(L, "ECLOSED", op, "pool buffer", "the buffer was moved");
}

// The optional range in the arguments 2 and 3, as for string.sub: offset and length.
static size_t take_range(lua_State *L, size_t len, size_t *count) {
  lua_Integer n = (lua_Integer)len, from = arg_opt_integer(L, 2, 1), to = arg_opt_integer(L, 3, -1);
  if (from < 0) from = from < -n ? 1 : n + from + 1;
  if (from == 0) from = 1;
  if (to < 0) to = n + to + 1;
  if (to > n) to = n;
  *count = to >= from ? (size_t)(to - from + 1) : 0;
  return *count ? (size_t)(from - 1) : 0;
}

static int l_read(lua_State *L) {
  shared_buffer *b = check_buffer(L);
  size_t n, at = take_range(L, shared_buffer_len(b), &n);
  luaL_Buffer out;
  char *to = luaL_buffinitsize(L, &out, n);
  if (shared_buffer_read(b, at, to, n) < 0) return fail_moved(L, "read");
  luaL_pushresultsize(&out, n);
  return 1;
}

// buffer, position, string
static int l_write(lua_State *L) {
  size_t n;
  shared_buffer *b = check_buffer(L);
  lua_Integer at = arg_integer(L, 2);
  const char *from = arg_lstring(L, 3, &n);
  size_t len = shared_buffer_len(b);
  if (at < 0) at += (lua_Integer)len + 1;
  if (at < 1 || (size_t)at - 1 > len || n > len - ((size_t)at - 1))
    return err_misuse(L, "cannot write %I bytes at %I of a buffer of %I", (lua_Integer)n, at,
                      (lua_Integer)len);
  if (shared_buffer_write(b, (size_t)at - 1, from, n) < 0) return fail_moved(L, "write");
  lua_settop(L, 1);
  return 1;
}

static int l_slice(lua_State *L) {
  shared_buffer *b = check_buffer(L);
  size_t n, at = take_range(L, shared_buffer_len(b), &n);
  shared_buffer_push_slice(L, b, at, n);
  return 1;
}

static int l_move(lua_State *L) {
  shared_buffer *b = check_buffer(L);
  if (shared_buffer_is_slice(b)) return err_misuse(L, "a slice cannot be moved, only the buffer");
  return shared_buffer_push_moved(L, b) < 0 ? fail_moved(L, "move") : 1;
}

static int l_buffer_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)shared_buffer_len(check_buffer(L)));
  return 1;
}

static int l_buffer_tostring(lua_State *L) {
  const shared_buffer *b = check_buffer(L);
  lua_pushfstring(L, "pool buffer %p (%I bytes%s)", (const void *)b,
                  (lua_Integer)shared_buffer_len(b), shared_buffer_is_slice(b) ? ", a slice" : "");
  return 1;
}

// --- Counters --------------------------------------------------------------------------------

static int l_counter(lua_State *L) {
  shared_counter_push(L, arg_opt_integer(L, 1, 0));
  return 1;
}

static shared_counter *check_counter(lua_State *L) {
  return (shared_counter *)(void *)shared_check(L, 1, &shared_counter_type);
}

// Push the sum, which wraps around as Lua's integers do.
static int l_add(lua_State *L) {
  shared_counter *c = check_counter(L);
  lua_Integer n = arg_opt_integer(L, 2, 1);
  lua_Unsigned before = (lua_Unsigned)atomic_fetch_add(&c->value, n);
  lua_pushinteger(L, (lua_Integer)(before + (lua_Unsigned)n));
  return 1;
}

static int l_get(lua_State *L) {
  lua_pushinteger(L, atomic_load(&check_counter(L)->value));
  return 1;
}

// Push the value before.
static int l_set(lua_State *L) {
  shared_counter *c = check_counter(L);
  lua_pushinteger(L, atomic_exchange(&c->value, arg_integer(L, 2)));
  return 1;
}

static int l_compare_and_set(lua_State *L) {
  shared_counter *c = check_counter(L);
  long long expected = arg_integer(L, 2);
  lua_pushboolean(L, atomic_compare_exchange_strong(&c->value, &expected, arg_integer(L, 3)));
  return 1;
}

static int l_counter_tostring(lua_State *L) {
  shared_counter *c = check_counter(L);
  lua_pushfstring(L, "pool counter %p (%I)", (void *)c, (lua_Integer)atomic_load(&c->value));
  return 1;
}

// --- The module ------------------------------------------------------------------------------

// Make the class of a type, and leave nothing; `cls` if tasks can wait for it.
static void open_class(lua_State *L, const shared_type *type, const waitable *cls,
                       const luaL_Reg *methods, const luaL_Reg *metamethods) {
  lua_newtable(L);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  if (cls) waitable_register(L, cls);
  shared_register(L, type);
}

int luaopen_corun_sharecore(lua_State *L) {
  static const luaL_Reg channel[] = {{"send", l_send},           {"recv", l_recv},
                                     {"try_send", l_try_send},   {"try_recv", l_try_recv},
                                     {"close", l_channel_close}, {NULL, NULL}};
  static const luaL_Reg channel_meta[] = {{"__call", l_recv},
                                          {"__len", l_channel_len},
                                          {"__close", l_channel_close},
                                          {"__tostring", l_channel_tostring},
                                          {NULL, NULL}};
  static const luaL_Reg buffer[] = {
    {"read", l_read}, {"write", l_write}, {"slice", l_slice}, {"move", l_move}, {NULL, NULL}};
  static const luaL_Reg buffer_meta[] = {
    {"__len", l_buffer_len}, {"__tostring", l_buffer_tostring}, {NULL, NULL}};
  static const luaL_Reg counter[] = {{"add", l_add},
                                     {"get", l_get},
                                     {"set", l_set},
                                     {"compare_and_set", l_compare_and_set},
                                     {NULL, NULL}};
  static const luaL_Reg counter_meta[] = {{"__tostring", l_counter_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"channel", l_channel},
                                       {"buffer", l_buffer},
                                       {"counter", l_counter},
                                       {"common", l_common},
                                       {NULL, NULL}};
  open_class(L, &shared_channel_type, &shared_channel_class, channel, channel_meta);
  open_class(L, &shared_buffer_type, NULL, buffer, buffer_meta);
  open_class(L, &shared_counter_type, NULL, counter, counter_meta);
  luaL_newlib(L, functions);
  return 1;
}
