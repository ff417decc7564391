// SPDX-License-Identifier: MIT
// The modules that pool brings, for main's table. Each is a lua_CFunction for package.searchers.
#ifndef POOL_MODS_H
#define POOL_MODS_H

#include <lua.h>

int luaopen_corun_message(lua_State *L);  // values within the process, for tests
int luaopen_corun_poolcore(lua_State *L);
int luaopen_corun_sharecore(lua_State *L);
int luaopen_corun_transfer(lua_State *L);  // values as bytes

#endif
