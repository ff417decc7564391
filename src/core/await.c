// SPDX-License-Identifier: MIT
// Awaiting tasks: joining one that runs, giving results, raising failures, cancelling one task
// (S3, S6, S7). Runs on the loop thread. Invariant: a failure counts as delivered only once an
// await has returned or raised it.
#include <lauxlib.h>
#include <stdio.h>

#include "core/error.h"
#include "core/failures.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/wait.h"

// Joiners form a ring through wlink without a head: task->joiners is the first of them.

static void add_joiner(task *t, task *j) {
  list_init(&j->wlink);
  if (t->joiners)
    list_push(&t->joiners->wlink, &j->wlink);
  else
    t->joiners = j;
}

task *task_next_joiner(const task *t, const task *j) {
  return j->wlink.next == &t->joiners->wlink ? NULL : list_entry(j->wlink.next, task, wlink);
}

void task_unjoin(task *t, task *j) {
  if (t->joiners == j)
    t->joiners = list_empty(&j->wlink) ? NULL : list_entry(j->wlink.next, task, wlink);
  list_remove(&j->wlink);
}

void task_push_error(lua_State *L, int idx) {
  task *t = lua_touserdata(L, idx);
  lua_getiuservalue(L, idx, 1);
  if (!(t->flags & TASK_SOFT)) return;
  lua_rawgeti(L, -1, 2);
  lua_remove(L, -2);
}

int task_push_results(lua_State *L, int idx) {
  task *t = lua_touserdata(L, idx);
  int n = (int)t->nvals;
  if (!n) return 0;
  luaL_checkstack(L, n + 2, "too many results");
  lua_getiuservalue(L, idx, 1);
  if (!(t->flags & TASK_TABLED)) return 1;
  int table = lua_gettop(L);
  for (int i = 1; i <= n; i++) lua_rawgeti(L, table, i);
  return n;
}

// Give the outcome of the ended task at index 1.
static int deliver(lua_State *L, task *t) {
  if (t->state == TASK_CANCELLED)
    return err_return(L, "ECANCELED", "await", NULL, "task %I was cancelled", (lua_Integer)t->id);
  if (t->flags & TASK_PENDING) failures_deliver(L, t->in, 1);
  if (t->state == TASK_DONE || (t->flags & TASK_SOFT)) return task_push_results(L, 1);
  task_push_error(L, 1);
  return lua_error(L);
}

static wait_answer cancel_await(task *t, void *arg) {
  task_unjoin(arg, t);
  return WAIT_STOPPED;
}

static int awaited(lua_State *L, void *arg, int rc) {
  (void)rc;
  return deliver(L, arg);
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  snprintf(buf, n, "task %u", ((const task *)arg)->id);
}

static const wait_ops await_ops = {"await", cancel_await, awaited, describe};

// Put a task that was not met before into the queue; without memory it is passed over.
static void visit(queue *q, task *t) {
  if (t->flags & TASK_SEEN || queue_reserve(q, q->count + 1) < 0) return;
  t->flags |= TASK_SEEN;
  queue_push(q, t);
}

// Say whether `t` cannot end before `me` has: it awaits it or owns the scope it was started in, or
// that is so for a task that `t` cannot end before. Searches from `me`, as few tasks wait for one.
static int ends_after(const task *t, task *me) {
  queue q;  // nothing is taken out: its ring is the list of the tasks met
  queue_init(&q);
  visit(&q, me);
  for (size_t i = 0; i < q.count; i++) {
    const task *x = q.ring[i];
    for (task *j = x->joiners; j; j = task_next_joiner(x, j)) visit(&q, j);
    const scope *home = task_home(x);
    if (home) visit(&q, home->owner);
  }
  int found = (t->flags & TASK_SEEN) != 0;
  for (size_t i = 0; i < q.count; i++) ((task *)q.ring[i])->flags &= (uint16_t)~TASK_SEEN;
  queue_fini(&q);
  return found;
}

int task_is_inside(const task *me, const task *t) {
  if (t == me) return 1;
  for (const scope *s = me->in; s; s = s->parent)
    if (s->owner == t) return 1;
  return 0;
}

// Raise when waiting for `t` could never end (S7).
static void refuse_circle(lua_State *L, task *me, task *t) {
  if (t == me) err_misuse(L, "a task cannot await itself");
  int owns = t->in && t->in->owner == t, awaits = t->state == TASK_WAITING && t->ops == &await_ops;
  if ((!owns && !awaits) || !ends_after(t, me)) return;
  if (task_is_inside(me, t))
    err_misuse(L, "task %I cannot be awaited from inside it: it ends after its children",
               (lua_Integer)t->id);
  err_misuse(L, "tasks %I and %I would wait for each other", (lua_Integer)me->id,
             (lua_Integer)t->id);
}

int task_await(lua_State *L) {
  task *me = task_current(L), *t = task_check(L, 1);
  task_checkpoint(L);
  if (task_ended(t)) return deliver(L, t);
  wait_check(L);
  refuse_circle(L, me, t);
  lua_settop(L, 1);
  add_joiner(t, me);
  return wait_begin(L, &await_ops, t);
}

void task_cancel(lua_State *L, task *t) {
  rt *r = rt_of(L);
  int is_bare = !t->in || t->in->owner != t;
  if (task_ended(t) || (is_bare && t->flags & TASK_ENDING)) {  // nothing is left to cancel
    lua_pop(L, 1);
    return;
  }
  scope *s = scope_own(r, t);
  if (!s) luaL_error(L, "not enough memory");
  if (!s->cause && !lua_isnil(L, -1))
    s->reason_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_pop(L, 1);
  scope_cancel(r, s, CANCEL_ASKED);
}

int task_raise_cancel(lua_State *L) {
  task *t = task_current(L);
  luaL_checkstack(L, 4, NULL);
  scope_push_cancel(L, t->in->by);
  return lua_error(L);
}

void task_checkpoint(lua_State *L) {
  task *t = task_current(L);
  if (t->in && t->in->by) task_raise_cancel(L);
}
