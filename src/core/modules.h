// SPDX-License-Identifier: MIT
// Modules that are part of the program: C modules handed in by main and Lua modules embedded in the
// binary. They are kept in the registry, so that one which was dropped from package.loaded comes
// back as the same object (S31). Runs on the loop thread.
#ifndef CORE_MODULES_H
#define CORE_MODULES_H

#include <lauxlib.h>
#include <lua.h>

// Let the first of package.searchers, after package.preload, know `modules` (ended by a NULL name,
// must stay valid) and the embedded ones. [loop] Raises on out of memory.
void modules_open(lua_State *L, const luaL_Reg *modules);

// Push the table of those that have been loaded, by name. [loop] Raises on out of memory.
void modules_push_loaded(lua_State *L);

#endif
