// SPDX-License-Identifier: MIT
// The modules that sys brings, for main's table. Each is a lua_CFunction for package.searchers.
#ifndef SYS_MODS_H
#define SYS_MODS_H

#include <lua.h>

int luaopen_corun_processcore(lua_State *L);  // child processes; lua/corun/process.lua has run
int luaopen_corun_ttycore(lua_State *L);      // standard streams, the terminal; lua/corun/tty.lua
int luaopen_corun_fscore(lua_State *L);       // files; lua/corun/fs.lua makes corun.fs of it

#endif
