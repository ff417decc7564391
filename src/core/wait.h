// SPDX-License-Identifier: MIT
// Waits: the one way in which a task suspends. wait.c is the only file that calls lua_yieldk. A
// wait is described by a static wait_ops; the waker calls wait_wake from a callback or another
// task's step, never from another thread. Invariant: a waiting task is woken exactly once.
#ifndef CORE_WAIT_H
#define CORE_WAIT_H

#include <lua.h>

#include "core/types.h"

// Answers of a cancel function (S16).
typedef enum {
  WAIT_STOPPED,      // nobody will wake it
  WAIT_CANNOT_STOP,  // it sleeps on until the operation has ended
  WAIT_ABANDONED,    // the operation ends by itself and owns nothing of the task
} wait_answer;

struct wait_ops {
  const char *name;  // what the task tree shows: "sleep", "recv"

  // Asked at most once; must not run Lua. Undoes what makes somebody wake the task (takes it out of
  // a queue). NULL: there is nothing to undo, the answer is WAIT_STOPPED.
  wait_answer (*cancel)(task *t, void *arg);

  // Runs in the coroutine once woken: the frame of the function that called wait_begin is there
  // with the values pushed by the waker on top. Pushes results and answers their number, or raises,
  // or waits again in tail position. `rc` is what the waker gave, UV_ETIMEDOUT when the time limit
  // passed.
  int (*done)(lua_State *L, void *arg, int rc);

  // Write what exactly is waited for into `buf` for the task tree; may be NULL.
  void (*describe)(const task *t, const void *arg, char *buf, size_t n);
};

// Suspend the running task; to be returned from a lua_CFunction ("return wait_begin(...)"). Nothing
// behind the call runs. Raises when a suspension is impossible here, naming the function that
// forbids it (S30). Checks for no cancellation: call task_checkpoint before any effect. [loop]
int wait_begin(lua_State *L, const wait_ops *ops, void *arg);

// The same, but woken with UV_ETIMEDOUT at the instant `when` (core/timer.h) if the cancel function
// can stop the wait. Raises on out of memory. [loop]
int wait_begin_until(lua_State *L, const wait_ops *ops, void *arg, uint64_t when);

// Let the other ready tasks run first; to be returned from a lua_CFunction. [loop]
int wait_yield(lua_State *L);

// What a call costs that need not wait, in microseconds more or less. It is reckoned, not measured,
// so that a seed gives the same order again.
enum { WAIT_QUICK = 1, WAIT_SYSTEM_CALL = 8, WAIT_MILLISECOND = 1024 };

// Count what a call costs that does not wait. [loop]
void wait_count(lua_State *L, size_t cost);

// Count it, and say whether the running step may go on: not after a millisecond of such calls, if
// it can suspend. A task that never has to wait must let others run now and then. [loop]
int wait_may_go_on(lua_State *L, size_t cost);

// Let others run and the loop poll, then call `again` with the arguments of the running function,
// in its place; to be returned from a lua_CFunction, before any effect. [loop]
int wait_rest(lua_State *L, lua_CFunction again);

// Say whether the running function may suspend. [loop]
int wait_is_possible(lua_State *L);

// Raise unless the running function may suspend; call it before any effect. [loop]
void wait_check(lua_State *L);

// Make a waiting task ready; `rc` reaches its done function. [loop] Must not run Lua.
void wait_wake(task *t, int rc);

// The same with `n` values from the top of `from`, which are popped and reach done on the stack.
// [loop] Answers 0, or UV_ENOMEM with nothing popped and the task not woken.
int wait_wake_values(task *t, int rc, lua_State *from, int n);

// Ask the wait of a task to stop because its scope was cancelled. [loop] Must not run Lua.
void wait_cancel(rt *r, task *t);

// The time limit of the wait of `t` has passed. [loop] Must not run Lua.
void wait_expire(rt *r, task *t);

// Pass a host suspension of an inner coroutine on to the outer one; `k` runs when the task is
// resumed. Only for coroutine.c. [loop]
int wait_relay(lua_State *L, lua_KFunction k, lua_KContext ctx);

// Yield `n` values to the user's own coroutine.resume. Only for coroutine.c. [loop]
int wait_user_yield(lua_State *L, int n);

#endif
