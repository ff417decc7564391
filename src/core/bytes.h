// SPDX-License-Identifier: MIT
// Long strings without a copy: bytes that a thread or a socket put into a block of malloc's become
// a Lua string, since the allocator (alloc.h) hands that very block to Lua. Copying those of a
// large file would stop the loop for milliseconds. How much room Lua needs in front of and behind
// the bytes is measured, not known; where it does not fit the bytes are copied. Runs on the loop
// thread.
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <lua.h>
#include <stddef.h>

// The room that a block needs in front of its bytes. [loop] Raises on out of memory. Behind them
// it needs BYTES_TAIL.
size_t bytes_head(lua_State *L);

#define BYTES_TAIL 16

// Push the `n` bytes that begin at `block` + `head` (bytes_head) as a string, and own the block, of
// malloc's, from now on: it is the string's memory, or freed. [loop] Raises on out of memory.
void bytes_push(lua_State *L, char *block, size_t head, size_t n);

#endif
