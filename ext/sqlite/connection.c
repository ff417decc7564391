// SPDX-License-Identifier: MIT
// Connections. See connection.h. To wake a loop that sleeps costs as much as a short statement, so
// the thread holds back what has ended while there is more to do: until as many have ended as are
// queued, a twentieth of a millisecond has passed, or something begins that may take longer. The
// tasks that are woken then queue the next statements while the thread does the other half.
#include "connection.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOLD 50000      // nanoseconds
#define LOOK_OUT 20000  // nanoseconds
#define PAUSES 16       // between two looks at the clock
#define MOST_SKIPPED 255
#define PROGRESS 2000  // instructions of SQLite's machine: some tens of microseconds

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// --- The queue: under the lock ---------------------------------------------------------------

static void append(connection *c, job *j) {
  j->next = NULL;
  j->before = c->last;
  if (c->last)
    c->last->next = j;
  else
    c->first = j;
  c->last = j;
  atomic_fetch_add_explicit(&c->queued, 1, memory_order_relaxed);
  j->is_queued = 1;
}

static void unlink_job(connection *c, job *j) {
  if (j->before)
    j->before->next = j->next;
  else
    c->first = j->next;
  if (j->next)
    j->next->before = j->before;
  else
    c->last = j->before;
  atomic_fetch_sub_explicit(&c->queued, 1, memory_order_relaxed);
  j->is_queued = 0;
}

// Have the job that is under way end soon. sqlite3_interrupt would also end the statements that are
// between two batches of their rows: then the handler of progress alone stops it.
static void stop_running(connection *c, int rc) {
  int none = 0;
  atomic_compare_exchange_strong(&c->running->stopped, &none, rc);  // the first one decides
  if (c->db && !c->npaused) sqlite3_interrupt(c->db);
  pthread_cond_broadcast(&c->more);  // it may wait for a lock
}

// --- On the thread ---------------------------------------------------------------------------

