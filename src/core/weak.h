// SPDX-License-Identifier: MIT
// Weak tables for C, and tables of C in the registry.
#ifndef CORE_WEAK_H
#define CORE_WEAK_H

#include <lua.h>

// Push a new table whose `mode` is that of __mode: "k", "v"; NULL: none. [loop] Raises on out of
// memory.
void weak_newtable(lua_State *L, const char *mode);

// Push the table at `key` of the registry; the first time it is made, with that mode. [loop] Raises
// on out of memory.
void weak_push(lua_State *L, const void *key, const char *mode);

#endif
