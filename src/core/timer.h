// SPDX-License-Identifier: MIT
// Timers: one 4-ary heap per runtime behind a single uv_timer_t, so that a sleeping task costs one
// heap entry and no handle. Instants are nanoseconds of the runtime's monotonic clock. Runs on the
// loop thread. Invariant: an armed timer is in the heap exactly once.
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include "base/heap.h"
#include "core/types.h"

#define TIMER_NEVER UINT64_MAX

// What an expired timer is: the heap entry leads to the structure that holds it.
typedef enum { TIMER_TASK, TIMER_SCOPE, TIMER_CALL } timer_kind;

typedef struct timer {
  heap_item item;     // first, so that a heap_item is a timer
  unsigned kind : 2;  // timer_kind
  unsigned own : 30;  // for whoever has the timer: of a task when it ran last (core/task.h)
} timer;

// A timer that calls a function of its owner.
typedef struct timer_call {
  timer tm;
  void (*fire)(struct timer_call *);  // runs on the loop, must not run Lua
} timer_call;

// The runtime's clock: nanoseconds since some fixed instant, virtual under timer_virtual. [loop]
uint64_t timer_now(rt *r);

// The instant `seconds` from now; negative counts as 0, infinity as TIMER_NEVER. [loop]
uint64_t timer_after(rt *r, double seconds);

// The same from the instant `now` on. [any]
uint64_t timer_later(uint64_t now, double seconds);

// Arm `t` for `when` (TIMER_NEVER: do nothing). [loop] Answers 0 or UV_ENOMEM.
int timer_arm(rt *r, timer *t, uint64_t when);

// Disarm `t`; harmless when it is not armed. [loop]
void timer_disarm(rt *r, timer *t);

// Fire all that is due. [loop]
void timer_expire(rt *r);

// Set the libuv timer for the earliest entry before the loop polls. [loop]
void timer_schedule(rt *r);

// Let the clock jump instead of waiting (S37), or go back to the real one. [loop]
void timer_virtual(rt *r, int on);

#endif
