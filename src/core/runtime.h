// SPDX-License-Identifier: MIT
// Runtime: one Lua state, one libuv loop, the ready queue, the timers and the tree of scopes.
// Everything hangs off `rt`; nothing here is global. One OS thread runs a runtime. Invariant: Lua
// is resumed from rt_turn alone, never inside a callback of libuv; callbacks wake tasks.
#ifndef CORE_RUNTIME_H
#define CORE_RUNTIME_H

#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/queue.h"
#include "core/alloc.h"
#include "core/collector.h"
#include "core/interrupt.h"
#include "core/site.h"
#include "core/thread.h"
#include "core/timer.h"
#include "core/types.h"
#include "core/wakeup.h"

// Values the core keeps in the registry, as references made once.
typedef struct rt_refs {
  int threads;             // array: slot -> coroutine of a task, alive or kept for reuse
  int task_mt;             // metatable of task handles
  const void *task_class;  // its address, to know a handle by
  int scope_mt;            // metatable of scope handles
  int traces;              // weak keys: error object or task -> traceback text
  int locals;              // weak keys: task -> its locals() table
  int names;               // weak keys: task or scope -> name
  int box_mt;              // metatable of the userdata that own work (core/work.h)
  int astray;              // what a task fails with when a C function yields in it by itself
} rt_refs;

typedef struct rt_options {
  double grace;       // seconds that cleanup may take once the root scope is cancelled
  uint64_t seed;      // 0: ready tasks run first in, first out; else shuffled reproducibly
  int dev;            // warn about slow steps and guards left to the collector
  int own_signals;    // this runtime answers INT, TERM and QUIT (the main program's)
  unsigned threads;   // workers of a pool for which no size is given; 0: as many as cores
  int no_interrupts;  // neither watchdog nor SIGURG: there are only checkpoints (S27)
  int is_embedded;    // in another program, which goes on when a script ends
  size_t memory;      // bytes that Lua may hold; 0: no limit
  lua_Alloc alloc;    // where Lua's memory comes from; NULL: the runtime's own (core/alloc.h)
  void *alloc_ud;
  sigset_t mask;                // of the signals in programs that Lua's own functions start
  struct output *output;        // what takes the standard output and error; NULL: the process's own
  size_t fail_alloc;            // debug: the nth allocation of Lua fails; 0 never
  const struct bundle *bundle;  // the script and modules appended to the program; NULL for none
} rt_options;

typedef struct rt_stats {
  uint64_t steps, spawned, polls;
} rt_stats;

struct rt {
  lua_State *L;     // the main state: parent of all coroutines, runs no script itself
  FILE *out, *err;  // what print and messages are written to
  uv_loop_t loop;
  uv_timer_t clock;  // the one timer of libuv, unreferenced
  queue ready;
  heap timers;
  uint64_t vnow;     // the virtual clock
  uint64_t started;  // the clock when the runtime was made

