// SPDX-License-Identifier: MIT
// What the streams of one runtime share: the block into which arriving bytes are read, and spare
// blocks. Counted references: one of the Lua state, one of each stream, since streams end after the
// Lua state. Runs on the loop thread.
#ifndef IO_STATE_H
#define IO_STATE_H

#include <lua.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "core/types.h"

#define IO_BLOCK ((size_t)64 << 10)  // bytes that one read takes at most
#define IO_RAW ((size_t)68 << 10)    // the same when they are encrypted, with what that adds

typedef struct io_state {
  uint32_t refs;
  uint64_t flush_until;  // when writing at the end of the runtime gives up; 0 before it began
  char *block;           // where the next bytes are read to, NULL when it was handed out
  char *raw;             // where bytes are read to that a transport decodes at once
  int nspare;
  char *spare[16];
  list keepers;  // what TLS keeps its buffers, see net/tls_buffers.h; the latest used is the last
  unsigned nkeepers;
} io_state;

// The state of the runtime of `L`, made when first asked for. [loop] Raises on out of memory.
io_state *io_state_of(lua_State *L);

// Count a reference. [loop]
io_state *io_state_ref(io_state *io);

// Let go of a reference; the last one frees the state. [loop]
void io_state_unref(io_state *io);

// The block to read into, which holds IO_BLOCK bytes. [loop] NULL on out of memory.
char *io_block(io_state *io);

// A second block, for bytes that a transport decodes before it reads more; it holds IO_RAW. [loop]
// NULL on out of memory.
char *io_raw_block(io_state *io);

// Make the block with `n` bytes in it the memory of the empty buffer `b`: nothing is copied. [loop]
void io_block_give(io_state *io, buffer *b, size_t n);

// Release the memory of the empty buffer `b`; a block is kept as a spare. [loop]
void io_buffer_release(io_state *io, buffer *b);

#endif
