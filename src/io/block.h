// SPDX-License-Identifier: MIT
// Blocks: memory that is filled from one stream and written to another, over and over, where
// strings would be made only to be thrown away. A block is a userdata, which owns its bytes. Runs
// on the loop thread; a thread may read the bytes while a task that has the block waits for it.
#ifndef IO_BLOCK_H
#define IO_BLOCK_H

#include <lua.h>
#include <stddef.h>

typedef struct block {
  const void *tag;  // tells the userdata from others without a look into the registry
  size_t n, capacity;
  char data[];
} block;

// Push a new block. [loop] Raises on out of memory.
block *block_new(lua_State *L, size_t capacity);

// The block at a stack index, NULL if something else is there. [loop]
block *block_test(lua_State *L, int idx);

// The bytes of the string or the block at a stack index, NULL if there is neither. [loop]
const char *block_bytes(lua_State *L, int idx, size_t *n);

#endif
