// SPDX-License-Identifier: MIT
// The allocator of a runtime's Lua state. Lua tells the size when it frees, so small blocks need no
// headers: they come from size classes with a free list each, carved from chunks that live as long
// as the state. Large blocks are malloc's. Counts bytes, can be told to fail (tests). Runs on the
// runtime's thread; shares nothing, so takes no lock.
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include <stddef.h>

#include "core/types.h"

#define ALLOC_GRAIN 8  // as Lua aligns its objects
#define ALLOC_LARGEST 1024
#define ALLOC_CLASSES (ALLOC_LARGEST / ALLOC_GRAIN)

typedef struct alloc_pool {
  void *free[ALLOC_CLASSES];  // blocks given back, linked through their first word
  char *next, *end;           // what is left of the newest chunk
  void *chunks;               // all chunks, linked through their first word
  size_t held;                // bytes that Lua holds
  size_t count;               // allocations so far, for fail_alloc
  size_t failed;              // size of the one that was made to fail, until it is asked for again
  void *last;                 // the newest block of malloc's, and its size (bytes.h)
  size_t last_size;
  void *gift;  // a block that is to serve the next request for `gift_size` bytes; NULL: none
  size_t gift_size;
  void *dead;  // a large block that Lua has freed, of which the loop gives back slices; NULL: none
  size_t dead_size;
  int over_limit;     // something was refused because of the limit
  size_t head, tail;  // what Lua adds to the bytes of a long string (bytes.h)
} alloc_pool;

// A lua_Alloc; `ud` is the runtime.
void *alloc_lua(void *ud, void *p, size_t old_size, size_t size);

// The same over the function in the runtime's options, which is told what Lua tells; only the limit
// and the count are ours.
void *alloc_by_host(void *ud, void *p, size_t old_size, size_t size);

// Give a slice of the dead block back: for hundreds of megabytes the system takes its time.
void alloc_release(alloc_pool *a);

// Give all memory back; the Lua state is closed.
void alloc_fini(alloc_pool *a);

#endif
