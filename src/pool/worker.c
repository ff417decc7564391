// SPDX-License-Identifier: MIT
// Workers. See worker.h.
#include "pool/worker.h"

#include <lauxlib.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/osthread.h"
#include "core/error.h"
#include "core/modules.h"
#include "core/scope.h"
#include "core/stock.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/wait.h"

#define SERVE "corun.worker.serve"  // registry: the function of a server

worker *worker_of(const rt *r) {
  return r->role;
}

// --- Taking jobs -----------------------------------------------------------------------------

static int take(lua_State *L, worker *w);

// Let the server that waits look for a job.
static void rouse(worker *w) {
  w->r->njobs--;
  wait_wake(list_entry(list_shift(&w->waiting), task, wlink), 0);
}

// No job of the worker goes on by itself any more: the server that waits, if there is one, is among
// those who idle, or has something to do. The lock is held.
static void offer_server(worker *w) {
  pool *p = w->of;
  if (list_empty(&w->waiting)) return;
  if (p->closed || w->retired || !list_empty(&p->queue))
    rouse(w);
  else if (list_empty(&w->idle_link))
    list_push(p->idle.next, &w->idle_link);
}

// Whether the server that has nothing to do is to end.
static int is_superfluous(const worker *w) {
  return w->retired || w->of->closed || w->servers - w->blocked > 1;
}

// Whether nobody would miss it.
static int is_idle(const worker *w) {
  return !w->running && !(w->of->home && home_kept(w->of->home));
}

static wait_answer cancel_take(task *t, void *arg) {
  worker *w = arg;
  list_remove(&t->wlink);
  w->r->njobs--;
  return WAIT_STOPPED;
}

static int taken(lua_State *L, void *arg, int rc) {
  worker *w = arg;
  pool *p = w->of;
  if (rc == 0) return take(L, w);
  pthread_mutex_lock(&p->lock);
  if (list_empty(&p->queue) && is_idle(w)) pool_retire(p, w);
  pthread_mutex_unlock(&p->lock);
  if (p->home) home_litter(p->home);
  return take(L, w);
}

// End what the init of the pool does, or has left, if it is to: jobs end by themselves.
static void stop_init(worker *w) {
  int is_alone = !w->is_prepared || !w->servers;
  if (atomic_load(&w->hurried) && is_alone && w->r->root)
    scope_cancel(w->r, w->r->root, CANCEL_ASKED);
}

static const wait_ops take_ops = {"a job", cancel_take, taken, NULL};

// The server that runs ends. The lock is held.
static void end_server(worker *w) {
  if (!w->running && w->servers == 1) pool_retire(w->of, w);
  offer_server(w);
}

static int take(lua_State *L, worker *w) {
  pool *p = w->of;
  task *me = task_current(L);
  if (p->home) home_clean(L, p->home);
  pthread_mutex_lock(&p->lock);
  pool_job *j = w->retired ? NULL : pool_take(p, w);
  int is_end = !j && is_superfluous(w);
  if (is_end) end_server(w);
  if (j) list_remove(&w->idle_link);
  if (!j && !is_end && list_empty(&w->idle_link)) list_push(p->idle.next, &w->idle_link);
  pthread_mutex_unlock(&p->lock);
  if (is_end) {
    w->servers--;
    stop_init(w);
    return 0;
  }
  if (j) {
    w->running++;
    lua_pushlightuserdata(L, j);
    return 1;
  }
  rt *r = rt_of(L);
  list_push(&w->waiting, &me->wlink);
  r->njobs++;  // this runtime is not deadlocked
  return wait_begin_until(L, &take_ops, w, timer_after(r, p->idle_seconds));
}

int worker_lose(lua_State *L) {
  worker *w = worker_of(rt_of(L));
  pthread_mutex_lock(&w->of->lock);
  end_server(w);
  pthread_mutex_unlock(&w->of->lock);
  w->servers--;
  return 0;
}

