// SPDX-License-Identifier: MIT
// Long strings without a copy: bytes that a thread or a socket put into a block of malloc's become
// a Lua string, since the allocator (alloc.h) hands that very block to Lua. Copying those of a
// large file would stop the loop for milliseconds. How much room Lua needs in front of and behind
// the bytes is measured when the runtime is made, not known; where it does not fit the bytes are
// copied. Runs on the loop thread.
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <lua.h>
#include <stddef.h>

#include "base/buffer.h"
#include "core/types.h"

// Measure the layout of strings. [loop] Raises on out of memory.
void bytes_open(lua_State *L);

// The room that a block needs in front of its bytes. [any] Behind them it needs BYTES_TAIL.
size_t bytes_head(const rt *r);

#define BYTES_TAIL 16

// Push the `n` bytes that begin at `block` + `head` (bytes_head) as a string, and own the block, of
// malloc's, from now on: it is the string's memory, or freed. [loop] Raises on out of memory.
void bytes_push(lua_State *L, char *block, size_t head, size_t n);

// Push the first `n` bytes of a buffer, less the last `cut` of them, as a string, and drop them.
// Many bytes at the start of a block with room in front (buffer_begin with bytes_head) are not
// copied. [loop] Raises on out of memory. Answers whether they were dropped: not if the buffer was
// changed meanwhile, by a finaliser.
int bytes_take(lua_State *L, buffer *b, size_t n, size_t cut);

// The same where the bytes are so many that they need not be copied: then they have left the buffer
// before a finaliser can run. Else nothing is done. [loop] Answers whether it was done.
int bytes_take_long(lua_State *L, buffer *b, size_t n, size_t cut);

#endif
