// SPDX-License-Identifier: MIT
// Scopes: opening, cancelling a subtree, and ending (body, join, daemons, outcome). See scope.h.
#include "core/scope.h"

#include <assert.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/failures.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/wait.h"
#include "core/work.h"

// --- Opening ---------------------------------------------------------------------------------

static void prepare(rt *r, scope *s, scope_kind kind, task *owner, scope *parent) {
  memset(s, 0, sizeof *s);
  s->tm.kind = TIMER_SCOPE;
  s->kind = (uint8_t)kind;
  s->owner = owner;
  s->parent = parent;
  s->id = ++r->next_id;
  s->deadline = TIMER_NEVER;
  s->until = TIMER_NEVER;
  s->reason_ref = s->cancel_ref = s->failed_ref = LUA_NOREF;
  list_init(&s->subs);
  list_init(&s->sub_link);
  list_init(&s->tasks);
  list_init(&s->slots);
  s->depth = (parent && parent->owner == owner ? parent->depth : 0) + (kind != SCOPE_TASK);
  if (!parent) return;
  list_push(&parent->subs, &s->sub_link);
  if (kind == SCOPE_SHIELD && !r->grace_over) return;
  s->by = parent->by;
  s->until = parent->until;
}

uint32_t scope_depth(const task *t) {
  return t->in && t->in->owner == t ? t->in->depth : 0;
}

scope *scope_push(lua_State *L) {
  scope *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  s->ended = s->shut = 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt_of(L)->refs.scope_mt);
  lua_setmetatable(L, -2);
  return s;
}

void scope_enter_at(lua_State *L, scope *s, scope_kind kind, uint32_t site) {
  rt *r = rt_of(L);
  task *t = task_current(L);
  prepare(r, s, kind, t, t->in);
  s->site = site;
  s->L = L;
  s->shut = !wait_is_possible(L);
  s->seconds = HUGE_VAL;
  t->in = s;
  interrupt_limit(r);
}

void scope_enter(lua_State *L, scope *s, scope_kind kind, double seconds) {
  rt *r = rt_of(L);
  task *t = task_current(L);
  scope_enter_at(L, s, kind, site_here(L, 0));
  s->seconds = seconds;
  if (seconds < HUGE_VAL) {
    s->deadline = timer_after(r, seconds);
    if (s->deadline < s->until) s->until = s->deadline;
    if (timer_arm(r, &s->tm, s->deadline) < 0) {
      t->in = s->parent;
      list_remove(&s->sub_link);
      luaL_error(L, "not enough memory");
    }
    interrupt_limit(r);
  }
  if (seconds <= 0) scope_cancel(r, s, CANCEL_TIMEOUT);
}

// The scope that has just been opened in `t` directly inside `home`; NULL when none is open.
static scope *bottom(task *t, scope *home) {
  scope *s = t->in;
  if (s == home) return NULL;
  while (s->parent != home) s = s->parent;
  return s;
}

// Memory for a scope that no script holds.
static scope *take_spare(rt *r) {
  scope *s = r->spare_scopes;
  if (!s) return malloc(sizeof *s);
  r->spare_scopes = s->parent;
  return s;
}

static void give_back(rt *r, scope *s) {
  s->parent = r->spare_scopes;
  r->spare_scopes = s;
}

scope *scope_own(rt *r, task *t) {
  scope *home = task_home(t);
  scope *first = bottom(t, home);
  if (first && first->kind == SCOPE_TASK) return first;
  scope *s = take_spare(r);
  if (!s) return NULL;
  prepare(r, s, SCOPE_TASK, t, home);
  s->site = t->site;
  if (first) {
    first->parent = s;
    list_remove(&first->sub_link);
    list_push(&s->subs, &first->sub_link);
  } else {
    t->in = s;
  }
  return s;
}

scope *scope_innermost(lua_State *L) {
  rt *r = rt_of(L);
  task *t = task_current(L);
  scope *s = t->in;
  while (s && s->owner == t && s->shut) s = s->parent;  // a finaliser runs while it ends
  if (s && (s->owner == t || t->flags & TASK_ENDING)) return s;
  if (t->flags & TASK_ENDING) err_misuse(L, "the program is ending");
  s = scope_own(r, t);
  if (!s) luaL_error(L, "not enough memory");
  return s;
}

