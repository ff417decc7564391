// SPDX-License-Identifier: MIT
// The allocator of a runtime's Lua state. See alloc.h.
#include "core/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "core/runtime.h"

#define CHUNK (64u << 10)
#define SLICE ((size_t)16 << 20)  // takes half a millisecond to give back

// A sanitizer finds overruns only in blocks that come from malloc each.
#if defined(__SANITIZE_ADDRESS__)
#define ALLOC_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALLOC_PLAIN 1
#endif
#endif
#ifndef ALLOC_PLAIN
#define ALLOC_PLAIN 0
#endif

static int is_small(size_t size) {
  return !ALLOC_PLAIN && size <= ALLOC_LARGEST;
}

static size_t class_of(size_t size) {
  return (size + ALLOC_GRAIN - 1) / ALLOC_GRAIN - 1;
}

static void release(alloc_pool *a, void *p, size_t class) {
  *(void **)p = a->free[class];
  a->free[class] = p;
}

// Start a new chunk; what is left of the old one goes to the free list that fits.
static int add_chunk(alloc_pool *a) {
  char *chunk = malloc(CHUNK);
  if (!chunk) return -1;
  if (a->next != a->end) release(a, a->next, class_of((size_t)(a->end - a->next)));
  *(void **)(void *)chunk = a->chunks;
  a->chunks = chunk;
  a->next = chunk + ALLOC_GRAIN;
  a->end = chunk + CHUNK;
  return 0;
}

static void *take(alloc_pool *a, size_t class) {
  void *p = a->free[class];
  if (p) {
    a->free[class] = *(void **)p;
    return p;
  }
  size_t size = (class + 1) * ALLOC_GRAIN;
  if ((size_t)(a->end - a->next) < size && add_chunk(a) < 0) return NULL;
  p = a->next;
  a->next += size;
  return p;
}

static void *resize(alloc_pool *a, void *p, size_t old_size, size_t size) {
  int was_small = is_small(old_size), small = is_small(size);
  if (!was_small && !small) return realloc(p, size);
  if (was_small && small && class_of(old_size) == class_of(size)) return p;
  void *q = small ? take(a, class_of(size)) : malloc(size);
  if (!q) return NULL;
  memcpy(q, p, old_size < size ? old_size : size);
  if (was_small)
    release(a, p, class_of(old_size));
  else
    free(p);
  return q;
}

// A new block from malloc, or the one that was given for it.
static void *acquire(alloc_pool *a, size_t size) {
  void *p = a->gift && size == a->gift_size ? a->gift : malloc(size);
  if (p == a->gift) a->gift = NULL;
  a->last = p;
  a->last_size = size;
  return p;
}

// Free a block of malloc's. There is never more than one dead block, or a loop in Lua that makes
// large strings would fill the memory.
static void discard(alloc_pool *a, void *p, size_t size) {
  if (ALLOC_PLAIN || size <= SLICE) {
    free(p);
    return;
  }
  free(a->dead);
  a->dead = p;
  a->dead_size = size;
}

void alloc_release(alloc_pool *a) {
  char *p = a->dead_size > SLICE ? realloc(a->dead, a->dead_size - SLICE) : NULL;
  if (!p) free(a->dead);
  a->dead = p;
  a->dead_size = p ? a->dead_size - SLICE : 0;
}

// Tests: let the nth allocation fail, and once more when Lua asks again after a full collection.
static int is_to_fail(alloc_pool *a, size_t nth, size_t size) {
  if (++a->count == nth) {
    a->failed = size;
    return 1;
  }
  if (a->failed != size) return 0;
  a->failed = 0;
  return 1;
}

// Whether a block of `size` bytes, which needs `more` than there are, is not to be had.
static int is_refused(rt *r, size_t size, size_t more) {
  alloc_pool *a = &r->alloc;
  if (r->opts.fail_alloc && is_to_fail(a, r->opts.fail_alloc, size)) return 1;
  if (!r->opts.memory || a->held + more <= r->opts.memory) return 0;
  a->over_limit = 1;  // Lua collects all garbage and asks once more
  return 1;
}

void *alloc_lua(void *ud, void *p, size_t old_size, size_t size) {
  rt *r = ud;
  alloc_pool *a = &r->alloc;
  if (!p) old_size = 0;  // then it is a type tag
  if (!size) {
    a->held -= old_size;
    if (!old_size)
      free(p);  // NULL, or a block of no bytes
    else if (is_small(old_size))
      release(a, p, class_of(old_size));
    else
      discard(a, p, old_size);
    return NULL;
  }
  if (size > old_size && is_refused(r, size, size - old_size)) return NULL;
  void *q;
  if (!p)
    q = is_small(size) ? take(a, class_of(size)) : acquire(a, size);
  else
    q = resize(a, p, old_size, size);
  if (q) a->held += size - old_size;
  return q;
}

void *alloc_by_host(void *ud, void *p, size_t tag, size_t size) {
  rt *r = ud;
  size_t old_size = p ? tag : 0;
  if (size > old_size && is_refused(r, size, size - old_size)) return NULL;
  void *q = r->opts.alloc(r->opts.alloc_ud, p, tag, size);
  if (q || !size) r->alloc.held += size - old_size;
  return q;
}

void alloc_fini(alloc_pool *a) {
  free(a->gift);
  free(a->dead);
  while (a->chunks) {
    void *next = *(void **)a->chunks;
    free(a->chunks);
    a->chunks = next;
  }
}
