// SPDX-License-Identifier: MIT
// A connection: the handle of a database, and the thread that alone uses it, so that whatever
// SQLite waits for, the loop does not. Tasks queue jobs, which are done in order; those that have
// ended are told to the loop in batches. Invariant: what is marked [thread] is touched by that
// thread alone, and all else under the lock.
#ifndef CONNECTION_H
#define CONNECTION_H

#include <corun.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdint.h>

#include "statement.h"

#define MOST_HELD 64  // jobs that have ended and were not told yet

typedef struct connection connection;

// What the thread does for somebody. As a part of an operation it is run unless it was cancelled
// while it was queued, and the operation is woken with what `run` answers. Without an operation it
// is posted: always run, and owned by `run`.
typedef struct job {
  struct job *next, *before;
  int (*run)(connection *c, struct job *j);  // [thread]
  void *op;
  int is_queued;
  atomic_int stopped;  // the result with which it is to end early, 0 while it may go on
} job;

// What else uses the handle, and must let go of it before it is closed. [thread]
typedef struct guest {
  struct guest *next;
  void (*leave)(struct guest *g);
} guest;

// The threads of one runtime: they are joined before the module goes.
typedef struct crew {
  pthread_mutex_t lock;
  pthread_cond_t change;
  connection *ended;  // to be joined
  unsigned alive;
  int has_company;  // there are more processors than one
} crew;

struct connection {
  pthread_mutex_t lock;
  pthread_cond_t more;  // a job for an idle thread, or an end for a busy one
  job *first, *last;
  job *running;                      // of an operation: what was posted may free itself
  atomic_size_t queued;              // changed under the lock, read by the thread without it
  int is_idle, is_closing, is_over;  // is_over: the thread takes no more jobs
  unsigned npaused;                  // statements between two batches of their rows
  sqlite3 *db;                       // NULL before and after; set under the lock

  cache statements;  // [thread] and the following
  void *held[MOST_HELD];
  size_t nheld;
  uint64_t held_since, busy_since;
  unsigned vain, skip;  // times that it stayed awake for nothing, that it does not now
  job *current;
  guest *guests;

  job quit;
  crew *team;
  pthread_t thread;
  connection *next_ended;
  atomic_int refs;
  double timeout;  // seconds to wait for the locks of others
  char *path;
};

// Make a connection for `path`, with a thread that has nothing to do yet; it is owned by the caller
// and by the thread. [loop] Answers NULL when there is no memory or no thread.
connection *connection_new(crew *team, const char *path, double timeout, unsigned statements);

// Let go of it. [loop]
void connection_unref(connection *c);

static inline connection *connection_ref(connection *c) {
  atomic_fetch_add(&c->refs, 1);
  return c;
}

// Queue the job of an operation. [loop] Answers 0 when the connection was closed: the operation
// must then be woken by the caller.
int connection_submit(connection *c, job *j);

// The same for one that waits until the connection has been closed. [loop] 0: it has.
int connection_submit_last(connection *c, job *j);

// Queue a job that nobody waits for. [loop] It is run at once, by this thread, when the
// connection's own has ended: it finds `db` NULL.
void connection_post(connection *c, job *j);

// How many jobs there are. [loop]
size_t connection_load(connection *c);

// The task of the job's operation was cancelled: take the job back, or have it end soon. [loop]
corun_answer connection_cancel(connection *c, job *j);

// Close the connection after the jobs posted so far; operations end with CORUN_ECLOSED. [loop]
void connection_close(connection *c);

// The handle has been opened. [thread]
void connection_opened(connection *c, sqlite3 *db);

// It is of no use: close it. [thread]
void connection_failed(connection *c);

// The current job leaves a statement between two rows, or goes on with it. [thread] `park` answers
// 0 if the job is to end: an interrupt may be on its way, and would last until that statement ends.
int connection_park(connection *c);
void connection_unpark(connection *c);

void guest_enter(connection *c, guest *g);
void guest_leave(connection *c, guest *g);

// Tell the loop what has ended, before something that may take long. [thread]
void connection_flush(connection *c);

// Wait for about this long, unless the current job is stopped. [thread] Answers whether it was not.
int connection_pause(connection *c, double seconds);

// Say whether the current job is to end early. [thread]
static inline int connection_is_stopped(connection *c) {
  return atomic_load_explicit(&c->current->stopped, memory_order_relaxed) != 0;
}

// Join the threads that have ended. [loop]
void crew_reap(crew *team);

// Wait until all threads have ended, and join them. [loop, when the runtime closes]
void crew_fini(crew *team);

#endif
