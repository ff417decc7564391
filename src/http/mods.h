// SPDX-License-Identifier: MIT
// The modules that http brings, for main's table. Each is a lua_CFunction for package.searchers.
#ifndef HTTP_MODS_H
#define HTTP_MODS_H

#include <lua.h>

int luaopen_corun_cookiecore(lua_State *L);  // dates and public suffixes
int luaopen_corun_httpreply(lua_State *L);   // answers of servers
int luaopen_corun_httpcore(lua_State *L);  // connections and URLs; lua/corun/http*.lua adds policy
int luaopen_corun_websocketcore(lua_State *L);

#endif
