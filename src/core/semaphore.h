// SPDX-License-Identifier: MIT
// Semaphores and mutexes. A permit is held by a guard, a userdata of its own that keeps the
// semaphore alive. Runs on the loop thread. Invariant: the guards that hold and the permits left
// always add up to the permits there are; a permit given back goes straight to the first that waits
// (S15).
#ifndef CORE_SEMAPHORE_H
#define CORE_SEMAPHORE_H

#include <lua.h>

#include "base/list.h"
#include "core/types.h"

typedef struct semaphore {
  list waiters;  // of tasks, through task.wlink
  lua_Integer total, left;
  uint32_t holder;  // of a mutex: id of the task that took it last
  int is_mutex;
} semaphore;

typedef struct guard {
  semaphore *of;
  uint32_t task;  // id of the task that took it
  uint32_t site;  // where, known with --dev only
  int held;
} guard;

// Push a new semaphore with `permits`, still without a metatable. [loop] Raises on out of memory.
semaphore *semaphore_new(lua_State *L, lua_Integer permits, int is_mutex);

// Push a guard of the semaphore at `idx`, still without a metatable, that holds nothing yet. [loop]
// Raises on out of memory.
guard *guard_new(lua_State *L, int idx);

// Take a permit for the guard if one is left; answer whether there was. [loop]
int semaphore_try(lua_State *L, guard *g);

// Take a permit for the guard on top of the stack, which is returned; waits for one if none is
// left. To be returned from a lua_CFunction. [loop] Raises a cancellation, or when the calling task
// holds the mutex, before any effect.
int semaphore_acquire(lua_State *L, guard *g);

// Give the permit back; does nothing when the guard holds none. [loop] Must not run Lua.
void guard_release(guard *g);

#endif
