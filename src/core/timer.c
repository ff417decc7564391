// SPDX-License-Identifier: MIT
// Timers. See timer.h.
#include "core/timer.h"

#include <math.h>

#include "core/runtime.h"
#include "core/scope.h"
#include "core/wait.h"

#define NS 1000000000.0
#define NS_PER_MS 1000000u

uint64_t timer_now(rt *r) {
  return r->is_virtual ? r->vnow : uv_hrtime();
}

uint64_t timer_after(rt *r, double seconds) {
  return timer_later(timer_now(r), seconds);
}

uint64_t timer_later(uint64_t now, double seconds) {
  if (!(seconds > 0)) return now;
  double ns = seconds * NS;
  return ns >= (double)(INT64_MAX - (int64_t)now) ? TIMER_NEVER : now + (uint64_t)ns;
}

int timer_arm(rt *r, timer *t, uint64_t when) {
  if (when == TIMER_NEVER) return 0;
  return heap_insert(&r->timers, &t->item, when) < 0 ? UV_ENOMEM : 0;
}

void timer_disarm(rt *r, timer *t) {
  heap_remove(&r->timers, &t->item);
}

static void fire(rt *r, timer *t) {
  switch ((timer_kind)t->kind) {
    case TIMER_TASK: wait_expire(r, (task *)(void *)t); break;
    case TIMER_SCOPE: scope_cancel(r, (scope *)(void *)t, CANCEL_TIMEOUT); break;
    case TIMER_CALL: {
      timer_call *c = (timer_call *)(void *)t;
      c->fire(c);
      break;
    }
  }
}

void timer_expire(rt *r) {
  const heap_entry *e = heap_top(&r->timers);
  if (!e) return;
  uint64_t now = timer_now(r);
  while (e && e->when <= now) {
    timer *t = (timer *)(void *)e->item;
    timer_disarm(r, t);
    fire(r, t);
    e = heap_top(&r->timers);
  }
}

static void on_clock(uv_timer_t *h) {
  uv_stop(h->loop);  // libuv fires timers before it polls, and would then poll without a limit
}

void timer_schedule(rt *r) {
  const heap_entry *e = heap_top(&r->timers);
  if (!e) {
    uv_timer_stop(&r->clock);
    return;
  }
  uint64_t now = timer_now(r);
  uint64_t ms = e->when <= now ? 0 : (e->when - now + NS_PER_MS - 1) / NS_PER_MS;
  uv_update_time(&r->loop);
  uv_timer_start(&r->clock, on_clock, ms, 0);
}

void timer_virtual(rt *r, int on) {
  if (on && !r->is_virtual) r->vnow = uv_hrtime();
  r->is_virtual = on;
}