  task *current;    // whose step runs
  scope *root;      // the root task's own scope
  scope *fence;     // a deadlock cancels this one instead; NULL when there is none
  task *main;       // the root task
  list jobs;        // operations outstanding on other threads (core/job.h)
  uint32_t ntasks;  // alive
  uint32_t njobs;
  uint32_t nworks;  // those of them that are work (core/work.h)
  uint32_t nleft;   // those of these that go on without their tasks, and may read what Lua holds
  list works;       // all of these
  struct fd_watch **watches;  // descriptors that tasks wait for, by number (core/descriptor.h)
  size_t nwatches;            // room in there
  list unwatched;             // those of which libuv tells the system at the next poll only
  list slices;  // of long operations on libuv's threads, waiting for their turn (sys/fs_op.h)
  uint32_t nslices, most_slices;  // that run, and may run at once: the loop keeps a core
  uint64_t next_id;               // tasks and scopes
  uint64_t random;                // state of the seeded generator
  uint64_t shared_step;           // the step in which `share` was counted
  size_t share;                   // what its calls cost that did not suspend (core/wait.h)
  thread_pool threads;
  site_table sites;
  int is_virtual;       // the clock
  lua_State *boxes;     // whose stack holds userdata that are kept for other work (core/work.h)
  unsigned nboxes;      // how many
  scope *spare_scopes;  // freed scope structures, linked by parent
  uint64_t end;         // when the root scope is cancelled, then when the grace is over
  timer_call grace_timer;
  list handles;  // open handles (core/handle.h)
  uint32_t nhandles;
  int grace_over;  // shields protect no longer (S14)
  rt_refs refs;
  rt_options opts;
  rt_stats stats;
  interrupt intr;
  collector gc;
  void *role;                // what this runtime is to others: a worker of a pool (pool/worker.h)
  void (*on_wakeup)(rt *r);  // the role's part in a wake-up by another thread; must not run Lua
  const struct luaL_Reg *modules;  // those in C that require finds
  double time_limit;               // of the root scope in seconds, if it is limited
  int exit_code;                   // of corun.exit, -1 when it was not called
  int is_limited;
  int timed_out;                  // it passed
  int deadlocked;                 // the root was cancelled because nothing could wake any task
  volatile sig_atomic_t sending;  // a stream hands bytes to the system: SIGPIPE is not print's
  atomic_int asked;               // to end, by corun_stop: 1 wanted, 2 the root scope was cancelled
  int closing;
  int closing_coroutines;  // depth of coroutine.close, which must not suspend (S30)
  lua_State *pinned;  // resumes a coroutine where it cannot suspend itself, so neither can that one
  int stopped_by;     // the INT, TERM or HUP that cancelled the root scope
  int warn_off, warn_continues;  // state of Lua's warnings
  alloc_pool alloc;
  // Other threads write from here on: what is above does not share their cache lines.
  char apart[64];
  wakeup wakeup;                  // by signals and other threads
  _Atomic(struct letter *) mail;  // from other threads, newest first (core/mail.h)
  atomic_uint posting;            // that are about to post or to wake it
};

// The runtime which a Lua state belongs to. The low bit of the pointer marks a coroutine in a host
// suspension (S29). [loop]
static inline rt *rt_of(lua_State *L) {
  return (rt *)(*(uintptr_t *)lua_getextraspace(L) & ~(uintptr_t)1);
}

// Make a runtime with the standard libraries open. [any thread, which then owns it] Answers NULL on
// out of memory or descriptors, with a negative libuv code in `rc` unless that is NULL.
rt *rt_new(const rt_options *opts, int *rc);

// Let the next root task be cancelled after `seconds`. [loop]
void rt_limit(rt *r, double seconds);

// Run the function and `nargs` arguments on top of the main state's stack as the root task, until
// its scope is empty. [loop] Answers LUA_OK, or an error status with the error on the stack.
int rt_run(rt *r, int nargs);

// The parts of rt_run, for a loop of somebody else's. rt_start makes the root task of the function
// and the arguments and leaves its handle on the stack, or an error status and the error. rt_turn
// runs what is ready and polls, asleep if that is allowed; answers 0 when the root task has ended.
// Then rt_finish, with the handle on top again, answers as rt_run does. [loop]
int rt_start(rt *r, int nargs);
int rt_turn(rt *r, int may_sleep);
int rt_finish(rt *r);

// How long the descriptor of the loop may be waited for until the next turn, in milliseconds; -1:
// until it is readable. [loop] After a turn that did not sleep.
int rt_timeout(rt *r);

// Close the Lua state, all handles and the loop. [loop] Waits at most `seconds` (HUGE_VAL: without
// end) for jobs on other threads. Answers 0, or UV_ETIMEDOUT: then the jobs and the loop they
// belong to remain, and the process can only end by _exit.
int rt_close(rt *r, double seconds);

// Append a task to the ready queue. [loop] Never fails: room was reserved at spawn.
void rt_ready(rt *r, task *t);

// Make sure the ready queue can hold all living tasks and one more. [loop] 0 or UV_ENOMEM.
static inline int rt_reserve(rt *r) {
  if (r->ntasks < r->ready.capacity) return 0;
  return queue_reserve(&r->ready, (size_t)r->ntasks + 1) < 0 ? UV_ENOMEM : 0;
}

// Next number of the runtime's seeded generator. [loop]
uint64_t rt_random(rt *r);

// Cancel the root scope: the program is to end. `code` as for corun.exit, -1 to keep. [loop]
void rt_stop(rt *r, int code);

#endif
