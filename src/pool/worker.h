// SPDX-License-Identifier: MIT
// Worker: a thread with a runtime of its own that takes jobs from a pool. In its runtime, tasks
// called servers take a job, run it in a scope and take the next (lua/corun/worker.lua); there is
// one, and one more for each job that waits for a job of its own, so that a pool cannot wait for
// itself. A worker that had no job for some time ends.
#ifndef POOL_WORKER_H
#define POOL_WORKER_H

#include <stdatomic.h>

#include "pool/pool.h"

struct worker {
  list link, idle_link;  // in pool->workers and pool->idle, guarded by its lock
  list taken;            // its jobs, guarded by the lock
  atomic_uint asks;      // those of them that were asked to end; changed under the lock
  atomic_int called;     // to look for a job, when it idles; set under the lock
  atomic_int hurried;    // to end what init does, or has left; set under the lock
  int is_under_way;      // its runtime can be asked. Guarded by the lock
  pool *of;
  rt *r;
  // [its loop]
  list waiting;      // tasks of servers that wait for a job
  unsigned servers;  // tasks
  unsigned blocked;  // servers whose job waits for a job
  unsigned running;  // jobs
  int retired;       // takes no more jobs
  int is_prepared;   // the pool's init has ended
  int is_apart;      // jobs have a default pool of their own
};

// Start one more worker. The pool's lock is held. Answers 0, UV_ENOMEM or UV_EAGAIN.
int worker_start(pool *p);

// The worker whose runtime this is, NULL when it is none's. [its loop]
worker *worker_of(const rt *r);

// Push a list of the modules that the init names and that are not loaded, or nothing. To be
// returned from a lua_CFunction. [its loop]
int worker_missing(lua_State *L);

// Push the init of the pool, or nothing. To be returned from a lua_CFunction. [its loop]
int worker_init(lua_State *L);

// Take a job: gives it as a light userdata, nil when the server that called has to end. Suspends.
// To be returned from a lua_CFunction. [its loop]
int worker_take(lua_State *L);

// Run the job at index 1 and answer it; index 2 is the function for maps, index 3 the one that is
// called instead with the names of modules to load first, that or nil, and the job. Suspends. To be
// returned from a lua_CFunction. [its loop] Raises on out of memory: then worker_fail is to be
// called.
int worker_perform(lua_State *L);

// Push the function of the job at index 1 and its arguments. To be returned from a lua_CFunction.
// [its loop]
int worker_decode(lua_State *L);

// Answer the job at index 1, which worker_perform could not, with the error at index 2. [its loop]
int worker_fail(lua_State *L);

// The server that calls ends by an error: it takes no more jobs. [its loop]
int worker_lose(lua_State *L);

// A job of this worker begins to wait for another job: see to it that there is a server for that
// one. Does nothing in the runtime of no worker. [its loop] Raises on out of memory.
void worker_block(lua_State *L);

// It waits no more. Does nothing in the runtime of no worker. [its loop]
void worker_unblock(rt *r);

#endif
