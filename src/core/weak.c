// SPDX-License-Identifier: MIT
// Weak tables. See weak.h.
#include "core/weak.h"

#include <lauxlib.h>

void weak_newtable(lua_State *L, const char *mode) {
  lua_newtable(L);
  if (!mode) return;
  lua_createtable(L, 0, 1);
  lua_pushstring(L, mode);
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

void weak_push(lua_State *L, const void *key, const char *mode) {
  luaL_checkstack(L, 6, NULL);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  weak_newtable(L, mode);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}