int worker_init(lua_State *L) {
  const message *init = &worker_of(rt_of(L))->of->init;
  return init->n ? message_decode(L, init, 0) : 0;
}

int worker_missing(lua_State *L) {
  worker *w = worker_of(rt_of(L));
  stop_init(w);  // it may have been asked before there was a task to cancel
  return message_push_missing(L, &w->of->init);
}

int worker_take(lua_State *L) {
  worker_of(rt_of(L))->is_prepared = 1;
  task_checkpoint(L);  // a job may have cancelled its task, which is this one
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, worker_take);
  return take(L, worker_of(rt_of(L)));
}

// --- Running them ----------------------------------------------------------------------------

static scope *any_scope(worker *w) {
  for (list *l = w->taken.next; l != &w->taken; l = l->next) {
    pool_job *j = list_entry(l, pool_job, link);
    if (j->s) return j->s;
  }
  return NULL;
}

static void answer(worker *w, pool_job *j, job_outcome outcome) {
  j->s = NULL;
  w->running--;
  pool_answer(j, outcome);
  w->r->fence = any_scope(w);  // the list is this loop's: other threads only read it, with the lock
}

static int l_tostring(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

// Replace the error at the top of the stack by its text; must be called where it can raise.
static void to_text(lua_State *L) {
  lua_pushcfunction(L, l_tostring);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    lua_pop(L, 1);
    lua_pushliteral(L, "(an error without a text)");
  }
}

// If the error on top of the stack says that the limit on memory was met, push what it is then.
static int push_over_limit(lua_State *L, const worker *w) {
  if (!w->r->alloc.over_limit || lua_type(L, -1) != LUA_TSTRING ||
      !strstr(lua_tostring(L, -1), "not enough memory"))
    return 0;
  err_push(L, "ENOMEM", "run", w->of->name, "a job needs more than the %I bytes of its worker",
           (lua_Integer)w->of->opts.memory);
  return 1;
}

// Encode the error on top of the stack as the reply.
static void reply_error(lua_State *L, worker *w, pool_job *j) {
  int err = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  int is_over = push_over_limit(L, w);
  trace_push(L, err);
  if (is_over) lua_remove(L, err);
  unsigned flags = j->flags & ~MESSAGE_KEEP;  // the text says more than a proxy
  if (message_encode(L, &j->reply, err, 2, "error", flags) == 0) return;
  lua_settop(L, err + 1);
  lua_insert(L, err);
  to_text(L);
  lua_insert(L, err);
  message_encode(L, &j->reply, err, 2, "error", flags);
}

#define RESULTS 4  // the frame: the job, its scope, the message handler, results or error

static job_outcome conclude(lua_State *L, worker *w, pool_job *j, scope_outcome o) {
  int top = lua_gettop(L);
  switch (o) {
    case SCOPE_OK:
      if (top == RESULTS - 1) return JOB_RETURNED;
      j->reply.home = w->of->home;
      j->reply.hidden = w->of->home != NULL;  // the true before what a call has returned
      if (message_encode(L, &j->reply, RESULTS, top - RESULTS + 1, "result", j->flags) == 0)
        return JOB_RETURNED;
      message_encode(L, &j->reply, lua_gettop(L), 1, "error", 0);
      return JOB_REFUSED;
    case SCOPE_FAILED: reply_error(L, w, j); return JOB_RAISED;
    case SCOPE_ABSORBED:
      if (j->told) return JOB_CANCELLED;
      reply_error(L, w, j);  // a deadlock
      return JOB_RAISED;
    case SCOPE_CANCELLED: break;
  }
  return JOB_CANCELLED;
}

