// SPDX-License-Identifier: MIT
// Work: a function that blocks, run on one of corun's own threads while the task that asked for it
// waits. The threads serve all runtimes of the process (S39); libuv's are left to files. A piece of
// work is a C object with two owners: a userdata in the frame of the task, and the thread while it
// runs; what it holds is dropped on the loop thread when both have let go. Invariant: between
// work_begin and its delivery only the thread touches what `run` uses.
#ifndef CORE_WORK_H
#define CORE_WORK_H

#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/lookout.h"
#include "core/job.h"
#include "core/mail.h"
#include "core/types.h"
#include "core/wait.h"

typedef struct work_type {
  const char *op;  // "hash_file": for the task tree and for messages
  // Do the work. [pool] Must touch neither Lua nor the runtime; should look at work_is_cancelled.
  void (*run)(work *w);
  // In the coroutine: push results and answer their number, or raise. `rc` is 0 once `run` has
  // ended, a negative code when a doer did not take it, UV_ETIMEDOUT when the time limit passed:
  // then `run` never began, or goes on (is_abandoned) and its part of the work must not be looked
  // at; UV_EAGAIN when no thread could be started and `run` never began: answer work_fail. [loop]
  int (*done)(lua_State *L, work *w, int rc);
  // Release what the work holds, exactly once; the memory is freed after it. NULL: nothing. [loop]
  void (*drop)(work *w);
  // A cancelled task goes on at once, and the work ends by itself (S16: abandoned). Otherwise the
  // task sleeps until `run` has ended.
  int is_abandoned;
  // Asked instead of is_abandoned when the task was cancelled and the work is under way: have it
  // end soon. WAIT_STOPPED: nobody will call work_ended. May be NULL. [loop] Must not run Lua.
  wait_answer (*cancel)(work *w);
  // When the grace at the end of the program is over, its task goes on with UV_ECANCELED
  // (work.is_left), and `run` may still read what Lua holds: rt_close waits for it first (S26).
  int can_be_left;
  // Who does the work instead of corun's own threads; NULL: those do. [loop]
  const struct work_doer *by;
} work_type;

// Others who do work: each piece comes back by work_ended, or is retracted. Such work reads nothing
// of the task's stack: it is abandoned when the grace at the end of the program is over (S26).
typedef struct work_doer {
  int (*submit)(work *w);   // take it: 0 or a negative libuv code
  int (*retract)(work *w);  // give it back unbegun, answer 1; else answer 0 and let it end early
} work_doer;

struct work {
  job job;
  task *t;                 // NULL once the task gave up
  work **box;              // the userdata that owns it, NULL when that has let go
  int at;                  // its place on the stack of the function that made it
  int is_withdrawn;        // never came to a thread: run is not called [loop]
  int is_left, has_ended;  // [loop]
  unsigned refs;
  const char *op;      // that of its type, or a better one
  const char *target;  // whom it concerns, for messages; lives as long as the work. May be NULL
  list live;           // in rt->works
  // What its thread looks at stands together, and before what `run` uses: few lines of memory move
  // between the threads.
  rt *r;
  const work_type *type;
  work *next, *before;  // in the queue of the threads
  letter end;           // says that it has ended
  int phase;            // guarded by the lock of the threads
  atomic_int cancelled;
};

// Make what the state keeps for work. [loop] Raises on out of memory.
void work_open(lua_State *L);

// Make a piece of work, zeroed but for this structure, at the beginning of `size` bytes; push the
// userdata that owns it. [loop] Raises on out of memory.
work *work_new(lua_State *L, const work_type *type, size_t size);

// Suspend until it has run; the time limit `when` applies as long as it can be stopped. The
// userdata must be on the stack of the calling function, and so may be what `run` reads, unless the
// work can be abandoned. A time limit is for work that can be. To be returned in tail position,
// after task_checkpoint. [loop]
int work_begin(lua_State *L, work *w, uint64_t when);

// A doer has ended the work: its task, if there is one, is to be woken. [any]
void work_ended(work *w);

// The same on the loop thread: at once. [loop] Must not run Lua.
void work_ended_here(work *w);

// The letter which says that: who ends several pieces at once may post them together. [any]
letter *work_letter(work *w);

// Count work as outstanding that nobody is given: it ends by work_ended, also before work_wait.
// [loop]
void work_expect(work *w);

// Suspend until work that was expected has ended; as work_begin, after wait_check. [loop]
int work_wait(lua_State *L, work *w);

// Let work end early whose task still waits for it, as if that was cancelled: it gets UV_ECANCELED
// unless the work goes on. [loop] Must not run Lua.
void work_cancel(work *w);

// Let go of it in the place of its userdata, which holds nothing then. [loop]
void work_release(work *w);

// The same in `done`, where the userdata still has its place: keep it for other work. [loop]
void work_retire(lua_State *L, work *w);

// Let the runtime live until work_ended(w), for which no task waits, and own `w`, which is on the C
// heap. [loop]
void work_hold(rt *r, work *w, const work_type *type);

// Hold it once more, and let go of it: the last one drops and frees it. [loop]
void work_ref(work *w);
void work_unref(work *w);

// The grace is over: let the tasks go on whose work others do or can be left. [loop] Must not run
// Lua.
void work_abandon_all(rt *r);

// Push nil and the error for UV_EAGAIN; answer 2. `target` may be NULL. [loop]
int work_fail(lua_State *L, const char *op, const char *target);

// Let the work end early, though the task still waits for it. [loop]
static inline void work_stop(work *w) {
  atomic_store_explicit(&w->cancelled, 1, memory_order_relaxed);
}

// Say whether whoever wanted the work has given up on it. [any]
static inline int work_is_cancelled(work *w) {
  return atomic_load_explicit(&w->cancelled, memory_order_relaxed);
}

// --- The threads -----------------------------------------------------------------------------

// The state of the threads, process-wide: kept by host.c. Work is handed in through `inbox`, from
// where whoever holds the lock next puts it into the queue: a loop needs the lock only when no
// thread is sure to look.
typedef struct work_pool {
  pthread_mutex_t lock;
  pthread_cond_t more;
  work *first, *last;  // the queue
  unsigned queued, threads;
  unsigned idle;   // threads that sleep or look out
  unsigned lost;   // threads whose work was abandoned: they may never come back
  unsigned cores;  // 0: not counted yet
  lookout ahead;
  int waking;  // an idle thread was told to come, and has not come yet
  // What loops and threads touch without the lock: in a cache line of its own.
  struct {
    _Alignas(64) _Atomic(work *) inbox;  // newest first
    atomic_int is_calling;               // who hands in work must see to it that a thread comes
    atomic_int is_looking;               // a thread looks out; told to come by 0
  };
} work_pool;

// The lock is held for moments only, by threads that run at the same time.
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#define WORK_POOL_LOCK PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#else
#define WORK_POOL_LOCK PTHREAD_MUTEX_INITIALIZER
#endif
#define WORK_POOL_INIT \
  { .lock = WORK_POOL_LOCK, .more = PTHREAD_COND_INITIALIZER, .is_calling = 1 }

#endif
