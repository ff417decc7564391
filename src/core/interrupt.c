// SPDX-License-Identifier: MIT
// Interrupts: the hook and when it may raise. See interrupt.h.
#include "core/interrupt.h"

#include "core/error.h"
#include "core/host.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/trace.h"

#define TORN_GUARD 4  // instructions in which a script takes a closable (S25)
#define RAISING (INTR_RAISE | INTR_INSIST | INTR_STOP)

static void on_hook(lua_State *L, lua_Debug *ar);

void interrupt_arm(rt *r) {
  interrupt *in = &r->intr;
  lua_State *L = atomic_load_explicit(&in->running, memory_order_acquire);
  if (!L) return;
  if (lua_gethook(L) != on_hook) {
    in->old_hook = lua_gethook(L);
    in->old_mask = lua_gethookmask(L);
    in->old_count = lua_gethookcount(L);
    if (in->spared != r->stats.steps) in->skip = TORN_GUARD;  // else debug.sethook could evade it
    in->spared = r->stats.steps;
  }
  in->armed = L;
  lua_sethook(L, on_hook, LUA_MASKCOUNT | LUA_MASKRET, 1);
}

void interrupt_disarm(rt *r, lua_State *L) {
  interrupt *in = &r->intr;
  int ours = in->armed == L;
  if (ours) in->armed = NULL;
  if (lua_gethook(L) != on_hook) return;
  if (ours)
    lua_sethook(L, in->old_hook, in->old_mask, in->old_count);
  else
    lua_sethook(L, NULL, 0, 0);  // inherited from the coroutine that made it
}

void interrupt_switch(rt *r, lua_State *L) {
  (void)L;
  if (!atomic_load_explicit(&r->intr.flags, memory_order_relaxed)) return;
  int skip =
    r->intr.skip;  // a switch gives no new respite: two coroutines could take turns for ever
  interrupt_arm(r);
  r->intr.skip = skip;
}

void interrupt_closable(lua_State *L) {
  rt_of(L)->intr.closables++;
}

void interrupt_limit(rt *r) {
  const task *t = r->current;
  if (!t) return;
  uint64_t limit = r->end;
  if (t->in && t->in->by)
    limit = t->in->by->id;
  else if (t->in && t->in->until < limit)
    limit = t->in->until;
  atomic_store_explicit(&r->intr.limit, limit, memory_order_relaxed);
}

// Answer whether the instruction at hand must run undisturbed.
static int is_guarded(lua_State *L, lua_Debug *ar, interrupt *in) {
  if (in->closables != in->seen) {
    in->seen = in->closables;
    in->skip = TORN_GUARD;
  }
  if (in->skip > 0) {
    in->skip--;
    return 1;
  }
  lua_getinfo(L, "S", ar);
  return err_is_embedded(ar->source);
}

// Nothing is to be raised, or no more.
static void stand_down(rt *r, lua_State *L) {
  atomic_fetch_and(&r->intr.flags, ~RAISING);
  interrupt_disarm(r, L);
}

// The return of a C function is only looked at: there its name is known to the report.
static void on_hook(lua_State *L, lua_Debug *ar) {
  rt *r = rt_of(L);
  interrupt *in = &r->intr;
  int flags = atomic_load(&in->flags);
  int meant = r->current && atomic_load(&in->target) == r->stats.steps;
  if (flags & (INTR_REPORT | INTR_TREE)) {
    atomic_fetch_and(&in->flags, ~(INTR_REPORT | INTR_TREE));
    if (flags & INTR_REPORT && meant) trace_slow_step(r, L);
    if (flags & INTR_TREE) {
      host_deliver(r);
      trace_running(L);
    }
  }
  if (!(flags & RAISING) || !meant) {
    stand_down(r, L);
    return;
  }
  if (ar->event != LUA_HOOKCOUNT || is_guarded(L, ar, in)) return;
  if (flags & INTR_STOP) host_deliver(r);
  timer_expire(r);  // the loop could not fire the deadline that this step overran
  const task *t = r->current;
  if (!t->in || !t->in->by) {
    stand_down(r, L);
    return;
  }
  atomic_store(&in->raised_limit, t->in->by->id);
  atomic_store(&in->raised_step, r->stats.steps);
  if (!(flags & INTR_INSIST)) stand_down(r, L);
  task_raise_cancel(L);
}
