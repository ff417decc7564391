// SPDX-License-Identifier: MIT
// The allocator of a runtime's Lua state. See alloc.h.
#include "core/alloc.h"

#include <stdlib.h>

#include "core/runtime.h"

void *alloc_lua(void *ud, void *p, size_t old_size, size_t size) {
  rt *r = ud;
  if (!p) old_size = 0; // then it is a type tag
  if (!size) {
    free(p);
    r->allocated -= old_size;
    return NULL;
  }
  if (size > old_size && r->opts.fail_alloc && ++r->allocations == r->opts.fail_alloc) return NULL;
  void *q = realloc(p, size);
  if (!q) return NULL;
  r->allocated += size - old_size;
  return q;
}

void alloc_fini(rt *r) {
  (void)r;
}
