// SPDX-License-Identifier: MIT
// Modules that are part of the program: C modules handed in by main, Lua modules embedded in the
// binary, and what `corun build` has appended to it. Those of corun itself are kept in the
// registry, so that one which was dropped from package.loaded comes back as the same object (S31).
// Runs on the loop thread.
#ifndef CORE_MODULES_H
#define CORE_MODULES_H

#include <lauxlib.h>
#include <lua.h>

// Let the first of package.searchers, after package.preload, know `modules` (ended by a NULL name,
// must stay valid), the embedded and the appended ones. [loop] Raises on out of memory.
void modules_open(lua_State *L, const luaL_Reg *modules);

// Push the chunk of what `corun build` has appended to the program under this name, or nothing;
// answer whether there is one. [loop] Raises what is wrong with it.
int modules_push_appended(lua_State *L, const char *name);

// Push the table of those that have been loaded, by name. [loop] Raises on out of memory.
void modules_push_loaded(lua_State *L);

#endif
