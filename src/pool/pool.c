// SPDX-License-Identifier: MIT
// Pools: the queue, and who waits for whom. See pool.h.
#include "pool/pool.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/host.h"
#include "core/mail.h"
#include "core/task.h"
#include "core/trace.h"
#include "pool/commons.h"
#include "pool/worker.h"

// --- Life ------------------------------------------------------------------------------------

static void drop_pool(work *w) {
  pool *p = (pool *)(void *)w;
  message_fini(&p->init);
  commons_unref(p->commons);
  if (p->home) home_unref(p->home);
  pthread_mutex_destroy(&p->lock);
  free(p->broken);
  free(p->name);
  free(p->path);
  free(p->cpath);
}

static const work_type life_type = {.op = "pool", .drop = drop_pool};

// It is held for moments only, by threads that run at the same time.
static void init_lock(pthread_mutex_t *lock) {
  pthread_mutexattr_t how;
  pthread_mutexattr_init(&how);
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
  pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
  pthread_mutex_init(lock, &how);
  pthread_mutexattr_destroy(&how);
}

pool *pool_new(lua_State *L) {
  commons *c = commons_of(L);
  pool *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->commons = commons_ref(c);
  init_lock(&p->lock);
  list_init(&p->queue);
  list_init(&p->idle);
  list_init(&p->workers);
  work_hold(rt_of(L), &p->life, &life_type);
  work_ref(&p->life);
  return p;
}

void pool_unref(pool *p) {
  work_unref(&p->life);
}

// Answer a job that no worker has begun. The lock is held.
static void give_up(pool_job *j, job_outcome outcome) {
  list_remove(&j->link);
  j->in->counts.queued--;
  j->outcome = (uint8_t)outcome;
  work_ended(&j->w);
}

static void give_up_all(pool *p, job_outcome outcome) {
  while (!list_empty(&p->queue)) give_up(list_entry(p->queue.next, pool_job, link), outcome);
}

// Ask a job that runs to end. The lock is held.
static void ask(pool_job *j) {
  if (j->asked) return;
  j->asked = 1;
  atomic_fetch_add(&j->at->asks, 1);
  host_ask(j->at->r);
}

// Ask a worker to cancel its init, or the tasks that this has left. The lock is held.
static void hurry(worker *w) {
  atomic_store(&w->hurried, 1);
  host_ask(w->r);
}

void pool_close(pool *p, int cancel) {
  pthread_mutex_lock(&p->lock);
  int is_first = !p->closed;
  p->closed = 1;
  if (cancel) {
    p->hurried = 1;
    give_up_all(p, JOB_CLOSED);
    for (list *l = p->workers.next; l != &p->workers; l = l->next) {
      worker *w = list_entry(l, worker, link);
      if (w->is_under_way) hurry(w);
      for (list *i = w->taken.next; i != &w->taken; i = i->next) ask(list_entry(i, pool_job, link));
    }
  }
  for (rt *r; (r = pool_call(p));) {
    host_ask(r);
    mail_wake(r);
  }
  int ended = is_first && !p->threads;
  pthread_mutex_unlock(&p->lock);
  if (ended) work_ended(&p->life);
}

void pool_thread_ended(pool *p) {
  pthread_mutex_lock(&p->lock);
  int last = --p->threads == 0 && p->closed;
  pthread_mutex_unlock(&p->lock);
  if (last) work_ended(&p->life);
}

void pool_break(pool *p, const char *why) {
  pthread_mutex_lock(&p->lock);
  if (!p->broken) p->broken = strdup(why);
  give_up_all(p, JOB_BROKEN);
  pthread_mutex_unlock(&p->lock);
}

pool_counts pool_count(pool *p) {
  pthread_mutex_lock(&p->lock);
  pool_counts counts = p->counts;
  for (const list *l = p->idle.next; l != &p->idle; l = l->next) counts.idle++;
  pthread_mutex_unlock(&p->lock);
  return counts;
}

// --- Jobs ------------------------------------------------------------------------------------

rt *pool_call(pool *p) {
  list *l = list_shift(&p->idle);
  if (!l) return NULL;
  worker *w = list_entry(l, worker, idle_link);
  atomic_store_explicit(&w->called, 1, memory_order_relaxed);
  mail_hold(w->r);
  return w->r;
}

// Have somebody take what is queued: a worker that idles, which is then to be woken, or a new one.
// The lock is held. Answers 0, or why there is no worker at all.
static int staff(pool *p, rt **idle) {
  *idle = pool_call(p);
  if (*idle) return 0;
  int rc = p->counts.workers < p->size ? worker_start(p) : 0;
  return p->counts.workers ? 0 : rc;
}

void pool_retire(pool *p, worker *w) {
  if (w->retired) return;
  w->retired = 1;
  list_remove(&w->idle_link);
  p->counts.workers--;
}

void pool_leave(pool *p, worker *w) {
  rt *idle = NULL;
  pthread_mutex_lock(&p->lock);
  pool_retire(p, w);
  list_remove(&w->link);
  int is_waited_for = !list_empty(&p->queue) && !p->counts.workers;
  if (is_waited_for && (!w->r || staff(p, &idle) < 0)) give_up_all(p, JOB_UNSTAFFED);
  pthread_mutex_unlock(&p->lock);
  if (idle) mail_wake(idle);
}

static int submit(work *w) {
  pool_job *j = (pool_job *)(void *)w;
  pool *p = j->in;
  rt *idle = NULL;
  pthread_mutex_lock(&p->lock);
  int rc = p->broken ? UV_ECONNREFUSED : p->closed ? UV_ESHUTDOWN : staff(p, &idle);
  if (rc == 0) {
    list_push(&p->queue, &j->link);
    p->counts.queued++;
  }
  pthread_mutex_unlock(&p->lock);
  if (idle) mail_wake(idle);
  return rc;
}