static int leave(lua_State *L, scope *s, scope_outcome o) {
  rt *r = rt_of(L);
  worker *w = worker_of(r);
  pool_job *j = lua_touserdata(L, 1);
  if (lua_gethook(L)) lua_sethook(L, NULL, 0, 0);  // what a job has set does not outlive it
  scope_release(r, s);
  interrupt_limit(r);
  j->s = NULL;
  if (r->alloc.over_limit) lua_gc(L, LUA_GCCOLLECT);
  task_forget(L);  // nor do its name and locals: other jobs run in this task
  job_outcome outcome = conclude(L, w, j, o);
  if (outcome == JOB_CANCELLED && w->of->home) home_litter(w->of->home);
  r->alloc.over_limit = 0;
  answer(w, j, outcome);
  return 0;
}

// Cancel the scopes of jobs that were asked to end. A cancellation may take the lock itself, when
// it reaches a task that waits for a job.
static void cancel_asked(worker *w) {
  pool *p = w->of;
  if (!atomic_load(&w->asks)) return;
  pthread_mutex_lock(&p->lock);
  for (list *l = w->taken.next; l != &w->taken;) {
    pool_job *j = list_entry(l, pool_job, link);
    l = l->next;
    if (!j->asked || j->told || !j->s) continue;
    j->told = 1;
    pthread_mutex_unlock(&p->lock);
    scope_cancel(w->r, j->s, CANCEL_ASKED);
    pthread_mutex_lock(&p->lock);
    l = w->taken.next;
  }
  pthread_mutex_unlock(&p->lock);
}

// The frame of perform: the job, its scope, the function that maps, the one that loads modules,
// perhaps their names. Leave behind the scope what is to be called, and its arguments.
static void prepare(lua_State *L, const pool_job *j) {
  lua_settop(L, j->kind == JOB_MAP ? 3 : 2);
  luaL_checkstack(L, j->call.n + LUA_MINSTACK, "too many arguments");
  message_decode(L, &j->call, 0);
}

// The same where modules have to be loaded first, which may suspend: in the scope of the job.
static void prepare_late(lua_State *L, const pool_job *j) {
  if (j->kind != JOB_MAP) {
    lua_pushnil(L);
    lua_replace(L, 3);
  }
  lua_rotate(L, 3, 2);
  lua_pushvalue(L, 1);
}

int worker_decode(lua_State *L) {
  const pool_job *j = lua_touserdata(L, 1);
  luaL_checkstack(L, j->call.n + LUA_MINSTACK, "too many arguments");
  return message_decode(L, &j->call, 0);
}

int worker_perform(lua_State *L) {
  rt *r = rt_of(L);
  worker *w = worker_of(r);
  pool_job *j = lua_touserdata(L, 1);
  lua_settop(L, 3);  // the job, the function that maps, the one that loads modules first
  int is_missing = message_push_missing(L, &j->call);
  scope *s = scope_push(L);
  lua_insert(L, 2);
  if (is_missing)
    prepare_late(L, j);
  else
    prepare(L, j);
  scope_enter_at(L, s, SCOPE_PLAIN, 0);
  j->s = s;
  r->fence = s;
  cancel_asked(w);
  return scope_call(L, s, 3, leave);
}

int worker_fail(lua_State *L) {
  worker *w = worker_of(rt_of(L));
  pool_job *j = lua_touserdata(L, 1);
  message_fini(&j->reply);
  lua_settop(L, 2);
  if (w->r->alloc.over_limit) lua_gc(L, LUA_GCCOLLECT);  // what was read, or written, of its values
  if (push_over_limit(L, w))
    lua_replace(L, 2);
  else
    to_text(L);
  w->r->alloc.over_limit = 0;
  lua_pushnil(L);
  message_encode(L, &j->reply, 2, 2, "error", 0);
  answer(w, j, JOB_RAISED);
  return 0;
}

// --- Servers ---------------------------------------------------------------------------------

static void add_server(lua_State *L, worker *w) {
  lua_getfield(L, LUA_REGISTRYINDEX, SERVE);
  task_spawn(L, w->r->root, TASK_SPAWN, 0);
  lua_pop(L, 1);
  w->servers++;
}

