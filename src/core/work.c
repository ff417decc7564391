// SPDX-License-Identifier: MIT
// Work on threads of our own. See work.h.
#include "core/work.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/osthread.h"
#include "core/error.h"
#include "core/host.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"

#define LEAST_THREADS 4
#define MOST_THREADS 64  // those included whose work was abandoned
#define MOST_BOXES 1000  // userdata that are kept for other work

#define LOOK_OUT_NS 10000  // about what it costs to fall asleep and to be woken
#define PAUSES 16          // between two looks, which cost the loop a little

// After so much idleness a thread ends: to start another costs 60 us. The last one gone, each call
// of the loop's with a descriptor is 2 % faster (see osthread_keep_only).
#define IDLE_NS 500000000

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

// Put what was handed in into the queue. The lock is held.
static void take_in(work_pool *p) {
  if (!atomic_load(&p->inbox)) return;
  work *newest = atomic_exchange(&p->inbox, NULL), *after = NULL, *w = newest;
  for (;;) {
    work *before = w->next;
    p->queued++;
    w->next = after;
    after = w;
    if (!before) break;
    w->before = before;
    w = before;
  }
  w->before = p->last;
  if (p->last)
    p->last->next = w;
  else
    p->first = w;
  p->last = newest;
}

// The first in the queue, NULL when there is none. The lock is held.
static work *shift(work_pool *p) {
  if (!p->first) take_in(p);
  work *w = p->first;
  if (!w) return NULL;
  unlink_work(p, w);
  w->phase = RUNNING;
  return w;
}

// How many threads may work at once. The lock is held.
static unsigned most(work_pool *p) {
  if (!p->cores) p->cores = uv_available_parallelism();  // a system call
  unsigned n = (p->cores < LEAST_THREADS ? LEAST_THREADS : p->cores) + p->lost;
  return n < MOST_THREADS ? n : MOST_THREADS;
}

// Let go of the lock. An idle thread is told to come if there is work for it, but only one at a
// time, which tells the next if there is more to do by then: most short work has been done by a
// thread that is awake before another would be.
static void unlock(work_pool *p) {
  int wakes = 0;
  if (p->idle && !p->waking) {
    atomic_store(&p->is_calling, 1);
    take_in(p);  // of what was handed in before, nobody may have told
    p->waking = p->first != NULL;
    wakes = p->waking && !atomic_exchange(&p->is_looking, 0);
  }
  int sleeps = p->idle && !p->waking && !atomic_load(&p->is_looking);
  atomic_store(&p->is_calling, sleeps || p->threads < most(p));
  pthread_mutex_unlock(&p->lock);
  if (wakes) pthread_cond_signal(&p->more);
}

// Stay awake for a moment. One thread does it at a time. The lock is held, but let go of meanwhile.
static void look_out(work_pool *p) {
  int seen = 0;
  if (p->cores < 2 || atomic_load(&p->is_looking) || !lookout_begin(&p->ahead)) return;
  atomic_store(&p->is_looking, 1);
  unlock(p);
  for (uint64_t end = uv_hrtime() + LOOK_OUT_NS; !seen && uv_hrtime() < end;) {
    for (int i = 0; i < PAUSES; i++) lookout_pause();
    seen = atomic_load(&p->inbox) || !atomic_load(&p->is_looking);
  }
  pthread_mutex_lock(&p->lock);
  if (!atomic_exchange(&p->is_looking, 0)) p->waking = 0;
  lookout_end(&p->ahead, seen);
}

static struct timespec end_of_idleness(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += IDLE_NS;
  t.tv_sec += t.tv_nsec / 1000000000;
  t.tv_nsec %= 1000000000;
  return t;
}

// Wait for work; NULL when none came for long. The lock is held, but let go of meanwhile.
static work *sleep_for_work(work_pool *p) {
  work *w = shift(p);
  if (w) return w;
  p->idle++;
  look_out(p);
  struct timespec until = end_of_idleness();
  for (int is_over = 0;;) {
    atomic_store(&p->is_calling, 1);  // before the last look
    w = shift(p);
    if (w || is_over) break;
    is_over = pthread_cond_timedwait(&p->more, &p->lock, &until) == ETIMEDOUT;
    p->waking = 0;  // also if it was told just when the time was over
  }
  p->idle--;
  return w;
}