void scope_release(rt *r, scope *s) {
  timer_disarm(r, &s->tm);
  list_remove(&s->sub_link);
  failures_forget(r, s);
  luaL_unref(r->L, LUA_REGISTRYINDEX, s->reason_ref);
  luaL_unref(r->L, LUA_REGISTRYINDEX, s->cancel_ref);
  luaL_unref(r->L, LUA_REGISTRYINDEX, s->failed_ref);
  s->reason_ref = s->cancel_ref = s->failed_ref = LUA_NOREF;
  s->ended = 1;
  if (r->fence == s) r->fence = NULL;
  s->owner->in = s->parent;
  if (s->kind == SCOPE_TASK || s->borrowed) give_back(r, s);
}

// --- Cancelling ------------------------------------------------------------------------------

// Mark `top` and all that is inside it as concerned by `by`, and ask each waiting task to stop.
// A shield stops the walk unless `through`. Iterative: tasks may nest without limit.
static void mark(rt *r, scope *top, scope *by, int through) {
  top->work = NULL;
  for (scope *s = top; s; s = top) {
    top = s->work;
    s->by = by;
    for (list *l = s->subs.next; l != &s->subs; l = l->next) {
      scope *sub = list_entry(l, scope, sub_link);
      if (sub->kind == SCOPE_SHIELD && !through) continue;
      sub->work = top;
      top = sub;
    }
    if (s->owner->in == s) wait_cancel(r, s->owner);
    for (list *l = s->tasks.next; l != &s->tasks; l = l->next) {
      task *t = list_entry(l, task, siblings);
      if (t->in == s) wait_cancel(r, t);
    }
  }
}

void scope_cancel(rt *r, scope *s, cancel_cause cause) {
  if (s->cause || s->ended) return;
  s->cause = (uint8_t)cause;
  if (cause != CANCEL_DAEMONS) timer_disarm(r, &s->tm);
  // An outer cancellation that already concerns this scope stays the one that is named.
  if (!s->by) mark(r, s, s, 0);
  if (s == r->root) {
    r->timed_out = cause == CANCEL_TIMEOUT;
    scope_begin_grace(r);
  }
  if (r->current) interrupt_limit(r);
}

void scope_end_grace(rt *r) {
  if (!r->root || !r->root->by) return;
  r->grace_over = 1;
  work_abandon_all(r);
  mark(r, r->root, r->root->by, 1);
  interrupt_limit(r);
}

static void on_grace(timer_call *c) {
  scope_end_grace(list_entry(c, rt, grace_timer));
}

void scope_begin_grace(rt *r) {
  r->grace_timer.fire = on_grace;
  r->end = timer_after(r, r->opts.grace);
  if (timer_arm(r, &r->grace_timer.tm, r->end) < 0) scope_end_grace(r);
}

int scope_concerns(const task *t, uint64_t id) {
  if (t->in && t->in->by && t->in->by->id == id) return 1;  // as a rule, without a walk
  for (const scope *s = t->in; s; s = s->parent)
    if (s->id == id) return s->cause != CANCEL_NONE;
  return 0;
}

// The text for the reason given to cancel; calls no metamethod, which could raise.
static const char *reason_text(lua_State *L, const scope *s) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->reason_ref);
  if (err_is(L, -1)) {
    lua_pushliteral(L, "message");
    lua_rawget(L, -2);
  }
  if (!lua_isstring(L, -1)) return lua_pushliteral(L, "cancelled");
  return lua_pushfstring(L, "cancelled: %s", lua_tostring(L, -1));
}

