// SPDX-License-Identifier: MIT
// corun.csvcore: the reader of comma-separated values; lua/corun/csv.lua makes the module corun.csv
// of it. Owns the metatable of readers. Runs on the loop thread.
#include <lauxlib.h>

#include "core/args.h"
#include "data/csv.h"
#include "data/mods.h"

#define READER_CLASS "corun.csv.reader"

static csv_reader *check_reader(lua_State *L) {
  return arg_object(L, 1, READER_CLASS);
}

// reader(separator, quote | nil, max | nil, names): names are a list, true for the first row, or
// nil.
static int l_reader(lua_State *L) {
  const char *separator = arg_string(L, 1), *quote = arg_opt_string(L, 2, NULL);
  lua_Integer max = arg_opt_integer(L, 3, LUA_MAXINTEGER);
  lua_settop(L, 4);
  csv_reader *r = lua_newuserdatauv(L, sizeof *r, CSV_NAMES);
  csv_init(r, *separator, quote ? (unsigned char)*quote : CSV_NO_QUOTE, (size_t)max);
  luaL_setmetatable(L, READER_CLASS);
  if (lua_istable(L, 4)) {
    r->names = (lua_Integer)lua_rawlen(L, 4);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, -2, CSV_NAMES);
  } else {
    r->wants_names = lua_toboolean(L, 4);
  }
  return 1;
}

static int l_feed(lua_State *L) {
  size_t len;
  csv_reader *r = check_reader(L);
  const char *s = arg_lstring(L, 2, &len);
  csv_feed(L, r, s, len, lua_toboolean(L, 3));
  return 2;
}

static int l_names(lua_State *L) {
  check_reader(L);
  lua_getiuservalue(L, 1, CSV_NAMES);
  return 1;
}

static int l_gc(lua_State *L) {
  csv_fini(check_reader(L));
  return 0;
}

int luaopen_corun_csvcore(lua_State *L) {
  static const luaL_Reg functions[] = {{"reader", l_reader}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"feed", l_feed}, {"names", l_names}, {NULL, NULL}};
  if (luaL_newmetatable(L, READER_CLASS)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
