// SPDX-License-Identifier: MIT
// The modules that core brings, for main's table. Each is a lua_CFunction for package.searchers.
#ifndef CORE_MODS_H
#define CORE_MODS_H

#include <lua.h>

int luaopen_corun_task(lua_State *L);    // tasks and scopes
int luaopen_corun_sync(lua_State *L);    // channels, guards, events, signals
int luaopen_corun_inside(lua_State *L);  // what corun's own Lua modules need beside that
int luaopen_corun_debug(lua_State *L);   // the task tree, counts, the virtual clock
int luaopen_corun_bundle(lua_State *L);  // what appends a script to a program

#endif
