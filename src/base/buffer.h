// SPDX-License-Identifier: MIT
// Byte buffer: bytes are appended at the end and consumed from the front; the room in front is
// reused before the buffer grows. Owns its memory, which is malloc's. Single-threaded. A large one
// grows without its bytes being copied.
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>

typedef struct buffer {
  char *data;
  size_t start, end, capacity;  // the live bytes are data[start .. end)
} buffer;

void buffer_init(buffer *b);
void buffer_fini(buffer *b);

static inline size_t buffer_len(const buffer *b) {
  return b->end - b->start;
}

static inline char *buffer_bytes(const buffer *b) {
  return b->data + b->start;
}

// Give an empty buffer room for `n` bytes, which begin at `head` of its block and stay there as
// long as none is consumed. Answer 0, or -1 on out of memory.
int buffer_begin(buffer *b, size_t head, size_t n);

// Make room for `n` more bytes at the end; answer 0, or -1 on out of memory.
int buffer_reserve(buffer *b, size_t n);

// Append `n` bytes; answer 0, or -1 on out of memory (then nothing was appended).
int buffer_append(buffer *b, const void *p, size_t n);

// Drop `n` bytes from the front; `n` is at most the length.
void buffer_consume(buffer *b, size_t n);

// Give the memory of an empty buffer back when it is larger than `keep` bytes.
void buffer_trim(buffer *b, size_t keep);

#endif
