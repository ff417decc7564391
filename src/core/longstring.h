// SPDX-License-Identifier: MIT
// Strings that are filled by whoever asks for them: what a socket has goes straight into the string
// that the script gets, without a copy through a buffer. Needs Lua's own headers, so it is there
// only where Lua is compiled from source (cmake/deps.cmake). Runs on the loop thread.
#ifndef CORE_LONGSTRING_H
#define CORE_LONGSTRING_H

#include <lua.h>
#include <stddef.h>

#define LONGSTRING_LEAST 64  // bytes; shorter strings are shared by Lua, which must know them first

// Push a string of `n` bytes, at least LONGSTRING_LEAST, and answer its memory, which must be
// filled before anything else is done with the state. [loop] NULL with nothing pushed where Lua's
// headers are not there. Raises on out of memory.
char *longstring_push(lua_State *L, size_t n);

#endif
