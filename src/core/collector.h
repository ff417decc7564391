// SPDX-License-Identifier: MIT
// How Lua's collector goes about its work, by the size of the heap (S40), until the script says how
// itself. Runs on the loop thread.
#ifndef CORE_COLLECTOR_H
#define CORE_COLLECTOR_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "core/types.h"

typedef enum collector_work {
  COLLECTOR_NONE,
  COLLECTOR_GENERATIONAL,  // change the mode
  COLLECTOR_INCREMENTAL,
  COLLECTOR_ALL,  // collect all
} collector_work;

typedef struct collector {
  collector_work due;
  int is_generational;  // the mode that was set last
  int is_taken;         // the script has set a mode or a pace
  uint64_t full_at;     // when all was collected, by the loop's clock in milliseconds
  size_t outside;       // what came since then as told by collector_weigh
} collector;

// Set the mode of a new state. [loop] Does not raise.
void collector_init(rt *r);

// Put a function in place of Lua's collectgarbage that notes what the script sets. [loop] Raises on
// out of memory.
void collector_open(lua_State *L);

// Let the collector see bytes that a new userdata keeps, as if Lua had allocated them. [loop]
// Raises as an allocation does.
void collector_weigh(lua_State *L, size_t bytes);

// Collect now, if that will be due when `bytes` more are allocated, and not once they are: so they
// may take the memory of what was last used, which the processor's cache still has. [loop] Raises
// as an allocation does.
void collector_make_room(lua_State *L, size_t bytes);

// Follow the size of the heap: say what is due. For between two turns of the loop, and where a step
// makes much. [loop] Does not raise and runs no finalizer.
void collector_pace(rt *r);

// Do what is due. For when a task is about to run or runs, in which finalizers then are. [loop]
// Does not raise.
void collector_run(rt *r);

#endif
