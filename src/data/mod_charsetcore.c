// SPDX-License-Identifier: MIT
// corun.charsetcore: decoders of character sets; lua/corun/http_charset.lua is the policy over
// them. Owns the metatable of decoders. Runs on the loop thread.
#include <lauxlib.h>
#include <uv.h>

#include "core/args.h"
#include "data/charset.h"
#include "data/mods.h"

#define DECODER_CLASS "corun.charset"

static charset *check_decoder(lua_State *L) {
  return arg_object(L, 1, DECODER_CLASS);
}

// decoder(name): nil where the system has no such character set.
static int l_decoder(lua_State *L) {
  const char *name = arg_string(L, 1);
  charset *c = lua_newuserdatauv(L, sizeof *c, 0);
  if (charset_init(c, name) < 0) {
    lua_pushnil(L);
    return 1;
  }
  luaL_setmetatable(L, DECODER_CLASS);
  return 1;
}

// feed(piece, is_last): the text that is complete by now.
static int l_feed(lua_State *L) {
  size_t len;
  charset *c = check_decoder(L);
  const char *s = arg_lstring(L, 2, &len);
  if (charset_feed(c, s, len, lua_toboolean(L, 3)) < 0) {
    lua_pushliteral(L, "not enough memory");
    return lua_error(L);
  }
  lua_pushlstring(L, buffer_len(&c->out) ? buffer_bytes(&c->out) : "", buffer_len(&c->out));
  buffer_consume(&c->out, buffer_len(&c->out));
  return 1;
}

static int l_gc(lua_State *L) {
  charset_fini(check_decoder(L));
  return 0;
}

int luaopen_corun_charsetcore(lua_State *L) {
  static const luaL_Reg functions[] = {{"decoder", l_decoder}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"feed", l_feed}, {NULL, NULL}};
  if (luaL_newmetatable(L, DECODER_CLASS)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
