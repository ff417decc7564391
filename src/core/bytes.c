// SPDX-License-Identifier: MIT
// Long strings without a copy. See bytes.h.
#include "core/bytes.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/runtime.h"

#define PROBE (4 * ALLOC_LARGEST)    // long enough to come from malloc
#define WORTH_IT ((size_t)16 << 10)  // below it copying costs nothing

// Learn the layout from a string made in the ordinary way.
static void measure(lua_State *L, alloc_pool *a) {
  char *zeros = lua_newuserdatauv(L, PROBE, 0);
  for (int i = 0; i < PROBE; i++) zeros[i] = 0;
  a->last = NULL;
  const char *s = lua_pushlstring(L, zeros, PROBE);
  size_t before = a->last ? (size_t)(s - (const char *)a->last) : SIZE_MAX;
  size_t behind = a->last_size - before - PROBE;
  int fits = before <= 64 && behind <= BYTES_TAIL;
  a->head = fits ? before : 0;
  a->tail = fits ? behind : 0;
  a->is_measured = 1;
  lua_pop(L, 2);
}

size_t bytes_head(lua_State *L) {
  alloc_pool *a = &rt_of(L)->alloc;
  if (!a->is_measured) measure(L, a);
  return a->head;
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
