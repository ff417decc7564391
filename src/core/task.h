// SPDX-License-Identifier: MIT
// Tasks: a coroutine with a scope, a state and at most one wait. A task lives in the userdata that
// scripts hold; while it is alive its coroutine's stack keeps that userdata and the table of
// threads keeps the coroutine. Coroutines of finished tasks are reused. Runs on the loop thread.
#ifndef CORE_TASK_H
#define CORE_TASK_H

#include <lua.h>

#include "base/list.h"
#include "core/runtime.h"
#include "core/timer.h"
#include "core/types.h"

typedef enum {
  TASK_READY,
  TASK_RUNNING,
  TASK_WAITING,
  TASK_DONE,
  TASK_FAILED,
  TASK_CANCELLED
} task_state;
typedef enum { TASK_SPAWN, TASK_ASYNC, TASK_DAEMON } task_kind;

enum {
  TASK_FRESH = 1,          // its function has not been called
  TASK_ASKED = 2,          // its wait was asked to stop
  TASK_LATCHED = 4,        // woken before it waits
  TASK_ENDING = 8,         // its function has ended
  TASK_TABLED = 16,        // several results, kept in a table
  TASK_LOCALS = 32,        // has a table of locals
  TASK_PENDING = 64,       // its failure waits in the scope for an awaiter
  TASK_SOFT = 128,         // failed by returning nil, err
  TASK_EXPOSED = 256,      // coroutine.running gave its thread away: never reuse it
  TASK_SEEN = 512,         // visited by a search that is under way
  TASK_SEEN_AHEAD = 1024,  // by its other side
  TASK_NAMED = 2048,       // was given a name
};

#define TASK_STEPS 0x3fffffffu  // of the number of a step, what a task has room for

struct task {
  timer tm;             // of its sleep, or of the time limit of its wait; `own`: its last step
  list siblings;        // in scope->tasks of the scope it was started in
  list wlink;           // in the queue of what it waits for
  lua_State *co;        // NULL once ended
  scope *in;            // the innermost scope that is open in it
  const wait_ops *ops;  // of the current wait
  void *warg;           // argument of the current wait
  task *joiners;        // tasks that await it, linked through wlink.next
  uint32_t id, site, slot;
  int32_t rc;      // what its wait was woken with
  uint32_t nvals;  // values pushed for the wake; once ended, the number of results
  uint8_t state, kind;
  uint16_t flags;
};

static inline int task_ended(const task *t) {
  return t->state >= TASK_DONE;
}

// Raise because no task runs on the runtime of `L`. [loop]
void task_missing(lua_State *L);

// The task that runs now on the runtime of `L`. [loop] Raises when there is none.
static inline task *task_current(lua_State *L) {
  task *t = rt_of(L)->current;
  if (!t) task_missing(L);
  return t;
}

// The task handle at `idx`, raising when the value is something else. [loop]
task *task_check(lua_State *L, int idx);

// The task handle at `idx`, NULL when the value is something else. [loop]
task *task_test(lua_State *L, int idx);

// Start a task of `kind` in scope `s` from the function and `nargs` arguments on top of the stack,
// which are popped; push its handle. [loop] Raises on out of memory.
task *task_spawn(lua_State *L, scope *s, task_kind kind, int nargs);

// Run one step of a task: resume it until it waits or ends. [loop, from rt_run only]
void task_step(rt *r, task *t);

// For queue_sort, with the runtime as `arg`: the less, the longer ago the task ran, or was started
// if it has not.
uint64_t task_turn(const void *task, const void *arg);

// Raise the cancellation that concerns the running task, if there is one (S13). [loop]
void task_checkpoint(lua_State *L);

// Raise the cancellation of the running task, which must be cancelled. [loop]
int task_raise_cancel(lua_State *L);

// Wait for the task whose handle is at index 1 and give its results, or raise its error (S3, S6,
// S7). To be returned from a lua_CFunction. [loop]
int task_await(lua_State *L);

// Say whether `me` is the task `t`, or was started inside it. [loop]
int task_is_inside(const task *me, const task *t);

// End a task that died, if no child of it is left. [loop] Called when a child has ended.
void task_bury(rt *r, task *t);

// The task that awaits `t` after `j` does; NULL when `j` is the last. [loop]
task *task_next_joiner(const task *t, const task *j);

// Take the joiner `j` out of those who await `t`. [loop]
void task_unjoin(task *t, task *j);

// Push the error of the failed task whose handle is at `idx`. [loop]
void task_push_error(lua_State *L, int idx);

// Push the results of the ended task whose handle is at `idx`; answer their number. [loop]
int task_push_results(lua_State *L, int idx);

// Cancel the task. [loop] A reason is on top of the stack and is popped. Raises on out of memory.
void task_cancel(lua_State *L, task *t);

// Push the handle of a task that is alive. [loop]
void task_push(lua_State *L, task *t);

// Let the running task be without name and locals: what it does next is somebody else's. [loop]
// Raises on out of memory.
void task_forget(lua_State *L);

// The scope which the task was started in; NULL for the root task. [loop]
scope *task_home(const task *t);

#endif
