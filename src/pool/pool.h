// SPDX-License-Identifier: MIT
// Pool: a queue of jobs and the workers that take from it. A worker is an OS thread with a runtime
// of its own (worker.h); a job is a function with its arguments on the way to one, as a message,
// and its results on the way back. Jobs are work (core/work.h) of the runtime whose task waits for
// them. One queue for all workers: no job waits while a worker idles. Invariant: a job is answered
// exactly once, by work_ended or by being retracted; a pool outlives its jobs and its threads.
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <lua.h>
#include <pthread.h>
#include <stdint.h>

#include "base/list.h"
#include "core/runtime.h"
#include "core/work.h"
#include "pool/message.h"
#include "pool/proxy.h"

typedef struct pool pool;
typedef struct worker worker;

typedef enum { JOB_CALL, JOB_MAP } job_kind;  // fn(...), or fn of each argument by itself

typedef enum {
  JOB_RETURNED,   // the reply holds the results; it is empty when there are none
  JOB_RAISED,     // the reply holds the error and its traceback
  JOB_REFUSED,    // the results cannot be transferred: the reply holds why
  JOB_CANCELLED,  // it was asked to end, and did
  JOB_CLOSED,     // the pool was closed before it began
  JOB_BROKEN,     // a worker's init, or its server, failed; pool->broken says why
  JOB_UNSTAFFED,  // there is no worker, and none could start
} job_outcome;

typedef struct pool_job {
  work w;  // of the task that waits for it
  pool *in;
  list link;   // in pool->queue, then in worker->taken
  worker *at;  // that runs it, NULL before. Guarded by the lock
  scope *s;    // what it runs in. [the worker's loop]
  message call, reply;
  uint8_t kind, outcome;
  uint8_t flags;  // of the codec, for what goes back to the caller (message.h)
  uint8_t asked;  // to end early. Guarded by the lock
  uint8_t told;   // its scope was cancelled for that. [the worker's loop]
} pool_job;

typedef struct pool_counts {
  uint64_t done, failed, cancelled;
  unsigned queued, running, workers, idle;
} pool_counts;

struct pool {
  work life;       // of the runtime that made it: that one waits at its end for the threads
  char apart[64];  // those who contend for what follows leave alone what is read only, before and
                   // behind
  pthread_mutex_t lock;
  list queue;          // of jobs, oldest first
  list idle, workers;  // idle: in which no job goes on and a server waits, the latest first
  pool_counts counts;
  unsigned threads;     // that have not ended; workers: those of them that still take jobs
  int closed, hurried;  // hurried: what goes on was asked to end
  char *broken;         // how the init of a worker failed, NULL while none has
  char apart_too[64];
  // What it was made with; read-only after.
  unsigned size;
  double idle_seconds;        // after which a worker without a job ends
  char *name, *path, *cpath;  // path, cpath: package.path and cpath of its workers
  message init;
  home *home;  // of what its one worker keeps for callers, NULL when workers keep nothing
  struct commons *commons;
  rt_options opts;
  const struct luaL_Reg *modules;
};

extern const work_type pool_job_type;

// The type of a job whose call came encoded, from another process: what it gives the task that
// waits is the outcome and the bytes of the reply, unless no worker has run it.
extern const work_type pool_relay_type;

// Make an open pool for the runtime of `L`, held by it and by the caller. [loop] Answers NULL on
// out of memory. The caller fills in what it is made with.
pool *pool_new(lua_State *L);

// Take no more jobs. With `cancel` those in the queue are given up and those that run asked to end;
// else they are done first. Closing again can still cancel. [loop of the runtime that made it]
void pool_close(pool *p, int cancel);

// Let go of it; the last one frees it. [loop of the runtime that made it]
void pool_unref(pool *p);

// Take a worker out of those who idle, for there is a job or the pool closes: its runtime, which is
// held until mail_wake; NULL when all are busy. The lock is held.
rt *pool_call(pool *p);

// The job at the head of the queue becomes the worker's; NULL when there is none. The lock is held.
pool_job *pool_take(pool *p, worker *w);

// Give what a reply holds: push the results, or raise the error, as run in the pool `name`. To be
// returned from a lua_CFunction. [loop, in a task]
int pool_conclude(lua_State *L, job_outcome outcome, const message *reply, const char *name);

// Say how the job that the worker took has ended. [the worker's loop] It may be gone afterwards.
void pool_answer(pool_job *j, job_outcome outcome);

// The init of a worker failed, because of `why`: give up all jobs, now and from now on. [any]
void pool_break(pool *p, const char *why);

// The worker, in which nothing runs, takes no more jobs. The lock is held.
void pool_retire(pool *p, worker *w);

// A worker whose runtime could not be made, or has ended, leaves. [its thread]
void pool_leave(pool *p, worker *w);

// A thread has ended. [that thread, as its last use of the pool]
void pool_thread_ended(pool *p);

// Read the counts. [any]
pool_counts pool_count(pool *p);

#endif
