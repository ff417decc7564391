// SPDX-License-Identifier: MIT
// Runtime: making it, its loop, closing it. See runtime.h.
#include "core/runtime.h"

#include <assert.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/coroutine.h"
#include "core/descriptor.h"
#include "core/error.h"
#include "core/handle.h"
#include "core/host.h"
#include "core/mail.h"
#include "core/output.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/weak.h"
#include "core/work.h"

#define BATCH 256  // steps between two polls, so that neither starves

// --- Making ----------------------------------------------------------------------------------

static int make_table(lua_State *L, const char *mode) {
  weak_newtable(L, mode);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

static int l_open(lua_State *L) {
  rt *r = rt_of(L);
  bytes_open(L);
  luaL_openlibs(L);
  collector_open(L);
  if (r->opts.output) output_bind(L);
  err_open(L);
  coroutine_open(L);
  work_open(L);
  r->refs.threads = make_table(L, NULL);
  r->refs.traces = make_table(L, "k");
  r->refs.locals = make_table(L, "k");
  r->refs.names = make_table(L, "k");
  lua_pushliteral(L, "a C function yielded outside a coroutine of the script");
  r->refs.astray = luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_newmetatable(L, "task");
  r->refs.task_class = lua_topointer(L, -1);
  r->refs.task_mt = luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_newmetatable(L, "scope");
  r->refs.scope_mt = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

// Warnings (Lua manual, section 4.6, lua_setwarnf): on from the start (S32), "@off" and "@on"
// obeyed.
static void on_warning(void *ud, const char *text, int to_be_continued) {
  rt *r = ud;
  if (!r->warn_continues && !to_be_continued && *text == '@') {
    if (strcmp(text, "@off") == 0) r->warn_off = 1;
    if (strcmp(text, "@on") == 0) r->warn_off = 0;
    return;
  }
  if (!r->warn_off) {
    if (!r->warn_continues) fputs("Lua warning: ", r->err);
    fputs(text, r->err);
    if (!to_be_continued) fputc('\n', r->err);
  }
  r->warn_continues = to_be_continued;
}

// Look at what signals and other threads left.
static void look(rt *r) {
  if (!r->closing) host_deliver(r);
  mail_deliver(r);
}

// A turn of the loop, and look at what was left meanwhile. Of the tasks that it wakes, that one
// goes first which ran longest ago. The order in which the system names descriptors would be
// unfair: as long as one is ready at each poll it keeps its place, before those that became ready
// earlier than it did this time, but had missed the last poll; they would wait for all others
// twice.
static void turn(rt *r, uv_run_mode mode) {
  size_t before = r->ready.count;
  if (!list_empty(&r->unwatched)) descriptor_look(r);
  uv_run(&r->loop, mode);
  if (!r->opts.seed) queue_sort(&r->ready, before, task_turn, r);
  if (wakeup_rise(&r->wakeup)) look(r);
}

static void count_active(uv_handle_t *h, void *arg) {
  unsigned *n = arg;
  *n += uv_is_active(h) != 0;
}

// Whether only other threads and the clock can bring anything: then the loop has nothing to poll.
static int is_loop_empty(rt *r) {
  unsigned n = 0;
  if (!list_empty(&r->handles) || uv_loop_alive(&r->loop)) return 0;
  uv_walk(&r->loop, count_active, &n);  // those not in that list, and unreferenced: there are few
  return n == 1u + (uv_is_active((uv_handle_t *)&r->clock) != 0);  // the wake-up's own
}

// Do without the loop until something happens, or the time has come.
static void doze(rt *r) {
  const heap_entry *e = heap_top(&r->timers);
  uint64_t ns = WAKEUP_NEVER;
  if (e && !r->is_virtual) {
    uint64_t now = timer_now(r);
    ns = e->when > now ? e->when - now : 0;
  }
  wakeup_doze(&r->wakeup, ns, r->njobs != 0);
  uv_update_time(&r->loop);
  if (wakeup_rise(&r->wakeup)) look(r);
}

// Run the loop until something happens, or not at all if something has.
static void sleep_in_loop(rt *r) {
  turn(r, wakeup_sleep(&r->wakeup) ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

// Only a runtime that closes sleeps without looking by itself: there is nothing else that it does.
static void on_wakeup(wakeup *w) {
  rt *r = w->poll.data;
  if (!r->closing) return;
  do {
    wakeup_rise(w);
    look(r);
  } while (!wakeup_sleep(w));
}

static int open_loop(rt *r) {
  int rc = uv_loop_init(&r->loop);
  if (rc < 0) return rc;
  r->loop.data = r;
  uv_timer_init(&r->loop, &r->clock);
  uv_unref((uv_handle_t *)&r->clock);
  rc = wakeup_open(&r->wakeup, &r->loop, on_wakeup);
  if (rc < 0) {
    uv_close((uv_handle_t *)&r->clock, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    uv_loop_close(&r->loop);
    return rc;
  }
  r->wakeup.poll.data = r;
  return 0;
}

// The parts of a runtime that cannot fail.
static void init(rt *r, const rt_options *opts) {
  r->opts = *opts;
  r->out = stdout;
  r->err = stderr;
  r->exit_code = -1;
  r->end = TIMER_NEVER;
  r->random = opts->seed ? opts->seed : 0x9E3779B97F4A7C15u;
  r->grace_timer.tm.kind = TIMER_CALL;
  list_init(&r->handles);
  list_init(&r->jobs);
  list_init(&r->works);
  list_init(&r->unwatched);
  list_init(&r->slices);
  queue_init(&r->ready);
  heap_init(&r->timers);
  atomic_store(&r->intr.limit, UINT64_MAX);
}

// Answers 0 or UV_ENOMEM.
static int open_lua(rt *r) {
  lua_State *L = r->L = lua_newstate(r->opts.alloc ? alloc_by_host : alloc_lua, r);
  if (!L) return UV_ENOMEM;
  *(rt **)lua_getextraspace(L) = r;
  lua_setwarnf(L, on_warning, r);
  collector_init(r);
  lua_pushcfunction(L, l_open);
  return lua_checkstack(L, 64) && lua_pcall(L, 0, 0, 0) == LUA_OK ? 0 : UV_ENOMEM;
}

rt *rt_new(const rt_options *opts, int *rc) {
  int code = UV_ENOMEM;
  host_prepare();
  rt *r = calloc(1, sizeof *r);
  if (!r) goto fail;
  init(r, opts);
  code = opts->output ? output_open(r) : 0;
  if (code == 0) code = open_loop(r);
  if (code < 0) {
    output_close(r);
    free(r);
    goto fail;
  }
  r->started = uv_hrtime();
  code = open_lua(r);
  if (code == 0) return r;
  rt_close(r, HUGE_VAL);
fail:
  if (rc) *rc = code;
  return NULL;
}

// Close a handle that nobody owns, and the runtime's own.
static void close_handle(uv_handle_t *h, void *arg) {
  rt *r = arg;
  if (!uv_is_closing(h) && h != (uv_handle_t *)&r->clock) uv_close(h, NULL);
}

static void on_patience(uv_timer_t *h) {
  uv_stop(h->loop);
}

// Run the loop until nothing is left in it, at most `seconds`. Answers 0 or UV_ETIMEDOUT.
static int drain(rt *r, double seconds) {
  uv_handle_t *clock = (uv_handle_t *)&r->clock;
  uv_walk(&r->loop, close_handle, r);
  uv_timer_stop(&r->clock);  // a time limit that is over by now may have set it
  if (seconds < HUGE_VAL) {
    uv_update_time(&r->loop);
    uv_timer_start(&r->clock, on_patience, (uint64_t)(seconds * 1000), 0);
  }
  if (uv_run(&r->loop, UV_RUN_DEFAULT)) return UV_ETIMEDOUT;
  uv_close(clock, NULL);
  uv_run(&r->loop, UV_RUN_DEFAULT);
  return 0;
}

// Wait until there is none left of the work that `n` counts, at most until `seconds` after `began`.
// Answers 0 or UV_ETIMEDOUT.
static int await_work(rt *r, const uint32_t *n, uint64_t began, double seconds) {
  while (*n) {
    double rest = seconds - (double)(uv_hrtime() - began) / 1e9;
    if (rest <= 0) return UV_ETIMEDOUT;
    uv_update_time(&r->loop);
    if (rest < HUGE_VAL) uv_timer_start(&r->clock, on_patience, (uint64_t)(rest * 1000) + 1, 0);
    uv_ref((uv_handle_t *)&r->wakeup.poll);
    sleep_in_loop(r);
    uv_unref((uv_handle_t *)&r->wakeup.poll);
  }
  return 0;
}

int rt_close(rt *r, double seconds) {
  uint64_t began = uv_hrtime();
  if (await_work(r, &r->nleft, began, seconds) < 0) return UV_ETIMEDOUT;  // it reads what Lua holds
  r->closing = 1;
  if (r->L) lua_close(r->L);  // handles that scripts left open begin to close here
  r->L = NULL;
  handle_close_all(r);
  on_wakeup(&r->wakeup);
  // What ends work may be a handle of an extension's: those are closed only after it.
  if (await_work(r, &r->nworks, began, seconds) < 0 || drain(r, seconds) < 0) return UV_ETIMEDOUT;
  mail_settle(r);
  wakeup_fini(&r->wakeup);
  int rc = uv_loop_close(&r->loop);
  assert(rc == 0);
  (void)rc;
  while (r->spare_scopes) {
    scope *s = r->spare_scopes;
    r->spare_scopes = s->parent;
    free(s);
  }
  free(r->watches);
  queue_fini(&r->ready);
  heap_fini(&r->timers);
  site_fini(&r->sites);
  alloc_fini(&r->alloc);
  output_close(r);
  free(r);
  return 0;
}

// --- Running ---------------------------------------------------------------------------------

uint64_t rt_random(rt *r) {  // splitmix64, Steele, Lea, Flood 2014
  uint64_t z = r->random += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

void rt_ready(rt *r, task *t) {
  queue_push(&r->ready, t);
}

void rt_stop(rt *r, int code) {
  if (code >= 0 && r->exit_code < 0) r->exit_code = code;
  if (r->root) scope_cancel(r, r->root, code >= 0 ? CANCEL_EXIT : CANCEL_SIGNAL);
}

static void run_ready(rt *r) {
  for (int i = 0; i < BATCH && r->ready.count; i++) {
    size_t at = r->opts.seed ? rt_random(r) % r->ready.count : 0;
    task_step(r, at ? queue_shift_at(&r->ready, at) : queue_shift(&r->ready));
  }
}

// Whether anything outside the runtime can still wake a task.
static int is_alive(rt *r) {
  return uv_loop_alive(&r->loop) || r->njobs;
}

// Block until something happens. Answers 0 when nothing ever can.
static int wait_for_events(rt *r) {
  const heap_entry *e = heap_top(&r->timers);
  int alive = is_alive(r);
  if (!e && !alive) return 0;
  if (e && r->is_virtual && !alive) {
    if (e->when > r->vnow) r->vnow = e->when;
    return 1;
  }
  if (is_loop_empty(r)) {
    doze(r);
    return 1;
  }
  if (e && r->is_virtual) {  // real time passes while the world is waited for
    sleep_in_loop(r);
    return 1;
  }
  timer_schedule(r);
  uv_handle_t *keep = (uv_handle_t *)(e ? (void *)&r->clock : (void *)&r->wakeup.poll);
  if (!alive || r->njobs) uv_ref(keep);
  sleep_in_loop(r);
  uv_unref(keep);
  return 1;
}

// Nothing can wake any task: say so, and cancel what waits in vain.
static void end_deadlock(rt *r) {
  scope *s = r->fence && !r->fence->by ? r->fence : r->root;
  assert(!r->deadlocked);  // every wait without an event behind it can be cancelled
  if (s == r->root) r->deadlocked = 1;
  trace_deadlock(r);
  scope_cancel(r, s, CANCEL_DEADLOCK);
}

static void poll_at_once(rt *r) {
  uv_handle_t *keep = (uv_handle_t *)&r->wakeup.poll;
  uv_ref(keep);  // libuv does not even look when nothing keeps it alive
  turn(r, UV_RUN_NOWAIT);
  uv_unref(keep);
}

// Whether anything can still happen by itself; if only timers can, a virtual clock jumps.
static int is_pending(rt *r) {
  const heap_entry *e = heap_top(&r->timers);
  int alive = is_alive(r);
  if (e && r->is_virtual && !alive && e->when > r->vnow) r->vnow = e->when;
  return e || alive;
}

static void poll_events(rt *r, int may_sleep) {
  r->stats.polls++;
  timer_expire(r);  // what is due comes before what the poll may bring
  if (r->alloc.dead) alloc_release(&r->alloc);
  if (r->ready.count || r->alloc.dead)
    poll_at_once(r);
  else if (may_sleep ? !wait_for_events(r) : (poll_at_once(r), !r->ready.count && !is_pending(r)))
    end_deadlock(r);
  timer_expire(r);
}

void rt_limit(rt *r, double seconds) {
  r->time_limit = seconds;
  r->is_limited = 1;
}

static int l_start(lua_State *L) {
  rt *r = rt_of(L);
  task *t = task_spawn(L, NULL, TASK_SPAWN, lua_gettop(L) - 1);
  r->root = scope_own(r, t);
  if (!r->root) luaL_error(L, "not enough memory");
  r->main = t;
  if (!r->is_limited) return 1;
  r->root->seconds = r->time_limit;
  r->end = r->root->deadline = r->root->until = timer_after(r, r->time_limit);
  if (timer_arm(r, &r->root->tm, r->root->deadline) < 0) luaL_error(L, "not enough memory");
  return 1;
}

// Forget how the last root task ended.
static void reset(rt *r) {
  r->exit_code = -1;
  r->end = TIMER_NEVER;
  r->fence = NULL;
  r->grace_over = r->timed_out = r->deadlocked = r->stopped_by = 0;
  atomic_store(&r->asked, 0);
  atomic_store(&r->intr.asks_seen, atomic_load(&r->intr.asks));
}

int rt_start(rt *r, int nargs) {
  lua_State *L = r->L;
  if (!lua_checkstack(L, LUA_MINSTACK)) {  // as many arguments as there is room for
    lua_pop(L, nargs + 1);
    lua_pushliteral(L, "too many arguments");
    return LUA_ERRRUN;
  }
  reset(r);
  lua_pushcfunction(L, l_start);
  lua_insert(L, -nargs - 2);
  int status = lua_pcall(L, nargs + 1, 1, 0);
  if (status != LUA_OK) return status;
  host_enter(r);
  timer_expire(r);
  return LUA_OK;
}

int rt_turn(rt *r, int may_sleep) {
  if (!may_sleep && wakeup_rise(&r->wakeup)) look(r);
  atomic_store(&r->intr.busy, 1);
  host_unpark();
  run_ready(r);
  atomic_store(&r->intr.busy, 0);
  if (task_ended(r->main)) return 0;
  collector_pace(r);
  poll_events(r, may_sleep);
  while (!may_sleep && !wakeup_sleep(&r->wakeup)) {  // whoever wakes it makes the loop readable
    wakeup_rise(&r->wakeup);
    look(r);
  }
  return 1;
}

int rt_finish(rt *r) {
  lua_State *L = r->L;
  host_leave(r);
  int has_failed = r->main->state == TASK_FAILED;
  r->root = NULL;
  r->main = NULL;
  r->is_limited = 0;
  timer_disarm(r, &r->grace_timer.tm);
  if (has_failed) {
    task_push_error(L, -1);
    lua_remove(L, -2);
    return LUA_ERRRUN;
  }
  lua_pop(L, 1);
  return LUA_OK;
}

int rt_run(rt *r, int nargs) {
  int status = rt_start(r, nargs);
  if (status != LUA_OK) return status;
  rt *outer = host_switch(r);
  while (rt_turn(r, 1)) continue;
  host_switch(outer);
  return rt_finish(r);
}

// Whether a callback of the last poll has begun to watch a descriptor: libuv tells the system at
// the next one only. The queue is a pair of pointers, to itself when it is empty, in all releases.
static int has_unwatched(uv_loop_t *loop) {
  void *head = &loop->watcher_queue;
  return *(void **)head != head;
}

int rt_timeout(rt *r) {
  const heap_entry *e = heap_top(&r->timers);
  if (r->ready.count || r->alloc.dead || has_unwatched(&r->loop)) return 0;
  uv_update_time(&r->loop);
  uv_ref((uv_handle_t *)&r->wakeup.poll);  // libuv never waits when nothing keeps it alive
  int ms = uv_backend_timeout(&r->loop);
  uv_unref((uv_handle_t *)&r->wakeup.poll);
  if (!e || r->is_virtual) return ms;
  uint64_t now = timer_now(r), rest = e->when <= now ? 0 : (e->when - now + 999999) / 1000000;
  int own = rest < INT_MAX ? (int)rest : INT_MAX;
  return ms < 0 || own < ms ? own : ms;
}
