// SPDX-License-Identifier: MIT
// Tasks: starting, stepping and ending them. See task.h. Awaiting stands in await.c.
#include "core/task.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/coroutine.h"
#include "core/error.h"
#include "core/failures.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/trace.h"
#include "core/wait.h"

// The base frame of a task holds, from index 1: the handle, the message handler, then the function
// and its arguments, later its results.
#define HANDLE 1
#define HANDLER 2
#define RESULTS 3

#define FEW (LUA_MINSTACK / 2)  // values that any stack has room for

void task_missing(lua_State *L) {
  err_misuse(L, "no task is running here");
}

task *task_test(lua_State *L, int idx) {
  void *p = lua_touserdata(L, idx);
  if (!p || !lua_getmetatable(L, idx)) return NULL;
  int same = lua_topointer(L, -1) == rt_of(L)->refs.task_class;
  lua_pop(L, 1);
  return same ? p : NULL;
}

task *task_check(lua_State *L, int idx) {
  task *t = task_test(L, idx);
  if (!t) arg_type_error(L, idx, "task");
  return t;
}

scope *task_home(const task *t) {
  scope *s = t->in;
  while (s && s->owner == t) s = s->parent;
  return s;
}

// --- Ending ----------------------------------------------------------------------------------

// Keep the results from RESULTS to the top in the handle.
static void keep_results(lua_State *L, task *t) {
  int n = lua_gettop(L) - HANDLER;
  if (n > 1) {
    lua_createtable(L, n, 0);
    lua_insert(L, RESULTS);
    for (int i = n; i >= 1; i--) lua_rawseti(L, RESULTS, i);
    t->flags |= TASK_TABLED;
  }
  if (n > 0) lua_setiuservalue(L, HANDLE, 1);
  t->nvals = (uint32_t)n;
}

// Note the outcome, which is the last thing a base frame does: DONE with the results from RESULTS
// on, FAILED with the error on top (the results too when it is soft).
static int settle(lua_State *L, task_state state) {
  task *t = rt_of(L)->current;
  if (state == TASK_FAILED && !(t->flags & TASK_SOFT)) {
    if (lua_gettop(L) > RESULTS) lua_replace(L, RESULTS);
    lua_settop(L, RESULTS);
  }
  if (state != TASK_CANCELLED) keep_results(L, t);
  if (state == TASK_FAILED) {
    scope *home = task_home(t);
    if (home && t->kind == TASK_ASYNC) {
      if (!t->joiners) failures_pend(L, home, HANDLE);  // who already waits is sure to get it
    } else if (home) {
      task_push_error(L, HANDLE);
      if (t->flags & TASK_SOFT) trace_returned(L, t);
      failures_note(L, home);
    }
  }
  t->rc = (int32_t)state;
  lua_settop(L, HANDLE);
  return 1;
}

static int left(lua_State *L, scope *s, scope_outcome o) {
  task *t = s->owner;
  scope_release(rt_of(L), s);
  if (o == SCOPE_FAILED && (t->flags & TASK_SOFT)) {
    if (lua_rawequal(L, -1, RESULTS + 1))
      lua_pop(L, 1);
    else
      t->flags &= (uint16_t)~TASK_SOFT;  // several failures make another error
  }
  return settle(L, o == SCOPE_OK ? TASK_DONE : o == SCOPE_FAILED ? TASK_FAILED : TASK_CANCELLED);
}

static int returned(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  task *t = rt_of(L)->current;
  int failed = status != LUA_OK && status != LUA_YIELD;
  t->flags |= TASK_ENDING;
  if (!failed && lua_gettop(L) > RESULTS && lua_isnil(L, RESULTS) && !lua_isnil(L, RESULTS + 1)) {
    t->flags |= TASK_SOFT;  // nil, err is a failure too (S2)
    failed = 1;
  }
  if (t->in && t->in->owner == t) {
    if (t->flags & TASK_SOFT) lua_pushvalue(L, RESULTS + 1);
    return scope_leave(L, t->in, failed, left);
  }
  if (!failed) return settle(L, TASK_DONE);
  uint64_t id = err_cancel_scope(L, -1);
  return settle(L, id && scope_concerns(t, id) ? TASK_CANCELLED : TASK_FAILED);
}

static int base(lua_State *L) {
  int status = lua_pcallk(L, lua_gettop(L) - RESULTS, LUA_MULTRET, HANDLER, 0, returned);
  return returned(L, status, 0);
}

