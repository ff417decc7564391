// SPDX-License-Identifier: MIT
// Waits. See wait.h. This is the only file that calls lua_yieldk.
#include "core/wait.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/trace.h"

#define RC_CANCELLED INT32_MIN

int wait_is_possible(lua_State *L) {
  const rt *r = rt_of(L);
  return !r->closing_coroutines && !r->pinned && lua_isyieldable(L);
}

void wait_check(lua_State *L) {
  if (wait_is_possible(L)) return;
  rt *r = rt_of(L);
  task_current(L);  // raises when there is none
  if (r->closing_coroutines) err_misuse(L, "cannot suspend inside coroutine.close");
  err_misuse(L, "cannot suspend inside %s", trace_boundary(L, r->pinned ? r->pinned : L));
}

static int on_resumed(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  task *t = rt_of(L)->current;
  const wait_ops *ops = t->ops;
  t->ops = NULL;
  if (t->rc == RC_CANCELLED) return task_raise_cancel(L);
  return ops->done(L, t->warg, t->rc);
}

static void wake(task *t, int rc, int nvals) {
  rt *r = rt_of(t->co);
  assert(t->state == TASK_WAITING);
  timer_disarm(r, &t->tm);
  list_remove(&t->wlink);
  t->rc = rc;
  t->nvals = (uint32_t)nvals;
  t->state = TASK_READY;
  rt_ready(r, t);
}

void wait_wake(task *t, int rc) {
  if (t->state == TASK_RUNNING) {
    assert(!(t->flags & TASK_LATCHED));  // a second wake is a bug of the waker
    t->flags |= TASK_LATCHED;
    t->rc = rc;
    return;
  }
  wake(t, rc, 0);
}

int wait_wake_values(task *t, int rc, lua_State *from, int n) {
  if (!lua_checkstack(t->co, n)) return UV_ENOMEM;
  lua_xmove(from, t->co, n);
  wake(t, rc, n);
  return 0;
}

void wait_cancel(rt *r, task *t) {
  (void)r;
  if (t->state != TASK_WAITING || (t->flags & TASK_ASKED)) return;
  t->flags |= TASK_ASKED;
  wait_answer a = t->ops->cancel ? t->ops->cancel(t, t->warg) : WAIT_STOPPED;
  if (a != WAIT_CANNOT_STOP && t->state == TASK_WAITING) wake(t, RC_CANCELLED, 0);
}

void wait_expire(rt *r, task *t) {
  (void)r;
  if (t->state != TASK_WAITING || (t->flags & TASK_ASKED)) return;
  t->flags |= TASK_ASKED;
  wait_answer a = t->ops->cancel ? t->ops->cancel(t, t->warg) : WAIT_STOPPED;
  if (a != WAIT_CANNOT_STOP && t->state == TASK_WAITING) wake(t, UV_ETIMEDOUT, 0);
}

int wait_begin_until(lua_State *L, const wait_ops *ops, void *arg, uint64_t when) {
  wait_check(L);
  rt *r = rt_of(L);
  task *t = task_current(L);
  if (t->flags & TASK_LATCHED) {
    t->flags &= (uint16_t)~TASK_LATCHED;
    return ops->done(L, arg, t->rc);
  }
  if (timer_arm(r, &t->tm, when) < 0) {
    if (ops->cancel) ops->cancel(t, arg);
    return luaL_error(L, "not enough memory");
  }
  t->ops = ops;
  t->warg = arg;
  t->nvals = 0;
  t->flags &= (uint16_t)~TASK_ASKED;
  t->state = TASK_WAITING;
  if (t->in && t->in->by) wait_cancel(r, t);  // it was cancelled since the checkpoint
  return lua_yieldk(L, 0, 0, on_resumed);
}

int wait_begin(lua_State *L, const wait_ops *ops, void *arg) {
  return wait_begin_until(L, ops, arg, TIMER_NEVER);
}

static int yielded(lua_State *L, void *arg, int rc) {
  (void)L;
  (void)arg;
  (void)rc;
  return 0;
}

static const wait_ops yield_ops = {"yield", NULL, yielded, NULL};

int wait_yield(lua_State *L) {
  wait_check(L);
  rt *r = rt_of(L);
  task *t = task_current(L);
  t->ops = &yield_ops;
  t->nvals = 0;
  t->rc = 0;
  t->state = TASK_READY;
  rt_ready(r, t);
  return lua_yieldk(L, 0, 0, on_resumed);
}

void wait_count(lua_State *L, size_t cost) {
  rt *r = rt_of(L);
  if (r->shared_step != r->stats.steps) {
    r->shared_step = r->stats.steps;
    r->share = 0;
  }
  r->share += cost;
}

// A task that is cancelled goes on to its checkpoint, which raises: if it catches that and begins
// anew, without an end, its step must not end either, or no interrupt would ever be due.
int wait_may_go_on(lua_State *L, size_t cost) {
  wait_count(L, cost);
  if (rt_of(L)->share <= WAIT_MILLISECOND || !wait_is_possible(L)) return 1;
  const task *t = task_current(L);
  return t->in && t->in->by;
}

static int rested(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  lua_CFunction again = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  return again(L);
}

static const wait_ops rest_ops = {"other tasks", NULL, rested, NULL};

int wait_rest(lua_State *L, lua_CFunction again) {
  luaL_checkstack(L, 1, NULL);
  lua_pushcfunction(L, again);
  return wait_begin_until(L, &rest_ops, NULL, timer_after(rt_of(L), 0));
}

int wait_relay(lua_State *L, lua_KFunction k, lua_KContext ctx) {
  return lua_yieldk(L, 0, ctx, k);
}

int wait_user_yield(lua_State *L, int n) {
  return lua_yield(L, n);
}