static const char *cause_text(lua_State *L, const scope *s) {
  switch ((cancel_cause)s->cause) {
    case CANCEL_TIMEOUT: return lua_pushfstring(L, "cancelled: %f s passed", s->seconds);
    case CANCEL_FAILURE: return lua_pushliteral(L, "cancelled because its scope failed");
    case CANCEL_DAEMONS: return lua_pushliteral(L, "cancelled: all else in the scope has ended");
    case CANCEL_SIGNAL: return lua_pushliteral(L, "cancelled by a signal");
    case CANCEL_EXIT: return lua_pushliteral(L, "cancelled by corun.exit");
    case CANCEL_DEADLOCK: return lua_pushliteral(L, "cancelled: deadlock");
    case CANCEL_NONE:
    case CANCEL_ASKED: break;
  }
  return reason_text(L, s);
}

static void set_reason(lua_State *L, const scope *s) {
  if (s->reason_ref == LUA_NOREF) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->reason_ref);
  lua_setfield(L, -2, "reason");
}

void scope_push_cancel(lua_State *L, scope *s) {
  if (s->cancel_ref == LUA_NOREF) {
    int top = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    err_push_cancel(L, s->id, cause_text(L, s));
    set_reason(L, s);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    lua_pushvalue(L, -1);
    s->cancel_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->cancel_ref);
}

// --- Children --------------------------------------------------------------------------------

static void wake_joiner(scope *s) {
  if (!s->joining || s->owner->state != TASK_WAITING) return;
  s->joining = 0;
  wait_wake(s->owner, 0);
}

static void give_slot(scope *s) {
  if (list_empty(&s->slots) || scope_is_full(s)) return;
  s->reserved++;  // until the task that waits for the slot takes it
  wait_wake(list_entry(s->slots.next, task, wlink), 0);
}

// Fewer tasks concern the scope: tell those who wait for that.
static void notice(rt *r, scope *s) {
  if (s->nkids + s->reserved == 0) wake_joiner(s);
  if (s->nkids + s->ndaemons + s->reserved == 0) task_bury(r, s->owner);
}

void scope_child_ended(rt *r, scope *s, task *t) {
  list_remove(&t->siblings);
  if (t->kind == TASK_DAEMON)
    s->ndaemons--;
  else
    s->nkids--;
  if (t->state == TASK_CANCELLED && t->kind != TASK_DAEMON && s->by) s->cut = 1;
  if (t->state == TASK_FAILED && t->kind != TASK_ASYNC) scope_cancel(r, s, CANCEL_FAILURE);
  give_slot(s);
  notice(r, s);
}

void scope_slot_taken(rt *r, scope *s) {
  s->reserved--;
  give_slot(s);
  notice(r, s);
}

// --- Ending ----------------------------------------------------------------------------------

static int join(lua_State *L, scope *s);

static wait_answer cancel_join(task *t, void *arg) {
  (void)t;
  (void)arg;
  return WAIT_CANNOT_STOP;  // the children were cancelled too, and will end
}

static int joined(lua_State *L, void *arg, int rc) {
  (void)rc;
  return join(L, arg);
}

static void describe_join(const task *t, const void *arg, char *buf, size_t n) {
  const scope *s = arg;
  uint32_t count = s->nkids + s->ndaemons + s->reserved;
  (void)t;
  snprintf(buf, n, "%u task%s of its scope", count, count == 1 ? "" : "s");
}

static const wait_ops join_ops = {"join", cancel_join, joined, describe_join};

// Push the error that the scope's own cancellation gives its caller.
static void push_absorbed(lua_State *L, const scope *s) {
  if (s->cause == CANCEL_TIMEOUT) {
    const char *text = lua_pushfstring(L, "%f s passed", s->seconds);
    err_push(L, "ETIMEDOUT", s->kind == SCOPE_TIMEOUT ? "timeout" : "scope", NULL, "%s", text);
  } else {
    err_push(L, "ECANCELED", NULL, NULL, "%s", cause_text(L, s));
    set_reason(L, s);
  }
}

// Correct the outcome, which is the body's, by that of the children; give the error if it needs
// one.
static int l_outcome(lua_State *L) {
  scope *s = lua_touserdata(L, 1);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (failures_push(L, s)) {
    s->outcome = SCOPE_FAILED;
    return 1;
  }
  if (s->outcome == SCOPE_OK && s->cut) {  // children were cut short though the body had returned
    if (s->by != s) {
      s->outcome = SCOPE_CANCELLED;
      scope_push_cancel(L, s->by);
      return 1;
    }
    if (s->cause != CANCEL_DAEMONS) s->outcome = SCOPE_ABSORBED;
  }
  if (s->outcome != SCOPE_ABSORBED || s->kind == SCOPE_TASK) return 0;
  push_absorbed(L, s);
  return 1;
}

