// SPDX-License-Identifier: MIT
// Buffers and counters: bytes and an integer that several runtimes see without a copy. A buffer has
// a fixed size; a slice is a part of one, and sees the same bytes. Each access takes the buffer's
// lock, so that one call is one change for all others. Moving a buffer gives its bytes to a new one
// and closes the old one and its slices, wherever they are.
#ifndef POOL_SHARED_BUFFER_H
#define POOL_SHARED_BUFFER_H

#include <lua.h>
#include <stdatomic.h>
#include <stddef.h>

#include "pool/shared.h"

typedef struct shared_buffer shared_buffer;

typedef struct shared_counter {
  shared s;
  atomic_llong value;
} shared_counter;

extern const shared_type shared_buffer_type, shared_counter_type;

// Push a new buffer of `len` bytes: those at `bytes`, zeros when that is NULL. [loop] Raises on out
// of memory.
void shared_buffer_push(lua_State *L, const char *bytes, size_t len);

// Push a slice of the buffer, of `len` bytes from `at` on, which must be inside. [loop] Raises on
// out of memory.
void shared_buffer_push_slice(lua_State *L, shared_buffer *b, size_t at, size_t len);

// Push a new buffer that has the bytes of this one, which is no slice. [loop] Answers 0, or -1 when
// it was moved before. Raises on out of memory.
int shared_buffer_push_moved(lua_State *L, shared_buffer *b);

// The number of bytes. [any]
size_t shared_buffer_len(const shared_buffer *b);

// Whether it is a part of another one. [any]
int shared_buffer_is_slice(const shared_buffer *b);

// Copy `len` bytes from `at` on, which must be inside. [any] Answers 0, or -1 when it was moved.
int shared_buffer_read(shared_buffer *b, size_t at, char *to, size_t len);
int shared_buffer_write(shared_buffer *b, size_t at, const char *from, size_t len);

// Push a new counter. [loop] Raises on out of memory.
void shared_counter_push(lua_State *L, lua_Integer value);

#endif