void worker_block(lua_State *L) {
  worker *w = worker_of(rt_of(L));
  if (!w) return;
  if (w->servers - w->blocked <= 1 && !w->retired) add_server(L, w);
  w->blocked++;
  if (list_empty(&w->waiting)) return;
  pthread_mutex_lock(&w->of->lock);
  offer_server(w);
  pthread_mutex_unlock(&w->of->lock);
}

void worker_unblock(rt *r) {
  worker *w = worker_of(r);
  if (!w) return;
  w->blocked--;
  if (list_empty(&w->waiting)) return;
  pthread_mutex_lock(&w->of->lock);
  list_remove(&w->idle_link);
  pthread_mutex_unlock(&w->of->lock);
}

static void on_wakeup(rt *r) {
  worker *w = worker_of(r);
  pool *p = w->of;
  cancel_asked(w);
  stop_init(w);
  int is_called = atomic_exchange_explicit(&w->called, 0, memory_order_relaxed);
  if (!is_called && !(p->home && home_is_littered(p->home))) return;
  if (!list_empty(&w->waiting)) rouse(w);
}

// --- The thread ------------------------------------------------------------------------------

static void set_path(lua_State *L, const char *field, const char *value) {
  lua_getglobal(L, "package");
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
  lua_pop(L, 1);
}

// Leave the function of the root task on the stack, and its arguments.
static int l_prepare(lua_State *L) {
  worker *w = worker_of(rt_of(L));
  const pool *p = w->of;
  modules_open(L, p->modules);
  set_path(L, "path", p->path);
  set_path(L, "cpath", p->cpath);
  stock_unblock(L);
  if (p->home) home_enter(L, p->home);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "corun.worker");
  lua_call(L, 1, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, SERVE);
  lua_pushboolean(L, 1);
  return 2;
}

// Whether the worker is still wanted. From then on it is told when its pool is closed.
static int is_wanted(worker *w) {
  pthread_mutex_lock(&w->of->lock);
  w->is_under_way = !w->of->hurried;
  pthread_mutex_unlock(&w->of->lock);
  return w->is_under_way;
}

// Run the runtime until its servers have ended.
static void run(worker *w) {
  rt *r = w->r;
  lua_State *L = r->L;
  r->role = w;
  r->on_wakeup = on_wakeup;
  if (!is_wanted(w)) return;
  lua_pushcfunction(L, l_prepare);
  int status = lua_pcall(L, 0, LUA_MULTRET, 0);
  if (status == LUA_OK) status = rt_run(r, lua_gettop(L) - 1);
  if (status == LUA_OK || atomic_load(&w->hurried)) return;
  to_text(L);
  pool_break(w->of, lua_tostring(L, -1));
  while (!list_empty(&w->taken)) pool_answer(list_entry(w->taken.next, pool_job, link), JOB_BROKEN);
}

static void *work_for_pool(void *arg) {
  worker *w = arg;
  pool *p = w->of;
  w->r = rt_new(&p->opts, NULL);
  if (w->r) run(w);
  if (w->r && p->home) home_leave(p->home, w->r);
  pool_leave(p, w);
  if (w->r) rt_close(w->r, HUGE_VAL);
  free(w);
  pool_thread_ended(p);
  return NULL;
}

int worker_start(pool *p) {
  worker *w = calloc(1, sizeof *w);
  if (!w) return UV_ENOMEM;
  list_init(&w->idle_link);
  list_init(&w->taken);
  list_init(&w->waiting);
  w->of = p;
  w->servers = 1;
  int open = p->opts.no_interrupts ? 0 : SIGURG;  // which interrupts what runs too long
  if (osthread_start(work_for_pool, w, open) != 0) {
    free(w);
    return UV_EAGAIN;
  }
  list_push(&p->workers, &w->link);
  p->counts.workers++;
  p->threads++;
  return 0;
}