// Wake those who await `t`, tell its scope, and let go of its coroutine.
static void end(rt *r, task *t, task_state state, int reuse) {
  lua_State *co = t->co;
  scope *home = task_home(t);
  t->state = (uint8_t)state;
  t->co = NULL;
  r->ntasks--;
  while (t->joiners) {
    task *j = t->joiners;
    task_unjoin(t, j);
    wait_wake(j, 0);
  }
  if (home) scope_child_ended(r, home, t);
  t->in = home;  // await asks the scope about delivered failures; ended ones are never asked
  thread_put(r, co, t->slot, reuse && !(t->flags & TASK_EXPOSED));
}

// --- Dying: the coroutine failed outside its base frame ----------------------------------------

static wait_answer cancel_dead(task *t, void *arg) {
  (void)t;
  (void)arg;
  return WAIT_CANNOT_STOP;
}

static const wait_ops dead_ops = {"end", cancel_dead, NULL, NULL};

// How many frames there are. To ask for one takes as many steps as there are above it.
static int count_frames(lua_State *co) {
  lua_Debug ar;
  int within = 0, beyond = 1;
  while (lua_getstack(co, beyond - 1, &ar)) {
    within = beyond;
    beyond *= 2;
  }
  while (beyond - within > 1) {
    int middle = within + (beyond - within) / 2;
    if (lua_getstack(co, middle - 1, &ar))
      within = middle;
    else
      beyond = middle;
  }
  return within;
}

// Push the handle of a task that is suspended or died: the first value in its outermost frame.
static int push_handle(lua_State *co) {
  lua_Debug ar;
  int n = count_frames(co);
  return n > 0 && lua_getstack(co, n - 1, &ar) && lua_getlocal(co, &ar, 1) != NULL;
}

void task_push(lua_State *L, task *t) {
  luaL_checkstack(L, 2, NULL);
  if (!lua_checkstack(t->co, 1)) luaL_error(L, "not enough memory");
  if (t->flags & TASK_FRESH)
    lua_pushvalue(t->co, 2);  // behind the base function
  else
    push_handle(t->co);
  if (t->co != L) lua_xmove(t->co, L, 1);
}

static void forget(lua_State *L, task *t, int table) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, table);
  task_push(L, t);
  lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void task_forget(lua_State *L) {
  const rt *r = rt_of(L);
  task *t = task_current(L);
  if (!(t->flags & (TASK_LOCALS | TASK_NAMED))) return;
  luaL_checkstack(L, 4, NULL);
  forget(L, t, r->refs.locals);
  forget(L, t, r->refs.names);
  t->flags &= (uint16_t) ~(TASK_LOCALS | TASK_NAMED);
}

// Tell the scope of the failed task whose handle is at index 1 of its failure.
static int l_hand_on(lua_State *L) {
  task *t = lua_touserdata(L, 1);
  if (t->kind != TASK_ASYNC) {
    task_push_error(L, 1);
    failures_note(L, t->in);
  } else if (!t->joiners) {
    failures_pend(L, t->in, 1);
  }
  return 0;
}

void task_bury(rt *r, task *t) {
  if (t->ops != &dead_ops) return;
  scope *home = task_home(t);
  for (scope *s = t->in; s != home; s = s->parent)
    if (s->nkids + s->ndaemons + s->reserved) return;
  while (t->in != home) scope_release(r, t->in);
  if (home) {
    lua_pushcfunction(r->L, l_hand_on);
    lua_xmove(t->co, r->L, 1);
    if (lua_pcall(r->L, 1, 0, 0) != LUA_OK) {
      lua_pop(r->L, 1);
      home->oom = 1;
    }
  }
  end(r, t, TASK_FAILED, 0);
}

// Out of memory, or a C function yielded by itself. The error is on top of the coroutine's stack,
// where the handle is left. Allocates nothing; the task ends once its children have.
static void die(rt *r, task *t) {
  scope *home = task_home(t), *outermost = NULL;
  lua_State *L = r->L;
  lua_xmove(t->co, L, 1);  // there may be room for no more on that stack than the error took
  if (!push_handle(t->co)) lua_pushvalue(t->co, 2);  // not even the base frame could be made
  lua_xmove(t->co, L, 1);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  lua_xmove(L, t->co, 1);
  t->flags &= (uint16_t) ~(TASK_SOFT | TASK_TABLED);
  t->state = TASK_WAITING;
  t->ops = &dead_ops;
  for (scope *s = t->in; s != home; s = s->parent) outermost = s;
  if (outermost) scope_cancel(r, outermost, CANCEL_FAILURE);
  task_bury(r, t);
}

