// SPDX-License-Identifier: MIT
// Work on threads of our own. See work.h.
#include "core/work.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/osthread.h"
#include "core/error.h"
#include "core/host.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"

#define WORK_CLASS "corun.work"
#define LEAST_THREADS 4
#define MOST_THREADS 64  // those included whose work was abandoned

enum { IDLE, QUEUED, RUNNING, LOST, ENDED };

// --- Threads ---------------------------------------------------------------------------------

// Take the work out of the queue. The lock is held.
static void unlink_work(work_pool *p, work *w) {
  if (w->before)
    w->before->next = w->next;
  else
    p->first = w->next;
  if (w->next)
    w->next->before = w->before;
  else
    p->last = w->before;
  w->next = w->before = NULL;
  p->queued--;
}

// The first in the queue. The lock is held.
static work *shift(work_pool *p) {
  work *w = p->first;
  unlink_work(p, w);
  w->phase = RUNNING;
  return w;
}

// How many threads may work at once. The lock is held.
static unsigned most(const work_pool *p) {
  unsigned n = uv_available_parallelism();
  n = (n < LEAST_THREADS ? LEAST_THREADS : n) + p->lost;
  return n < MOST_THREADS ? n : MOST_THREADS;
}

static void *serve(void *arg) {
  work_pool *p = arg;
  for (;;) {
    pthread_mutex_lock(&p->lock);
    if (p->threads > most(p)) break;  // a lost one came back
    p->idle++;
    while (!p->first) pthread_cond_wait(&p->more, &p->lock);
    p->idle--;
    work *w = shift(p);
    pthread_mutex_unlock(&p->lock);
    w->type->run(w);
    pthread_mutex_lock(&p->lock);
    if (w->phase == LOST) p->lost--;
    w->phase = ENDED;
    pthread_mutex_unlock(&p->lock);
    work_ended(w);
  }
  p->threads--;
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

// Start one more thread if that helps. The lock is held. Answers whether there is any.
static int staff(work_pool *p) {
  if (p->idle >= p->queued) return 1;
  if (p->threads >= most(p)) return 1;
  if (osthread_start(serve, p, 0) == 0) p->threads++;
  return p->threads > 0;
}

// Queue the work. Answers 0, or UV_EAGAIN when there is no thread to do it.
static int submit(work *w) {
  work_pool *p = host_work_pool();
  pthread_mutex_lock(&p->lock);
  p->queued++;
  int ok = staff(p);
  if (ok) {
    w->phase = QUEUED;
    w->before = p->last;
    if (p->last)
      p->last->next = w;
    else
      p->first = w;
    p->last = w;
    pthread_cond_signal(&p->more);
  } else {
    p->queued--;
  }
  pthread_mutex_unlock(&p->lock);
  return ok ? 0 : UV_EAGAIN;
}

// Take the work out of the queue; answers whether it was still there.
static int retract(work *w) {
  work_pool *p = host_work_pool();
  pthread_mutex_lock(&p->lock);
  int found = w->phase == QUEUED;
  if (found) {
    unlink_work(p, w);
    w->phase = IDLE;
  }
  pthread_mutex_unlock(&p->lock);
  return found;
}

// Count the thread that runs the work as lost, and let another take its place.
static void abandon(work *w) {
  work_pool *p = host_work_pool();
  pthread_mutex_lock(&p->lock);
  if (w->phase == RUNNING) {
    w->phase = LOST;
    p->lost++;
    if (p->queued) staff(p);
  }
  pthread_mutex_unlock(&p->lock);
}

// --- Owners ----------------------------------------------------------------------------------

void work_ref(work *w) {
  w->refs++;
}

void work_unref(work *w) {
  if (--w->refs) return;
  if (w->type->drop) w->type->drop(w);
  free(w);
}

static int l_gc(lua_State *L) {
  work **box = lua_touserdata(L, 1);
  if (*box) work_unref(*box);
  *box = NULL;
  return 0;
}

work *work_new(lua_State *L, const work_type *type, size_t size) {
  work **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  if (luaL_newmetatable(L, WORK_CLASS)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  work *w = calloc(1, size);
  if (!w) luaL_error(L, "not enough memory");
  w->type = type;
  w->r = rt_of(L);
  list_init(&w->live);
  w->refs = 1;
  *box = w;
  return w;
}

// --- Waiting ---------------------------------------------------------------------------------

static void finish(work *w) {
  rt *r = w->r;
  if (!list_empty(&w->job.link)) job_end(r, &w->job);
  list_remove(&w->live);
  r->nworks--;
  work_unref(w);
}

static void deliver(letter *l) {
  work *w = (work *)(void *)((char *)l - offsetof(work, end));
  if (w->t) wait_wake(w->t, 0);
  w->t = NULL;
  finish(w);
}

void work_ended(work *w) {
  w->end.deliver = deliver;
  mail_post(w->r, &w->end);
}

static wait_answer cancel(task *t, void *arg) {
  work *w = arg;
  if (w->type->by ? w->type->by->retract(w) : retract(w)) {
    w->t = NULL;
    w->is_withdrawn = 1;
    finish(w);
    return WAIT_STOPPED;
  }
  atomic_store(&w->cancelled, 1);
  // A wait that could not even begin (out of memory) is never resumed.
  if (w->type->is_abandoned || t->state != TASK_WAITING) w->t = NULL;
  if (!w->type->is_abandoned) return WAIT_CANNOT_STOP;
  abandon(w);
  return WAIT_ABANDONED;
}

static int resumed(lua_State *L, void *arg, int rc) {
  work *w = arg;
  return w->type->done(L, w, rc);
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  const work *w = arg;
  (void)t;
  snprintf(buf, n, "%s%s%s", w->type->op, w->target ? " " : "", w->target ? w->target : "");
}

static const wait_ops work_ops = {"a thread to do", cancel, resumed, describe};

int work_fail(lua_State *L, const char *op, const char *target) {
  return err_return(L, "EAGAIN", op, target, "no thread can be started");
}

void work_hold(rt *r, work *w, const work_type *type) {
  w->type = type;
  w->r = r;
  w->refs = 1;
  list_init(&w->job.link);
  list_push(&r->works, &w->live);
  r->nworks++;
}

void work_abandon_all(rt *r) {
  for (list *l = r->works.next; l != &r->works; l = l->next) {
    work *w = list_entry(l, work, live);
    if (w->type->by && w->t) wait_wake(w->t, UV_ECANCELED);
    w->t = NULL;
  }
}

int work_begin(lua_State *L, work *w, uint64_t when) {
  wait_check(L);
  assert(w->phase == IDLE && w->refs == 1);
  assert(when == TIMER_NEVER || w->type->is_abandoned);
  rt *r = w->r;
  int rc = w->type->by ? w->type->by->submit(w) : submit(w);
  if (rc < 0) {
    w->is_withdrawn = 1;
    return w->type->done(L, w, rc);
  }
  w->t = task_current(L);  // when it has ended, this thread is told
  w->refs++;
  r->nworks++;
  list_push(&r->works, &w->live);
  job_begin(r, &w->job, w->type->op, w->target ? w->target : "");
  return wait_begin_until(L, &work_ops, w, when);
}
