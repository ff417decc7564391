// SPDX-License-Identifier: MIT
// corun.transfer: encode, decode, register. corun.message: the same within the process, with
// functions and shared things, for tests of the codec. Owns the metatable of messages. Runs on the
// thread of its lua_State.
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "pool/message.h"
#include "pool/mods.h"

#define MESSAGE_MT "corun.message"

// Push an empty message that the collector frees.
static message *push_message(lua_State *L) {
  message *m = lua_newuserdatauv(L, sizeof *m, 0);
  memset(m, 0, sizeof *m);
  luaL_setmetatable(L, MESSAGE_MT);
  return m;
}

// Push the message of all arguments.
static message *encode(lua_State *L, unsigned flags) {
  int n = lua_gettop(L);
  message *m = push_message(L);
  if (message_encode(L, m, 1, n, "argument", flags) < 0)
    err_raise(L, "ETRANSFER", NULL, NULL, "%s", lua_tostring(L, -1));
  return m;
}

static int l_encode(lua_State *L) {
  message *m = encode(L, MESSAGE_PLAIN);
  lua_pushlstring(L, (const char *)m->bytes, m->len);
  message_fini(m);
  return 1;
}

static int l_decode(lua_State *L) {
  message m = {0};
  const char *s = arg_lstring(L, 1, &m.len);
  m.bytes = (unsigned char *)(uintptr_t)s;  // which decoding only reads
  int n = message_try_decode(L, &m, MESSAGE_PLAIN);
  if (n >= 0) return n;
  return err_return(L, "ETRANSFER", "decode", NULL, "%s", lua_tostring(L, -1));
}

static int l_register(lua_State *L) {
  const char *name = arg_string(L, 1);
  arg_type(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  message_register(L, name);
  return 1;
}

// encode(...) -> message
static int l_pack(lua_State *L) {
  encode(L, 0);
  return 1;
}

// decode(message) -> ...
static int l_unpack(lua_State *L) {
  return message_decode(L, arg_object(L, 1, MESSAGE_MT), 0);
}

static int on_collect(lua_State *L) {
  message_fini(lua_touserdata(L, 1));
  return 0;
}

static void register_message(lua_State *L) {
  if (luaL_newmetatable(L, MESSAGE_MT)) {
    lua_pushcfunction(L, on_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
}

int luaopen_corun_transfer(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"encode", l_encode}, {"decode", l_decode}, {"register", l_register}, {NULL, NULL}};
  register_message(L);
  luaL_newlib(L, functions);
  return 1;
}

int luaopen_corun_message(lua_State *L) {
  static const luaL_Reg functions[] = {{"encode", l_pack}, {"decode", l_unpack}, {NULL, NULL}};
  register_message(L);
  luaL_newlib(L, functions);
  return 1;
}
