// SPDX-License-Identifier: MIT
// What each runtime has built in: the modules of all layers, and corun's require. Owns the table of
// the modules in C.
#ifndef EMBED_BUILTIN_H
#define EMBED_BUILTIN_H

#include <lua.h>

// Give a new runtime all that scripts find in it. [loop] Raises on out of memory.
void builtin_open(lua_State *L);

#endif