static int retract(work *w) {
  pool_job *j = (pool_job *)(void *)w;
  pool *p = j->in;
  pthread_mutex_lock(&p->lock);
  int is_queued = !j->at && !list_empty(&j->link);
  if (is_queued) {
    list_remove(&j->link);
    p->counts.queued--;
    p->counts.cancelled++;
  } else if (j->at) {
    ask(j);
  }
  pthread_mutex_unlock(&p->lock);
  if (is_queued) worker_unblock(w->r);
  return is_queued;
}

pool_job *pool_take(pool *p, worker *w) {
  list *l = list_shift(&p->queue);
  if (!l) return NULL;
  pool_job *j = list_entry(l, pool_job, link);
  list_push(&w->taken, l);
  j->at = w;
  p->counts.queued--;
  p->counts.running++;
  return j;
}

void pool_answer(pool_job *j, job_outcome outcome) {
  pool *p = j->in;
  pthread_mutex_lock(&p->lock);
  list_remove(&j->link);
  if (j->asked) atomic_fetch_sub(&j->at->asks, 1);
  j->at = NULL;
  j->outcome = (uint8_t)outcome;
  p->counts.running--;
  if (outcome == JOB_RETURNED)
    p->counts.done++;
  else if (outcome == JOB_CANCELLED)
    p->counts.cancelled++;
  else
    p->counts.failed++;
  pthread_mutex_unlock(&p->lock);
  work_ended(&j->w);
}

// Raise the error which the job raised, with the tracebacks of both sides.
static int raise_reply(lua_State *L, const message *reply, const char *name) {
  int err = lua_gettop(L) + 1, trace = err + 1;
  if (reply->n < 1 || message_decode(L, reply, 0) < 1) return luaL_error(L, "not enough memory");
  lua_settop(L, trace);
  int has_trace = lua_isstring(L, trace);
  lua_pushfstring(L, "%s%s\nrun in pool %s by\n", has_trace ? lua_tostring(L, trace) : "",
                  has_trace ? "" : "(no traceback)", name);
  trace_push_here(L);
  lua_concat(L, 2);
  lua_replace(L, trace);
  trace_keep(L, err);
  return lua_error(L);
}

static int raise_cancelled(lua_State *L, const char *name) {
  task_checkpoint(L);
  return err_raise(L, "ECANCELED", "run", name, "the job was cancelled");
}

static int raise_code(lua_State *L, pool_job *j, int rc) {
  const char *name = j->in->name, *op = j->in->home ? "call" : "run";
  switch (rc) {
    case UV_ESHUTDOWN: return err_raise(L, "ECLOSED", op, name, "the pool was closed");
    case UV_EAGAIN: return err_raise(L, "EAGAIN", op, name, "no worker can be started");
    case UV_ECONNREFUSED: return err_raise(L, "EWORKER", op, name, "%s", j->in->broken);
    case UV_ENOMEM: return luaL_error(L, "not enough memory");
    default: return raise_cancelled(L, name);
  }
}

int pool_conclude(lua_State *L, job_outcome outcome, const message *reply, const char *name) {
  switch (outcome) {
    case JOB_RETURNED:
      if (!reply->len) return 0;
      luaL_checkstack(L, reply->n + LUA_MINSTACK, "too many results");
      return message_decode(L, reply, 0);
    case JOB_RAISED: return raise_reply(L, reply, name);
    case JOB_REFUSED:
      if (reply->n < 1 || message_decode(L, reply, 0) < 1)
        return luaL_error(L, "not enough memory");
      return err_raise(L, "ETRANSFER", NULL, NULL, "%s", lua_tostring(L, -reply->n));
    default: return raise_cancelled(L, name);
  }
}

// What kept a worker from running the job to its end: 0 when one did.
static int code_of(const pool_job *j, int rc) {
  if (rc < 0) return rc;
  switch ((job_outcome)j->outcome) {
    case JOB_CLOSED: return UV_ESHUTDOWN;
    case JOB_BROKEN: return UV_ECONNREFUSED;
    case JOB_UNSTAFFED: return UV_EAGAIN;
    default: return 0;
  }
}

static int done(lua_State *L, work *w, int rc) {
  pool_job *j = (pool_job *)(void *)w;
  worker_unblock(rt_of(L));
  rc = code_of(j, rc);
  if (rc < 0) return raise_code(L, j, rc);
  int n = pool_conclude(L, (job_outcome)j->outcome, &j->reply, j->in->name);
  work_retire(L, w);  // at once, not when the collector finds the job
  return n;
}

static int relayed(lua_State *L, work *w, int rc) {
  pool_job *j = (pool_job *)(void *)w;
  rc = code_of(j, rc);
  if (rc < 0) return raise_code(L, j, rc);
  lua_pushinteger(L, j->outcome);
  lua_pushlstring(L, j->reply.bytes ? (const char *)j->reply.bytes : "", j->reply.len);
  work_retire(L, w);
  return 2;
}

static void drop(work *w) {
  pool_job *j = (pool_job *)(void *)w;
  message_fini(&j->call);
  message_fini(&j->reply);
}

static const work_doer workers = {submit, retract};

const work_type pool_job_type = {.op = "a job of pool", .done = done, .drop = drop, .by = &workers};
const work_type pool_relay_type = {
  .op = "a job of pool", .done = relayed, .drop = drop, .by = &workers};
