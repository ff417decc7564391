// SPDX-License-Identifier: MIT
// Events: something that happens, with values, until it is cleared. Runs on the loop thread.
// Invariant: nobody waits for an event that is set.
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include <lua.h>

#include "core/waitable.h"

typedef struct event {
  list tasks;        // that wait for it alone, through task.wlink
  list selects;      // of waiters
  const char *what;  // what it tells of, for reports; NULL: nobody has said
  int is_set;
} event;

extern const waitable event_class;

// Push a new event, still without a metatable, which tells of the string at index 1, unless that is
// nil. [loop] Raises on out of memory.
event *event_new(lua_State *L);

// Set the event at index 1 with all values above it and wake all that wait. [loop] Raises on out of
// memory with nothing done.
void event_set(lua_State *L);

// Let the event at index 1 be waited for again. [loop]
void event_clear(lua_State *L);

// Give the values of the event at index 1, or wait for them. To be returned from a lua_CFunction.
// [loop] Raises a cancellation before any effect.
int event_wait(lua_State *L);

#endif
