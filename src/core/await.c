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

// One side of the search for a circle.
typedef struct search {
  queue met;             // nothing is taken out: its ring is the list of the tasks met
  size_t next;           // the first of them that was not looked at
  uint16_t mark, other;  // flags of the tasks that this side and the other one have met
  int found;             // a task that the other side has met too
} search;

// Take note of a task that was not met before; without memory it is passed over.
static void visit(search *s, task *t) {
  if (t->flags & s->mark || queue_reserve(&s->met, s->met.count + 1) < 0) return;
  if (t->flags & s->other) s->found = 1;
  t->flags |= s->mark;
  queue_push(&s->met, t);
}

// Visit the tasks that cannot end before `x` has: those that await it, and the owner of its scope.
static void look_back(search *s, const task *x) {
  for (task *j = x->joiners; j; j = task_next_joiner(x, j)) visit(s, j);
  const scope *home = task_home(x);
  if (home) visit(s, home->owner);
}

// Visit the tasks before which `x` cannot end: its children, and the one that it awaits.
static void look_ahead(search *s, const task *x) {
  if (x->state == TASK_WAITING && x->ops == &await_ops) visit(s, x->warg);
  for (const scope *in = x->in; in && in->owner == x; in = in->parent)
    for (list *l = in->tasks.next; l != &in->tasks; l = l->next)
      visit(s, list_entry(l, task, siblings));
}

// How many tasks looking ahead from the next one may meet.
static size_t width(const search *s) {
  const task *x = s->met.ring[s->next];
  size_t n = 1;
  for (const scope *in = x->in; in && in->owner == x; in = in->parent)
    n += in->nkids + in->ndaemons;
  return n;
}

static void end_search(search *s) {
  for (size_t i = 0; i < s->met.count; i++) ((task *)s->met.ring[i])->flags &= (uint16_t)~s->mark;
  queue_fini(&s->met);
}

// Say whether `t` cannot end before `me` has. Searches from both ends and always on the side where
// less was met so far: one of them is near its end as a rule, also where tasks nest deep.
static int ends_after(task *t, task *me) {
  search back = {.mark = TASK_SEEN, .other = TASK_SEEN_AHEAD};
  search ahead = {.mark = TASK_SEEN_AHEAD, .other = TASK_SEEN};
  queue_init(&back.met);
  queue_init(&ahead.met);
  visit(&back, me);
  visit(&ahead, t);
  while (!back.found && !ahead.found && back.next < back.met.count &&
         ahead.next < ahead.met.count) {
    if (ahead.met.count + width(&ahead) < back.met.count)
      look_ahead(&ahead, ahead.met.ring[ahead.next++]);
    else
      look_back(&back, back.met.ring[back.next++]);
  }
  int found = back.found || ahead.found;
  end_search(&back);
  end_search(&ahead);
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
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, task_await);
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
