// SPDX-License-Identifier: MIT
// Children: watching, stopping, reaping. See child.h.
#include "sys/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "core/host.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "sys/group.h"

#define MS ((uint64_t)1000000)
#define LOOK_AGAIN (100 * MS)  // whether the program's grace is over
#define PROBE (5 * MS)  // whether a group without its leader is gone; then at longer intervals
#define PROBES 5

// --- The end ---------------------------------------------------------------------------------

static void unref(child *c) {
  if (--c->refs == 0) free(c);
}

static void let_go(child *c) {
  if (!c->is_over || !c->is_unwatched) return;
  handle_fini(&c->h);
  unref(c);
}

static void be_over(child *c) {
  c->is_over = 1;
  timer_disarm(c->h.r, &c->tick.tm);
  for (list *l; (l = list_shift(&c->waiters));) wait_wake(list_entry(l, task, wlink), 0);
  let_go(c);
}

static void on_unwatched(uv_handle_t *h) {
  child *c = h->data;
  c->is_unwatched = 1;
  let_go(c);
}

// libuv gives a signal its default action back when its last handle is closed, and host.c what the
// program had set: nothing may arrive in between.
static void unwatch(child *c) {
  if (c->pidfd >= 0) {
    uv_close((uv_handle_t *)&c->watch.poll, on_unwatched);
    close(c->pidfd);
    return;
  }
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  uv_close((uv_handle_t *)&c->watch.signal, on_unwatched);
  host_unlisten(SIGCHLD);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

// Take the status if the process has ended; answer whether it has.
static int reap(child *c) {
  pid_t pid;
  do pid = wait4(c->pid, &c->status, WNOHANG, &c->usage);
  while (pid < 0 && errno == EINTR);
  if (pid == 0) return 0;
  c->is_reaped = 1;
  if (pid < 0) c->rc = CHILD_LOST;
  c->ended = uv_hrtime();
  return 1;
}

static void arm(child *c, uint64_t now);

static void look(child *c) {
  if (c->is_reaped || !reap(c)) return;
  unwatch(c);
  if (c->is_stopping && !c->is_killed)
    arm(c, timer_now(c->h.r));
  else if (!c->is_over)
    be_over(c);
}

// --- Watching --------------------------------------------------------------------------------

static void on_readable(uv_poll_t *h, int status, int events) {
  (void)status;
  (void)events;
  look(h->data);
}

static void on_sigchld(uv_signal_t *h, int number) {
  (void)number;
  look(h->data);
}

static int watch_pidfd(child *c) {
#ifdef SYS_pidfd_open
  c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
#endif
  if (c->pidfd < 0) return UV_ENOSYS;
  int rc = uv_poll_init(&c->h.r->loop, &c->watch.poll, c->pidfd);
  if (rc < 0) {
    close(c->pidfd);
    c->pidfd = -1;
    return rc;
  }
  c->watch.poll.data = c;
  return 0;
}

// Answers 0, 1 when the handle could be made and not used, or an error.
static int watch_signal(child *c) {
  int rc = uv_signal_init(&c->h.r->loop, &c->watch.signal);
  if (rc < 0) return rc;
  c->watch.signal.data = c;
  host_listen(SIGCHLD);
  return uv_signal_start(&c->watch.signal, on_sigchld, SIGCHLD) < 0;
}

// Answers 0, or an error when the group is another user's.
static int kill_group(child *c) {
  c->is_killed = 1;
  if (c->is_reaped && c->group > 0) return 0;
  return kill(c->group, SIGKILL) < 0 && errno == EPERM ? UV_EPERM : 0;
}

// Wait for a process that was killed, which takes no time unless the kernel is in trouble.
static void reap_now(child *c) {
  uint64_t until = uv_hrtime() + (uint64_t)(c->h.r->opts.grace * 1e9);
  while (!reap(c) && uv_hrtime() < until) usleep(1000);
}

// The runtime ends.
static void close_handle(handle *h) {
  child *c = list_entry(h, child, h);
  if (!c->is_over || !c->is_reaped) c->rc = kill_group(c);
  if (!c->is_reaped) {
    if (c->rc == 0) reap_now(c);
    unwatch(c);
  }
  if (!c->is_over) be_over(c);
}

int child_watch(child *c) {
  int rc = watch_pidfd(c);
  if (rc < 0) rc = watch_signal(c);
  if (rc < 0) {
    kill_group(c);
    reap_now(c);
    free(c);
    return rc;
  }
  handle_init(c->h.r, &c->h, "process", close_handle);
  c->refs = 2;
  if (rc == 0 && c->pidfd >= 0) rc = uv_poll_start(&c->watch.poll, UV_READABLE, on_readable) < 0;
  if (rc > 0) {  // it cannot be followed
    close_handle(&c->h);
    unref(c);
    return UV_ENOMEM;
  }
  if (c->pidfd < 0) look(c);  // it may have ended before the signal was listened to
  return 0;
}

// --- Stopping --------------------------------------------------------------------------------

// When KILL is due: after the grace of the process, or the one of the whole program.
static uint64_t kill_due(const child *c) {
  const rt *r = c->h.r;
  return r->root && r->root->by && r->end < c->kill_at ? r->end : c->kill_at;
}

// The last resort. One that cannot be killed is given up, and reaped once it has ended.
static void be_killed(child *c) {
  int rc = kill_group(c);
  if (rc < 0 && !c->is_reaped) {
    c->rc = rc;
    uv_unref((uv_handle_t *)&c->watch);
  }
  if (rc < 0 || c->is_reaped) be_over(c);
}

// Whether the process was reaped and nobody of its group runs any more.
static int is_gone(const child *c) {
  if (!c->is_reaped) return 0;
  if (c->group > 0) return 1;
  if (group_is_alive(-c->group)) return 0;
  kill(c->group, SIGKILL);  // one that was started while we looked
  return 1;
}

static void on_tick(timer_call *tick) {
  child *c = list_entry(tick, child, tick);
  uint64_t now = timer_now(c->h.r);
  if (now >= kill_due(c))
    be_killed(c);
  else
    arm(c, now);
}

static void arm(child *c, uint64_t now) {
  rt *r = c->h.r;
  uint64_t due = kill_due(c), when = now + LOOK_AGAIN;
  if (is_gone(c)) {
    be_over(c);
    return;
  }
  if (c->is_reaped && c->probes < PROBES) when = now + (PROBE << c->probes++);
  timer_disarm(r, &c->tick.tm);
  if (timer_arm(r, &c->tick.tm, when < due ? when : due) < 0) be_killed(c);
}

void child_stop(child *c) {
  if (c->is_reaped || c->is_stopping) return;
  rt *r = c->h.r;
  c->is_stopping = 1;
  c->kill_at = timer_after(r, c->grace);
  kill(c->group, SIGTERM);
  kill(c->group, SIGCONT);  // one that was stopped acts on neither
  arm(c, timer_now(r));
}

int child_signal(child *c, int number) {
  if (c->is_reaped) return UV_ESRCH;
  return kill(c->group, number) < 0 ? uv_translate_sys_error(errno) : 0;
}

// --- Life ------------------------------------------------------------------------------------

int child_start(rt *r, const spawn_plan *plan, double grace, child **out, spawn_stage *stage) {
  child *c = calloc(1, sizeof *c);
  *stage = SPAWN_SYSTEM;
  if (!c) return UV_ENOMEM;
  c->h.r = r;
  c->pidfd = -1;
  c->grace = grace;
  c->tick.tm.kind = TIMER_CALL;
  c->tick.fire = on_tick;
  list_init(&c->waiters);
  const char *slash = strrchr(plan->argv[0], '/');
  snprintf(c->name, sizeof c->name, "%s", slash ? slash + 1 : plan->argv[0]);
  c->started = uv_hrtime();
  int rc = spawn_start(plan, &c->pid, stage);
  if (rc < 0) {
    free(c);
    return rc;
  }
  c->group = plan->shares_group ? c->pid : -c->pid;
  *out = c;
  return 0;
}

void child_unhold(child *c) {
  uv_unref((uv_handle_t *)&c->watch);
}

void child_unref(child *c) {
  if (!c->is_over) child_stop(c);
  unref(c);
}

// --- Waiting ---------------------------------------------------------------------------------

wait_answer child_cancel_watch(task *t, void *arg) {
  (void)arg;
  list_remove(&t->wlink);
  return WAIT_STOPPED;
}

// Asked also when the time limit has passed, or when the wait could not begin.
wait_answer child_cancel_own(task *t, void *arg) {
  if (t->state != TASK_WAITING || !t->in || !t->in->by) return child_cancel_watch(t, arg);
  child_stop(arg);
  return WAIT_CANNOT_STOP;
}

wait_answer child_cancel_close(task *t, void *arg) {
  (void)t;
  (void)arg;
  return WAIT_CANNOT_STOP;
}

void child_describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  const child *c = arg;
  snprintf(buf, n, "%d (%s)", (int)c->pid, c->name);
}

int child_wait(lua_State *L, child *c, uint64_t when, const wait_ops *ops) {
  if (c->is_over) return ops->done(L, c, 0);
  wait_check(L);
  uv_ref((uv_handle_t *)&c->watch);
  list_push(&c->waiters, &task_current(L)->wlink);
  return wait_begin_until(L, ops, c, when);
}
