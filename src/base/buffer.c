// SPDX-License-Identifier: MIT
// Byte buffer. See buffer.h.
#include "base/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Blocks of many megabytes are mapped for themselves by malloc; then realloc moves their pages, not
// their bytes, and pages that nothing was written to cost nothing. (glibc's threshold for that
// rises up to 32 MiB.) So a buffer that becomes LARGE is made HUGE at once.
#define LARGE ((size_t)4 << 20)
#define HUGE ((size_t)64 << 20)
#define SMALLEST ((size_t)256)

void buffer_init(buffer *b) {
  b->data = NULL;
  b->start = b->end = b->capacity = 0;
}

void buffer_fini(buffer *b) {
  free(b->data);
  buffer_init(b);
}

// Make the block hold `capacity` bytes, more where that is cheaper later.
static int resize(buffer *b, size_t capacity) {
  char *data = NULL;
  if (capacity > LARGE && capacity < HUGE) {
    data = realloc(b->data, HUGE);
    if (data) capacity = HUGE;
  }
  if (!data) data = realloc(b->data, capacity);
  if (!data) return -1;
  b->data = data;
  b->capacity = capacity;
  return 0;
}

static int grow(buffer *b, size_t size) {
  size_t capacity = b->capacity ? b->capacity : SMALLEST;
  while (capacity < size) capacity *= 2;
  return resize(b, capacity);
}

int buffer_begin(buffer *b, size_t head, size_t n) {
  if (n > SIZE_MAX / 2 - head) return -1;
  if (b->capacity < head + n && resize(b, head + n) < 0) return -1;
  b->start = b->end = head;
  return 0;
}

int buffer_reserve(buffer *b, size_t n) {
  if (b->capacity - b->end >= n) return 0;
  size_t len = buffer_len(b);
  if (n > SIZE_MAX / 2 - b->end) return -1;
  if (b->start < len || b->capacity - len < n) return grow(b, b->end + n);
  memcpy(b->data, b->data + b->start, len);  // at most as much as was consumed
  b->start = 0;
  b->end = len;
  return 0;
}

int buffer_append(buffer *b, const void *p, size_t n) {
  if (!n) return 0;
  if (buffer_reserve(b, n) < 0) return -1;
  memcpy(b->data + b->end, p, n);
  b->end += n;
  return 0;
}

void buffer_consume(buffer *b, size_t n) {
  b->start += n;
  if (b->start == b->end) b->start = b->end = 0;
}

void buffer_trim(buffer *b, size_t keep) {
  if (b->capacity > keep && b->start == b->end) buffer_fini(b);
}