void connection_flush(connection *c) {
  if (!c->nheld) return;  // also on the loop, once the thread has ended
  corun_wake_all(c->held, c->nheld, 0);
  c->nheld = 0;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Stay awake for a moment, as those who were told mostly ask for more at once: to sleep and to be
// woken costs both threads more than a short statement does. What was in vain is not done the next
// times, ever more of them.
static void look_out(connection *c) {
  if (c->skip) {
    c->skip--;
    return;
  }
  for (uint64_t until = now() + LOOK_OUT; now() < until;) {
    for (int i = 0; i < PAUSES; i++) {
      if (atomic_load_explicit(&c->queued, memory_order_relaxed)) {
        c->vain = 0;
        return;
      }
      relax();
    }
  }
  c->vain = 2 * c->vain + 1 < MOST_SKIPPED ? 2 * c->vain + 1 : MOST_SKIPPED;
  c->skip = c->vain;
}

// Answer the next job, NULL when there will be none. What was running has ended.
static job *take(connection *c) {
  pthread_mutex_lock(&c->lock);
  c->running = NULL;
  if (!c->first && c->nheld) {
    pthread_mutex_unlock(&c->lock);
    connection_flush(c);
    if (c->team->has_company) look_out(c);
    pthread_mutex_lock(&c->lock);
  }
  c->is_idle = 1;
  while (!c->first && !(c->is_closing && !c->db)) pthread_cond_wait(&c->more, &c->lock);
  c->is_idle = 0;
  job *j = c->first;
  if (j)
    unlink_job(c, j);
  else
    c->is_over = 1;
  c->running = j && j->op ? j : NULL;
  size_t left = atomic_load_explicit(&c->queued, memory_order_relaxed);
  pthread_mutex_unlock(&c->lock);
  if (c->nheld > left || c->nheld == MOST_HELD || (c->nheld && now() - c->held_since > HOLD))
    connection_flush(c);
  return j;
}

// The operation has ended: it is told with others, unless it did not come to its end.
static void end(connection *c, void *op, int rc) {
  if (rc) {
    connection_flush(c);
    pthread_mutex_lock(&c->lock);
    c->running = NULL;  // it is gone as soon as the loop is told
    pthread_mutex_unlock(&c->lock);
    corun_wake(op, rc);
    return;
  }
  if (c->nheld == 0) c->held_since = now();
  c->held[c->nheld++] = op;
}

static void *serve(void *arg) {
  connection *c = arg;
  crew *team = c->team;
  for (job *j = take(c); j; j = take(c)) {
    void *op = j->op;
    c->current = j;
    int rc = j->run(c, j);  // what was posted may be gone now
    if (op) end(c, op, rc);
  }
  pthread_mutex_lock(&team->lock);
  c->next_ended = team->ended;
  team->ended = c;
  team->alive--;
  pthread_cond_signal(&team->change);
  pthread_mutex_unlock(&team->lock);
  return NULL;
}

// While a statement works: tell what has ended before it, and ask whether it may go on.
static int on_progress(void *arg) {
  connection *c = arg;
  connection_flush(c);
  return connection_is_stopped(c);
}

int connection_park(connection *c) {
  pthread_mutex_lock(&c->lock);
  int ok = !connection_is_stopped(c);
  c->npaused += (unsigned)ok;
  pthread_mutex_unlock(&c->lock);
  return ok;
}

void connection_unpark(connection *c) {
  pthread_mutex_lock(&c->lock);
  c->npaused--;
  pthread_mutex_unlock(&c->lock);
}

// Somebody else holds a lock: wait, a little longer each time.
static int on_busy(void *arg, int times) {
  connection *c = arg;
  uint64_t t = now();
  if (times == 0) c->busy_since = t;
  double left = c->timeout - (double)(t - c->busy_since) / 1e9;
  double pause = times < 10 ? 0.001 * (times + 1) : 0.02;
  if (left <= 0) return 0;
  return connection_pause(c, pause < left ? pause : left);
}

void connection_opened(connection *c, sqlite3 *db) {
  sqlite3_progress_handler(db, PROGRESS, on_progress, c);
  sqlite3_busy_handler(db, on_busy, c);
  sqlite3_extended_result_codes(db, 1);
  pthread_mutex_lock(&c->lock);
  c->db = db;
  pthread_mutex_unlock(&c->lock);
}

void connection_failed(connection *c) {
  sqlite3 *db = c->db;
  pthread_mutex_lock(&c->lock);
  c->db = NULL;
  pthread_mutex_unlock(&c->lock);
  sqlite3_close(db);
}

int connection_pause(connection *c, double seconds) {
  connection_flush(c);
  struct timespec until;
  uint64_t ns = (uint64_t)(seconds * 1e9);
#ifdef __APPLE__
  until = (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
#else
  ns += now();
  until = (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
#endif
  int rc = 0;
  pthread_mutex_lock(&c->lock);
  while (!connection_is_stopped(c) && rc != ETIMEDOUT)
#ifdef __APPLE__
    rc = pthread_cond_timedwait_relative_np(&c->more, &c->lock, &until);
#else
    rc = pthread_cond_timedwait(&c->more, &c->lock, &until);
#endif
  pthread_mutex_unlock(&c->lock);
  return !connection_is_stopped(c);
}

void guest_enter(connection *c, guest *g) {
  g->next = c->guests;
  c->guests = g;
}

void guest_leave(connection *c, guest *g) {
  guest **p = &c->guests;
  while (*p && *p != g) p = &(*p)->next;
  if (*p) *p = g->next;
}

// The last job of all: nothing of SQLite's is left after it.
static int run_quit(connection *c, job *j) {
  (void)j;
  while (c->guests) {
    guest *g = c->guests;
    guest_leave(c, g);
    g->leave(g);
  }
  cache_fini(&c->statements);
  sqlite3 *db = c->db;
  pthread_mutex_lock(&c->lock);
  c->db = NULL;
  pthread_mutex_unlock(&c->lock);
  connection_flush(c);
  sqlite3_close_v2(db);
  return 0;
}

// --- On the loop -----------------------------------------------------------------------------

// Queue the job if the thread still takes it; answer whether it does.
static int submit(connection *c, job *j, int also_when_closing) {
  pthread_mutex_lock(&c->lock);
  int ok = !c->is_over && (also_when_closing || !c->is_closing);
  if (ok) append(c, j);
  int is_idle = c->is_idle;
  pthread_mutex_unlock(&c->lock);
  if (ok && is_idle) pthread_cond_signal(&c->more);
  return ok;
}

int connection_submit(connection *c, job *j) {
  return submit(c, j, 0);
}

int connection_submit_last(connection *c, job *j) {
  return submit(c, j, 1);
}

void connection_post(connection *c, job *j) {
  j->op = NULL;
  if (!submit(c, j, 1)) j->run(c, j);
}

size_t connection_load(connection *c) {
  pthread_mutex_lock(&c->lock);
  size_t n = atomic_load_explicit(&c->queued, memory_order_relaxed) + (c->running != NULL);
  pthread_mutex_unlock(&c->lock);
  return n;
}

corun_answer connection_cancel(connection *c, job *j) {
  corun_answer answer = CORUN_PENDING;
  pthread_mutex_lock(&c->lock);
  if (j->is_queued) {
    unlink_job(c, j);
    answer = CORUN_STOPPED;
  } else if (c->running == j) {
    stop_running(c, -ECANCELED);
  }
  pthread_mutex_unlock(&c->lock);
  return answer;
}

void connection_close(connection *c) {
  job *taken = NULL;
  pthread_mutex_lock(&c->lock);
  if (c->is_closing) {
    pthread_mutex_unlock(&c->lock);
    return;
  }
  c->is_closing = 1;
  for (job *j = c->first, *next; j; j = next) {
    next = j->next;
    if (!j->op) continue;
    unlink_job(c, j);
    j->next = taken;
    taken = j;
  }
  if (c->running) stop_running(c, CORUN_ECLOSED);
  c->quit.run = run_quit;
  append(c, &c->quit);
  pthread_mutex_unlock(&c->lock);
  pthread_cond_signal(&c->more);
  for (job *next; taken; taken = next) {
    next = taken->next;
    corun_wake(taken->op, CORUN_ECLOSED);
  }
}

// --- Making ----------------------------------------------------------------------------------

static void destroy(connection *c) {
  pthread_cond_destroy(&c->more);
  pthread_mutex_destroy(&c->lock);
  free(c->path);
  free(c);
}

// Start the thread, to which no signal is delivered.
static int start(connection *c) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_mutex_lock(&c->team->lock);
  c->team->alive++;
  pthread_mutex_unlock(&c->team->lock);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int rc = pthread_create(&c->thread, NULL, serve, c);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (rc == 0) return 1;
  pthread_mutex_lock(&c->team->lock);
  c->team->alive--;
  pthread_mutex_unlock(&c->team->lock);
  return 0;
}

connection *connection_new(crew *team, const char *path, double timeout, unsigned statements) {
  crew_reap(team);
  connection *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
#ifndef __APPLE__
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
#endif
  pthread_cond_init(&c->more, &clock);
  pthread_condattr_destroy(&clock);
  pthread_mutex_init(&c->lock, NULL);
  atomic_init(&c->refs, 2);
  c->team = team;
  c->timeout = timeout;
  cache_init(&c->statements, statements);
  c->path = strdup(path);
  if (c->path && start(c)) return c;
  destroy(c);
  return NULL;
}

void connection_unref(connection *c) {
  if (atomic_fetch_sub(&c->refs, 1) == 1) destroy(c);
}

static void join(connection *c) {
  for (connection *next; c; c = next) {
    next = c->next_ended;
    pthread_join(c->thread, NULL);
    connection_unref(c);
  }
}

void crew_reap(crew *team) {
  pthread_mutex_lock(&team->lock);
  connection *ended = team->ended;
  team->ended = NULL;
  pthread_mutex_unlock(&team->lock);
  join(ended);
}

void crew_fini(crew *team) {
  pthread_mutex_lock(&team->lock);
  while (team->alive) pthread_cond_wait(&team->change, &team->lock);
  pthread_mutex_unlock(&team->lock);
  crew_reap(team);
  pthread_cond_destroy(&team->change);
  pthread_mutex_destroy(&team->lock);
}
