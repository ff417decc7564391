// SPDX-License-Identifier: MIT
// Interrupts: what reaches Lua code that does not suspend (S21 to S25). The watchdog thread
// (host.c) signals the loop thread; the signal's handler, on that very thread, sets a count hook on
// the state that runs; the hook raises or prints. Invariant: lua_sethook is called only by the loop
// thread.
#ifndef CORE_INTERRUPT_H
#define CORE_INTERRUPT_H

#include <lua.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/types.h"

enum {
  INTR_RAISE = 1,   // raise once
  INTR_INSIST = 2,  // raise at every instruction until the scope is left
  INTR_REPORT = 4,  // print where the step is (--dev)
  INTR_TREE = 8,    // print the task tree (SIGQUIT)
  INTR_STOP = 16,   // SIGINT or SIGTERM: cancel the root scope first
};

typedef struct interrupt {
  _Atomic(lua_State *) running;  // the state that executes Lua now
  atomic_uint_fast64_t steps;    // counts steps begun
  atomic_uint_fast64_t limit;  // deadline of the step; the id of its cancelled scope, which is less
                               // than any instant; UINT64_MAX: none
  atomic_int busy;             // a batch of steps runs
  atomic_int flags;            // INTR_*, wanted by the watchdog
  atomic_uint_fast64_t target;                     // the step that they are meant for
  atomic_uint_fast64_t raised_step, raised_limit;  // where the hook has raised last
  atomic_int stops_seen, quits_seen;               // signals that the loop has acted on
  atomic_int asks, asks_seen;  // by other threads to cancel what runs here (rt->on_wakeup)
  uint32_t closables, seen;    // closables handed out, and how many the hook has seen (S25)
  int skip;                    // instructions that the hook lets pass
  uint64_t spared;             // the step that was given some when the hook was set
  lua_State *armed;            // the state that has our hook
  lua_Hook old_hook;           // what debug.sethook had set there
  int old_mask, old_count;
} interrupt;

// Set the runtime's hook on the state that runs now. [loop thread, async-signal-safe]
void interrupt_arm(rt *r);

// Called when `L` runs again after a nested coroutine: arm it if an interrupt is pending (S22).
// [loop]
void interrupt_switch(rt *r, lua_State *L);

// Give the next instructions of the script time to take a closable that the running C function
// returns (S25). [loop]
void interrupt_closable(lua_State *L);

// Set the limit of the running step from the task's innermost scope. [loop]
void interrupt_limit(rt *r);

// Take the runtime's hook off a coroutine that stops running. [loop]
void interrupt_disarm(rt *r, lua_State *L);

#endif