// Wait for work; NULL when the thread is to end: none came for long, or it is one too many, since a
// lost one came back.
static work *await_work(work_pool *p) {
  pthread_mutex_lock(&p->lock);
  work *w = p->threads > most(p) ? NULL : sleep_for_work(p);
  if (!w) p->threads--;
  unlock(p);
  return w;
}

// Note that the work has ended; answer the next if some waits already. Nobody is told of the rest:
// whoever handed that in has seen to it, or it is found by the thread that looks out.
static work *end_work(work_pool *p, work *w) {
  pthread_mutex_lock(&p->lock);
  if (w->phase == LOST) p->lost--;
  w->phase = ENDED;
  work *next = p->threads <= most(p) ? shift(p) : NULL;
  pthread_mutex_unlock(&p->lock);
  return next;
}

static void *serve(void *arg) {
  work_pool *p = arg;
  for (work *w = await_work(p); w;) {
    w->type->run(w);
    work *next = end_work(p, w);
    work_ended(w);
    w = next ? next : await_work(p);
  }
  return NULL;
}

// Start one more thread if that helps. The lock is held. Answers whether there is any.
static int staff(work_pool *p) {
  if (p->idle >= p->queued) return 1;
  if (p->threads >= most(p)) return 1;
  if (osthread_start(serve, p, 0) == 0) p->threads++;
  return p->threads > 0;
}

// See to it that a thread comes for what was handed in. Answers 0, or UV_EAGAIN when there is no
// thread to do it: then `w` was taken back.
static int call_thread(work_pool *p, work *w) {
  pthread_mutex_lock(&p->lock);
  take_in(p);
  int ok = w->phase != QUEUED || staff(p);
  if (!ok) {
    unlink_work(p, w);
    w->phase = IDLE;
  }
  unlock(p);
  return ok ? 0 : UV_EAGAIN;
}

// Hand the work in. Answers as call_thread.
static int submit(work *w) {
  work_pool *p = host_work_pool();
  w->phase = QUEUED;
  work *first = atomic_load_explicit(&p->inbox, memory_order_relaxed);
  do {
    w->next = first;
  } while (!atomic_compare_exchange_weak(&p->inbox, &first, w));
  return atomic_load(&p->is_calling) ? call_thread(p, w) : 0;
}

// Take the work out of the queue; answers whether it was still there.
static int retract(work *w) {
  work_pool *p = host_work_pool();
  pthread_mutex_lock(&p->lock);
  take_in(p);
  int found = w->phase == QUEUED;
  if (found) {
    unlink_work(p, w);
    w->phase = IDLE;
  }
  unlock(p);
  return found;
}

// Count the thread that runs the work as lost, and let another take its place.
static void abandon(work *w) {
  work_pool *p = host_work_pool();
  pthread_mutex_lock(&p->lock);
  if (w->phase == RUNNING) {
    w->phase = LOST;
    p->lost++;
    take_in(p);
    if (p->queued) staff(p);
  }
  unlock(p);
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

void work_release(work *w) {
  if (!w->box) return;
  *w->box = NULL;
  w->box = NULL;
  work_unref(w);
}

static int l_gc(lua_State *L) {
  work **box = lua_touserdata(L, 1);
  if (*box) work_release(*box);
  return 0;
}

void work_open(lua_State *L) {
  rt *r = rt_of(L);
  r->boxes = lua_newthread(L);
  luaL_ref(L, LUA_REGISTRYINDEX);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  r->refs.box_mt = luaL_ref(L, LUA_REGISTRYINDEX);
}

// Push a box that was kept, or a new one, which costs a finaliser.
static work **push_box(lua_State *L) {
  rt *r = rt_of(L);
  if (r->nboxes) {
    r->nboxes--;
    lua_xmove(r->boxes, L, 1);
    return lua_touserdata(L, -1);
  }
  work **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->refs.box_mt);
  lua_setmetatable(L, -2);
  return box;
}

void work_retire(lua_State *L, work *w) {
  rt *r = rt_of(L);
  work **box = w->box;
  int at = w->at;
  work_release(w);
  if (r->nboxes == MOST_BOXES || !box || lua_touserdata(L, at) != box) return;
  if (!lua_checkstack(L, 1) || !lua_checkstack(r->boxes, 1)) return;
  lua_pushvalue(L, at);
  lua_xmove(L, r->boxes, 1);
  r->nboxes++;
}

