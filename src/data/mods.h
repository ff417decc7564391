// SPDX-License-Identifier: MIT
// The modules that data brings, for main's table. Each is a lua_CFunction for package.searchers.
#ifndef DATA_MODS_H
#define DATA_MODS_H

#include <lua.h>

int luaopen_corun_charsetcore(lua_State *L);
int luaopen_corun_codec(lua_State *L);
int luaopen_corun_csvcore(lua_State *L);
int luaopen_corun_json(lua_State *L);
int luaopen_corun_urlcore(lua_State *L);
int luaopen_cjson(lua_State *L);  // Debian's lua-cjson, linked in

#endif
