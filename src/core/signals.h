// SPDX-License-Identifier: MIT
// Signals as a source of values: the receiving half of a channel. It owns one libuv handle for each
// signal it listens to; while it is open these signals do nothing else, afterwards they do what
// they did before. A signal that arrives again before it was received counts once. Runs on the loop
// thread. Invariant: the handles keep the loop alive exactly while a task waits here (S38).
#ifndef CORE_SIGNALS_H
#define CORE_SIGNALS_H

#include <lua.h>

#include "core/waitable.h"

typedef struct signals signals;

extern const waitable signals_class;

// The number of the signal called `name` ("SIGHUP" or "HUP"), 0 when there is none, -1 when a
// program cannot listen to it. [any]
int signal_number(const char *name);

// Push a new source that listens to nothing yet, still without a metatable. [loop] Raises on out of
// memory.
signals *signals_new(lua_State *L);

// Listen to one more signal, which signal_number knows; it is given by that name. A second time
// does nothing. [loop] Answers 0 or a negative libuv code.
int signals_add(lua_State *L, signals *s, const char *name);

// Receive from the source at index 1: gives a name, nil when it is closed. To be returned from a
// lua_CFunction. [loop]
int signals_recv(lua_State *L);

// The number of signals that have arrived and not been received. [loop]
int signals_count(const signals *s);

// Push the names of the signals, joined by commas; "closed" once it is. [loop]
void signals_push_names(lua_State *L, const signals *s);

// Close it: what has arrived is still received. Closing again does nothing. [loop] Must not run
// Lua.
void signals_close(signals *s);

#endif
