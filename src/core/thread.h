// SPDX-License-Identifier: MIT
// Threads: the coroutines of tasks. A table in the registry keeps each at a slot; those of finished
// tasks are kept for reuse up to a bound, the slots of the others form a list through the table.
// Invariant: only a coroutine whose base frame returned is reused (S24). Runs on the loop thread.
#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include <lua.h>

#include "core/types.h"

#define THREADS_KEPT 1024

typedef struct thread_pool {
  lua_State *kept[THREADS_KEPT];
  uint32_t slots[THREADS_KEPT];
  uint32_t count;
  uint32_t nslots;     // slots ever handed out
  uint32_t free_slot;  // first slot without a coroutine, 0 = none
} thread_pool;

// Get a coroutine with an empty stack and the slot that keeps it. [loop] Raises on out of memory.
lua_State *thread_get(lua_State *L, uint32_t *slot);

// Give a coroutine back; with `reuse` it may serve another task, else it is left to the collector.
// [loop] Does not raise.
void thread_put(rt *r, lua_State *co, uint32_t slot, int reuse);

#endif