// All children have ended. What makes errors may itself fail, and run finalisers that spawn: it is
// called protected and with the scope shut, so that the scope is always left.
static int finish(lua_State *L, scope *s) {
  int is_plain =
    s->outcome == SCOPE_OK ? !s->cut : s->outcome == SCOPE_CANCELLED || s->kind == SCOPE_TASK;
  s->shut = 1;
  if (!is_plain || s->failed_ref != LUA_NOREF || s->oom) {
    if (!lua_checkstack(L, 4)) lua_pop(L, 4);  // of the body's results, then many, which are lost
    lua_pushcfunction(L, l_outcome);
    lua_pushlightuserdata(L, s);
    if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) s->outcome = SCOPE_FAILED;
  }
  return s->leave(L, s, (scope_outcome)s->outcome);
}

static int join(lua_State *L, scope *s) {
  rt *r = rt_of(L);
  uint32_t others = s->nkids + s->reserved;
  if (others == 0 && s->ndaemons > 0 && !s->cause) scope_cancel(r, s, CANCEL_DAEMONS);
  if (others + s->ndaemons > 0) {
    s->joining = 1;
    return wait_begin(L, &join_ops, s);
  }
  return finish(L, s);
}

static int l_note(lua_State *L) {
  failures_note(L, lua_touserdata(L, 1));
  return 0;
}

// Keep the error on top of the stack, which is popped; out of memory, keep that it was lost.
static void note_failure(lua_State *L, scope *s) {
  if (!lua_checkstack(L, 2)) {
    lua_pop(L, 1);
    s->oom = 1;
    return;
  }
  lua_pushcfunction(L, l_note);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, s);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return;
  lua_pop(L, 1);
  s->oom = 1;
}

int scope_leave(lua_State *L, scope *s, int failed,
                int (*leave)(lua_State *L, scope *s, scope_outcome o)) {
  rt *r = rt_of(L);
  task *t = task_current(L);
  scope_outcome o = SCOPE_OK;
  assert(t->in == s);
  s->leave = leave;
  if (failed) {
    uint64_t id = err_cancel_scope(L, -1);
    if (id && id == s->id && s->cause) {
      o = SCOPE_ABSORBED;
      lua_pop(L, 1);
    } else if (id && scope_concerns(t, id)) {
      o = SCOPE_CANCELLED;
    } else {
      o = SCOPE_FAILED;
      note_failure(L, s);
      scope_cancel(r, s, CANCEL_FAILURE);
    }
  }
  s->outcome = (uint8_t)o;
  return join(L, s);
}

static int called(lua_State *L, int status, lua_KContext ctx) {
  scope *s = (scope *)ctx;
  return scope_leave(L, s, status != LUA_OK && status != LUA_YIELD, s->leave);
}

int scope_call(lua_State *L, scope *s, int fn,
               int (*leave)(lua_State *L, scope *s, scope_outcome o)) {
  s->leave = leave;
  lua_pushcfunction(L, trace_handler);
  lua_insert(L, fn);
  int status = lua_pcallk(L, lua_gettop(L) - fn - 1, LUA_MULTRET, fn, (lua_KContext)s, called);
  return called(L, status, (lua_KContext)s);
}

int scope_attend(lua_State *L, uint32_t site, int fn,
                 int (*leave)(lua_State *L, scope *s, scope_outcome o)) {
  scope *s = take_spare(rt_of(L));
  if (!s) return luaL_error(L, "not enough memory");
  scope_enter_at(L, s, SCOPE_PLAIN, site);
  s->borrowed = 1;
  return scope_call(L, s, fn, leave);
}

void scope_attended(lua_State *L, scope *s, scope_outcome o) {
  rt *r = rt_of(L);
  scope_release(r, s);
  interrupt_limit(r);
  if (o == SCOPE_CANCELLED) lua_error(L);
}
