// SPDX-License-Identifier: MIT
// The modules that net brings, for main's table. Each is a lua_CFunction for package.searchers.
#ifndef NET_MODS_H
#define NET_MODS_H

#include <lua.h>

int luaopen_corun_netcore(lua_State *L);  // connect and the classes of streams
int luaopen_corun_listen(lua_State *L);   // listen; lua/corun/net.lua adds serve
int luaopen_corun_udp(lua_State *L);
int luaopen_corun_tlscore(lua_State *L);  // contexts and handshakes, for lua/corun/tls.lua

#endif