work *work_new(lua_State *L, const work_type *type, size_t size) {
  work **box = push_box(L);
  work *w = malloc(size);  // calloc does not look where glibc keeps what this thread has freed
  if (!w) {
    luaL_error(L, "not enough memory");
    return NULL;
  }
  *w = (work){.type = type, .op = type->op, .r = rt_of(L), .refs = 1, .box = box};
  memset(w + 1, 0, size - sizeof *w);
  list_init(&w->job.link);
  list_init(&w->live);
  w->at = lua_gettop(L);
  *box = w;
  return w;
}

// --- Waiting ---------------------------------------------------------------------------------

static void finish(work *w) {
  rt *r = w->r;
  if (!list_empty(&w->job.link)) job_end(r, &w->job);
  list_remove(&w->live);
  r->nworks--;
  r->nleft -= (uint32_t)w->is_left;
  w->has_ended = 1;
  work_unref(w);
}

void work_ended_here(work *w) {
  if (w->t) wait_wake(w->t, 0);
  w->t = NULL;
  finish(w);
}

static void deliver(letter *l) {
  work_ended_here((work *)(void *)((char *)l - offsetof(work, end)));
}

letter *work_letter(work *w) {
  w->end.deliver = deliver;
  return &w->end;
}

void work_ended(work *w) {
  mail_post(w->r, work_letter(w));
}

// Ask the work that is under way to end.
static wait_answer stop(work *w) {
  atomic_store(&w->cancelled, 1);
  if (w->type->cancel) return w->type->cancel(w);
  return w->type->is_abandoned ? WAIT_ABANDONED : WAIT_CANNOT_STOP;
}

static wait_answer cancel(task *t, void *arg) {
  work *w = arg;
  int is_withdrawn = w->type->by ? w->type->by->retract(w) : retract(w);
  wait_answer answer = is_withdrawn ? WAIT_STOPPED : stop(w);
  // A wait that could not even begin (out of memory) is never resumed.
  if (answer != WAIT_CANNOT_STOP || (t && t->state != TASK_WAITING)) w->t = NULL;
  if (answer == WAIT_ABANDONED) abandon(w);
  if (answer != WAIT_STOPPED) return answer;
  w->is_withdrawn = is_withdrawn;
  finish(w);
  return answer;
}

void work_cancel(work *w) {
  task *t = w->t;
  if (list_empty(&w->live)) {  // not begun, or ended
    work_stop(w);
    return;
  }
  // The task that waits owns it too, if there is one; else it may be gone after this.
  if (cancel(t, w) != WAIT_CANNOT_STOP && t) wait_wake(t, UV_ECANCELED);
}

static int resumed(lua_State *L, void *arg, int rc) {
  work *w = arg;
  return w->type->done(L, w, rc);
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  const work *w = arg;
  (void)t;
  snprintf(buf, n, "%s%s%s", w->op, w->target ? " " : "", w->target ? w->target : "");
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

void work_expect(work *w) {
  w->refs++;
  w->r->nworks++;
  list_push(&w->r->works, &w->live);
  job_begin(w->r, &w->job, w->op, w->target ? w->target : "");
}

void work_abandon_all(rt *r) {
  for (list *l = r->works.next; l != &r->works; l = l->next) {
    work *w = list_entry(l, work, live);
    if (!w->t || !(w->type->by || w->type->can_be_left)) continue;
    wait_wake(w->t, UV_ECANCELED);
    w->t = NULL;
    w->is_left = w->type->can_be_left;
    r->nleft += (uint32_t)w->is_left;
  }
}

int work_begin(lua_State *L, work *w, uint64_t when) {
  wait_check(L);
  assert(w->phase == IDLE && w->refs == 1);
  assert(when == TIMER_NEVER || w->type->is_abandoned);
  int rc = w->type->by ? w->type->by->submit(w) : submit(w);
  if (rc < 0) {
    w->is_withdrawn = 1;
    return w->type->done(L, w, rc);
  }
  w->t = task_current(L);  // when it has ended, this thread is told
  work_expect(w);
  return wait_begin_until(L, &work_ops, w, when);
}

int work_wait(lua_State *L, work *w) {
  if (w->has_ended) return w->type->done(L, w, 0);
  w->t = task_current(L);
  return wait_begin(L, &work_ops, w);
}
