// SPDX-License-Identifier: MIT
// Long strings without a copy. See bytes.h.
#include "core/bytes.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/runtime.h"

#define PROBE (4 * ALLOC_LARGEST)    // long enough to come from malloc
#define WORTH_IT ((size_t)16 << 10)  // below it copying costs nothing
#define LARGE ((size_t)256 << 10)    // from here on a buffer gives its block away

// Learn the layout from a string made in the ordinary way.
void bytes_open(lua_State *L) {
  alloc_pool *a = &rt_of(L)->alloc;
  char *zeros = lua_newuserdatauv(L, PROBE, 0);
  for (int i = 0; i < PROBE; i++) zeros[i] = 0;
  a->last = NULL;
  const char *s = lua_pushlstring(L, zeros, PROBE);
  size_t before = a->last ? (size_t)(s - (const char *)a->last) : SIZE_MAX;
  size_t behind = a->last_size - before - PROBE;
  int fits = before <= 64 && behind <= BYTES_TAIL;
  a->head = fits ? before : 0;
  a->tail = fits ? behind : 0;
  lua_pop(L, 2);
}

size_t bytes_head(const rt *r) {
  return r->alloc.head;
}

void bytes_push(lua_State *L, char *block, size_t head, size_t n) {
  alloc_pool *a = &rt_of(L)->alloc;
  free(a->gift);  // left by a call that raised
  a->gift = block;
  a->gift_size = n >= WORTH_IT && a->head && head == a->head ? head + n + a->tail : 0;
  lua_pushlstring(L, block + head, n);
  free(a->gift);  // NULL when it was taken
  a->gift = NULL;
}

// Take the block with the first `n` bytes out of the buffer, which keeps the others in a new one.
// NULL where they are better copied, and where the limit of memory might refuse them.
static char *take_block(const rt *r, buffer *b, size_t n) {
  size_t rest = buffer_len(b) - n, head = r->alloc.head;
  buffer after;
  if (n < LARGE || !head || b->start != head || rest > n / 2) return NULL;
  if (r->opts.memory && r->alloc.held + head + n + BYTES_TAIL > r->opts.memory) return NULL;
  buffer_init(&after);
  if (buffer_append(&after, buffer_bytes(b) + n, rest) < 0) return NULL;
  char *block = realloc(b->data, head + n + BYTES_TAIL);
  if (!block) {
    buffer_fini(&after);
    return NULL;
  }
  *b = after;
  return block;
}

int bytes_take_long(lua_State *L, buffer *b, size_t n, size_t cut) {
  const rt *r = rt_of(L);
  char *block = take_block(r, b, n);
  if (block) bytes_push(L, block, r->alloc.head, n - cut);
  return block != NULL;
}

int bytes_take(lua_State *L, buffer *b, size_t n, size_t cut) {
  if (bytes_take_long(L, b, n, cut)) return 1;
  const buffer before = *b;
  lua_pushlstring(L, n ? buffer_bytes(b) : "", n - cut);
  if (b->data != before.data || b->start != before.start || b->end != before.end) return 0;
  buffer_consume(b, n);
  return 1;
}