// --- Stepping --------------------------------------------------------------------------------

static void begin_step(rt *r, task *t) {
  r->current = t;
  r->stats.steps++;
  t->tm.own = (unsigned)r->stats.steps & TASK_STEPS;
  t->state = TASK_RUNNING;
  interrupt *in = &r->intr;
  interrupt_limit(r);
  atomic_store_explicit(&in->steps, r->stats.steps, memory_order_relaxed);
  atomic_store_explicit(&in->running, t->co, memory_order_release);
  if (atomic_load_explicit(&in->flags, memory_order_relaxed)) interrupt_switch(r, t->co);
}

static void end_step(rt *r, lua_State *co) {
  atomic_store_explicit(&r->intr.running, NULL, memory_order_release);
  if (r->intr.armed) interrupt_disarm(r, co);
  r->current = NULL;
}

void task_step(rt *r, task *t) {
  lua_State *co = t->co;
  int nargs = (int)t->nvals, nresults = 0;
  if (t->flags & TASK_FRESH) {
    if (t->in && t->in->by) {  // S8
      scope *home = task_home(t);
      while (t->in != home) scope_release(r, t->in);
      end(r, t, TASK_CANCELLED, 1);
      return;
    }
    nargs = lua_gettop(co) - 1;  // all but the base function
    t->flags &= (uint16_t)~TASK_FRESH;
  }
  begin_step(r, t);
  if (r->gc.due) collector_run(r);
  if (t->flags & TASK_EXPOSED) coroutine_unmark(co);
  int status = lua_resume(co, r->L, nargs, &nresults);
  end_step(r, co);
  if (t->flags & TASK_EXPOSED && status == LUA_YIELD) coroutine_mark(co);
  if (status == LUA_OK) {
    end(r, t, (task_state)t->rc, 1);
  } else if (status != LUA_YIELD) {
    die(r, t);
  } else if (t->state == TASK_RUNNING) {
    lua_settop(co, 0);
    lua_rawgeti(co, LUA_REGISTRYINDEX, r->refs.astray);
    die(r, t);
  }
}

uint64_t task_turn(const void *p, const void *arg) {
  const rt *r = arg;
  const task *t = p;
  uint32_t age = ((uint32_t)r->stats.steps - t->tm.own) & TASK_STEPS;
  uint32_t youth = (uint32_t)r->next_id - t->id;
  return (uint64_t)(TASK_STEPS - age) << 32 | (UINT32_MAX - youth);
}

// --- Starting --------------------------------------------------------------------------------

task *task_spawn(lua_State *L, scope *s, task_kind kind, int nargs) {
  rt *r = rt_of(L);
  int fn = lua_gettop(L) - nargs;
  if (r->gc.is_generational && r->current) {  // one step may start a million
    collector_pace(r);
    if (r->gc.due) collector_run(r);
  }
  task *t = lua_newuserdatauv(L, sizeof *t, 1);
  memset(t, 0, sizeof *t);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->refs.task_mt);
  lua_setmetatable(L, -2);
  t->site = site_here(L, 1);                               // level 0 is the binding
  if (!t->site && r->current) t->site = r->current->site;  // spawned by corun's own Lua code
  t->co = thread_get(L, &t->slot);
  // Nothing below raises. Not before: finalisers that the above ran may have spawned tasks too.
  if (rt_reserve(r) < 0 || (nargs > FEW && !lua_checkstack(t->co, nargs + FEW))) {
    thread_put(r, t->co, t->slot, 1);
    luaL_error(L, "not enough memory");
  }
  list_init(&t->wlink);
  list_init(&t->siblings);
  t->id = (uint32_t)++r->next_id;
  t->kind = (uint8_t)kind;
  t->flags = TASK_FRESH;
  t->tm.own = (unsigned)r->stats.steps & TASK_STEPS;
  t->in = s;
  lua_pushcfunction(t->co, base);
  lua_pushvalue(L, -1);
  lua_xmove(L, t->co, 1);  // the handle: the coroutine keeps it while the task is alive
  lua_pushcfunction(t->co, trace_handler);
  lua_insert(L, fn);
  lua_xmove(L, t->co, nargs + 1);
  if (s) {
    list_push(&s->tasks, &t->siblings);
    if (kind == TASK_DAEMON)
      s->ndaemons++;
    else
      s->nkids++;
  }
  r->ntasks++;
  r->stats.spawned++;
  t->state = TASK_READY;
  rt_ready(r, t);
  return t;
}
