// SPDX-License-Identifier: MIT
// User coroutines: coroutine.* replaced so that a suspension inside a script's own coroutine passes
// through to the scheduler and back (S24, S29, S30). Runs on the loop thread. Invariant: a
// coroutine in a host suspension is marked by the low bit of its extra space, and only resumed by
// its relay.
#ifndef CORE_COROUTINE_H
#define CORE_COROUTINE_H

#include <lua.h>
#include <stdint.h>

// Replace the functions in the global table `coroutine`. [loop]
void coroutine_open(lua_State *L);

// Mark a coroutine as being in a host suspension. [loop]
static inline void coroutine_mark(lua_State *co) {
  *(uintptr_t *)lua_getextraspace(co) |= 1;
}

static inline void coroutine_unmark(lua_State *co) {
  *(uintptr_t *)lua_getextraspace(co) &= ~(uintptr_t)1;
}

static inline int coroutine_is_marked(lua_State *co) {
  return (int)(*(uintptr_t *)lua_getextraspace(co) & 1);
}

#endif
