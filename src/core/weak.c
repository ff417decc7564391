// SPDX-License-Identifier: MIT
// Weak tables. See weak.h.
#include "core/weak.h"

void weak_newtable(lua_State *L, const char *mode) {
  lua_newtable(L);
  if (!mode) return;
  lua_createtable(L, 0, 1);
  lua_pushstring(L, mode);
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}
