// SPDX-License-Identifier: MIT
// Byte buffer. See buffer.h.
#include "base/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(buffer *b) {
  b->data = NULL;
  b->start = b->end = b->capacity = 0;
}

void buffer_fini(buffer *b) {
  free(b->data);
  buffer_init(b);
}

int buffer_reserve(buffer *b, size_t n) {
  if (b->capacity - b->end >= n) return 0;
  size_t len = buffer_len(b);
  if (n > SIZE_MAX / 2 - len) return -1;
  if (b->start >= len && b->capacity - len >= n) {  // moves at most as much as was consumed
    memcpy(b->data, b->data + b->start, len);
  } else {
    size_t cap = b->capacity ? b->capacity : 256;
    while (cap < len + n) cap *= 2;
    char *data = malloc(cap);
    if (!data) return -1;
    if (len) memcpy(data, b->data + b->start, len);
    free(b->data);
    b->data = data;
    b->capacity = cap;
  }
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
