// SPDX-License-Identifier: MIT
// libFuzzer: any bytes through corun.json. The parser and the scanner must agree on what is JSON; a
// fault lies inside the text; what was decoded comes back equal from each style of encoding. Owns
// one Lua state for all inputs.
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "data/json.h"
#include "data/mods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static int same(lua_State *L, int a, int b);

// Every member of the table at `a` is in the one at `b`, and equal; answer their number.
static int members(lua_State *L, int a, int b) {
  int n = 0;
  luaL_checkstack(L, 8, NULL);
  for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 1), n++) {
    lua_pushvalue(L, -2);
    lua_rawget(L, b);
    must(same(L, lua_gettop(L) - 1, lua_gettop(L)));
    lua_pop(L, 1);
  }
  return n;
}

static int same(lua_State *L, int a, int b) {
  if (lua_type(L, a) != lua_type(L, b) || lua_isinteger(L, a) != lua_isinteger(L, b)) return 0;
  if (lua_type(L, a) == LUA_TTABLE) return members(L, a, b) == members(L, b, a);
  if (lua_type(L, a) != LUA_TNUMBER || lua_isinteger(L, a)) return lua_rawequal(L, a, b);
  lua_Number x = lua_tonumber(L, a), y = lua_tonumber(L, b);
  return memcmp(&x, &y, sizeof x) == 0;  // tells 0.0 from -0.0
}

static void check_round_trip(lua_State *L, int value) {
  json_fault fault;
  for (int style = 0; style < 4; style++) {
    json_style s = {.pretty = style & 1, .sort = style >> 1};
    size_t len;
    must(json_encode(L, value, &s));
    const char *text = lua_tolstring(L, -1, &len);
    must(json_decode(L, text, len, 0, &fault));
    must(same(L, value, lua_gettop(L)));
    lua_settop(L, value);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;  // for the life of the process, as libFuzzer wants it
  static json_parser *parser;
  if (!L) {
    L = luaL_newstate();
    parser = json_parser_new();
    must(L && parser);
    err_open(L);
    luaopen_corun_json(L);
  }
  lua_settop(L, 0);
  const char *text = (const char *)data;
  json_fault fault, scanned;
  if (json_decode(L, text, size, 0, &fault)) {
    size_t mark = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    must(json_scan(parser, text + mark, size - mark, NULL, &scanned) >= 0);
    check_round_trip(L, 1);
  } else {
    must(lua_gettop(L) == 0 && fault.offset <= size && strcmp(fault.reason, "not JSON") != 0);
  }
  return 0;
}
