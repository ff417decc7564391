// SPDX-License-Identifier: MIT
// Semaphores and mutexes. See semaphore.h. A guard is made before its task waits, so that nothing
// can fail between the moment when a permit is given to it and the moment when the script has it.
#include "core/semaphore.h"

#include <lauxlib.h>
#include <stdio.h>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/wait.h"

semaphore *semaphore_new(lua_State *L, lua_Integer permits, int is_mutex) {
  semaphore *s = lua_newuserdatauv(L, sizeof *s, 0);
  list_init(&s->waiters);
  s->total = s->left = permits;
  s->holder = 0;
  s->is_mutex = is_mutex;
  return s;
}

guard *guard_new(lua_State *L, int idx) {
  semaphore *s = lua_touserdata(L, idx);
  lua_pushvalue(L, idx);
  guard *g = lua_newuserdatauv(L, sizeof *g, 1);
  g->of = s;
  g->task = 0;
  g->site = rt_of(L)->opts.dev ? site_here(L, 0) : 0;
  g->held = 0;
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);  // the guard keeps the semaphore
  return g;
}

static void hold(guard *g, const task *t) {
  g->held = 1;
  g->task = g->of->holder = t->id;
}

int semaphore_try(lua_State *L, guard *g) {
  if (!g->of->left) return 0;
  g->of->left--;
  hold(g, task_current(L));
  interrupt_closable(L);
  return 1;
}

static wait_answer cancel_acquire(task *t, void *arg) {
  (void)arg;
  list_remove(&t->wlink);
  return WAIT_STOPPED;
}

static int acquired(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  interrupt_closable(L);
  return 1;
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  const semaphore *s = ((const guard *)arg)->of;
  if (s->is_mutex)
    snprintf(buf, n, "mutex %p held by task %u", (const void *)s, s->holder);
  else
    snprintf(buf, n, "semaphore %p", (const void *)s);
}

static const wait_ops acquire_ops = {"acquire", cancel_acquire, acquired, describe};

int semaphore_acquire(lua_State *L, guard *g) {
  task_checkpoint(L);
  if (semaphore_try(L, g)) return 1;
  task *t = task_current(L);
  if (g->of->is_mutex && g->of->holder == t->id)
    return err_misuse(L, "task %I holds this mutex: acquiring it again would wait for itself",
                      (lua_Integer)t->id);
  wait_check(L);
  list_push(&g->of->waiters, &t->wlink);
  return wait_begin(L, &acquire_ops, g);
}

void guard_release(guard *g) {
  if (!g->held) return;
  semaphore *s = g->of;
  g->held = 0;
  list *l = list_shift(&s->waiters);
  if (!l) {
    s->left++;
    return;
  }
  task *t = list_entry(l, task, wlink);
  hold(t->warg, t);
  wait_wake(t, 0);
}
