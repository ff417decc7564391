// SPDX-License-Identifier: MIT
// Weak tables for C.
#ifndef CORE_WEAK_H
#define CORE_WEAK_H

#include <lua.h>

// Push a new table whose `mode` is that of __mode: "k", "v"; NULL: none. [loop] Raises on out of
// memory.
void weak_newtable(lua_State *L, const char *mode);

#endif
