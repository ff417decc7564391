// SPDX-License-Identifier: MIT
// Host. See host.h. The watchdog ticks while steps run, compares step counters, parks when all is
// quiet, and is woken through a pipe (writing to one is allowed in a signal handler).
#include "core/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/osthread.h"
#include "base/uvpool.h"
#include "core/runtime.h"
#include "core/trace.h"

#define SIGNALS 65  // numbers of signals are below
#define TICK_MS 10
#define QUIET_TICKS 10
#define MS 1000000u
#define SECOND (1000 * (uint64_t)MS)
#define OVERDUE (15 * MS)  // a step may outlive its cancellation by 20 ms; a tick sees it later
#define CLEANUP (40 * MS)  // and its clean-up may take this much
#define SLOW (100 * MS)    // what --dev warns about

typedef struct watched {
  struct watched *next;
  rt *r;
  pthread_t thread;
  clockid_t clock;  // of the thread's processor time
  int has_clock;
  uint64_t step, since;  // the step seen last, when it was first seen
  uint64_t limit, used;  // the limit that it oversteps, 0 for none; time used when that began
  int reported;
} watched;

static struct {
  pthread_mutex_t lock;
  pthread_once_t once;
  watched *list;
  _Atomic(rt *) owner;  // of the signals
  int started, pipe[2];
  int kept;  // what the watchdog wakes the program's only runtime by, -1: it shares all descriptors
  atomic_int parked, stops, quits, signal;
  atomic_int has_pool;  // libuv's threads run, or can
  struct sigaction old_urg, old_int, old_term, old_hup, old_quit, old_pipe;
  atomic_int tty;  // 0: no mode to restore, 1: being written, 2: there is one
  int tty_fd, tty_at_exit;
  struct termios tty_mode;
  struct {
    int users;  // handles of libuv
    struct sigaction action;
  } listened[SIGNALS];
} host = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static _Thread_local rt *current;

static work_pool works = WORK_POOL_INIT;

static struct {
  rlim_t first, raised;  // the soft limit at the start, and since; 0 when it was not raised
  pthread_mutex_t lock;  // held while a program is started with the first
} descriptors = {.lock = PTHREAD_MUTEX_INITIALIZER};

int host_check_pool(void) {
  int rc = atomic_load(&host.has_pool) ? 0 : uvpool_try();
  if (rc == 0) atomic_store(&host.has_pool, 1);
  return rc;
}

work_pool *host_work_pool(void) {
  return &works;
}

// --- The terminal ----------------------------------------------------------------------------

int host_keep_tty(int fd, const struct termios *before) {
  int none = 0;
  if (!atomic_compare_exchange_strong(&host.tty, &none, 1)) return UV_EBUSY;
  if (!host.tty_at_exit) host.tty_at_exit = atexit(host_restore_tty) == 0;  // for os.exit
  host.tty_fd = fd;
  host.tty_mode = *before;
  atomic_store(&host.tty, 2);
  return 0;
}

void host_restore_tty(void) {
  int kept = 2, saved = errno;
  if (!atomic_compare_exchange_strong(&host.tty, &kept, 1)) return;
  pid_t front = tcgetpgrp(host.tty_fd);  // -1: not the one that controls us, nobody will stop us
  if (front < 0 || front == getpgrp()) {
    while (tcsetattr(host.tty_fd, TCSANOW, &host.tty_mode) < 0 && errno == EINTR) continue;
  }
  atomic_store(&host.tty, 0);
  errno = saved;
}

// --- Signals ---------------------------------------------------------------------------------

static void nudge(void) {
  int saved = errno;
  if (write(host.pipe[1], "", 1) < 0) errno = 0;  // full: the watchdog is awake anyway
  errno = saved;
}

static void on_stop(int sig) {
  if (atomic_fetch_add(&host.stops, 1) > 0) {
    host_restore_tty();
    _exit(128 + sig);
  }
  atomic_store(&host.signal, sig);
  nudge();
}

// Whoever read our standard output has gone: end like other programs then, but after clean-up.
static void stop_by_pipe(void) {
  int none = 0;
  if (!atomic_compare_exchange_strong(&host.stops, &none, 1)) return;
  atomic_store(&host.signal, SIGPIPE);
  nudge();
}

// The signal does not say which descriptor it is about. What print and io.write do is the script's
// own step on its thread, outside the streams; only there a broken standard output is to blame. For
// all else the error of the call is enough.
static void on_pipe(int sig) {
  int saved = errno;
  rt *r = current;
  struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
  (void)sig;
  if (r && !r->sending && atomic_load(&r->intr.running) && poll(&out, 1, 0) > 0 &&
      out.revents & (POLLERR | POLLHUP))
    stop_by_pipe();
  errno = saved;
}

void host_output_gone(const rt *r) {
  pthread_mutex_lock(&host.lock);
  int ends = r == host.owner && !r->opts.is_embedded && !host.listened[SIGPIPE].users;
  pthread_mutex_unlock(&host.lock);
  if (ends) stop_by_pipe();
}

static void on_quit(int sig) {
  (void)sig;
  atomic_fetch_add(&host.quits, 1);
  nudge();
}

static void on_urg(int sig, siginfo_t *info, void *context) {
  rt *r = current;
  if (r && atomic_load(&r->intr.flags)) interrupt_arm(r);
  if (host.old_urg.sa_flags & SA_SIGINFO) {
    if (host.old_urg.sa_sigaction) host.old_urg.sa_sigaction(sig, info, context);
  } else if (host.old_urg.sa_handler != SIG_DFL && host.old_urg.sa_handler != SIG_IGN) {
    host.old_urg.sa_handler(sig);
  }
}

// The sanitizer of threads holds signals back until the next call that it intercepts, which a loop
// of Lua never makes: its build asks the kernel itself (S28).
#if defined(__SANITIZE_THREAD__) && defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>

typedef struct kernel_sigaction {  // as in the kernel's asm/signal.h
  void (*handler)(int, siginfo_t *, void *);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
} kernel_sigaction;

void host_sigreturn(void);
__asm__(".text\n.type host_sigreturn, @function\nhost_sigreturn:\n  mov $15, %rax\n  syscall\n");

static void install(int sig, const struct sigaction *action, struct sigaction *old) {
  unsigned long flags = (unsigned)action->sa_flags | 0x04000000 /* SA_RESTORER */;
  kernel_sigaction sa = {action->sa_sigaction, flags, host_sigreturn, 0};
  if (old) sigaction(sig, NULL, old);
  syscall(SYS_rt_sigaction, sig, &sa, NULL, sizeof sa.mask);
}
#else
static void install(int sig, const struct sigaction *action, struct sigaction *old) {
  sigaction(sig, action, old);
}
#endif

// Set what a signal does, now or once no script listens to it any more. The lock is held.
static void set_action(int sig, const struct sigaction *action, struct sigaction *old) {
  if (!host.listened[sig].users) {
    install(sig, action, old);
    return;
  }
  if (old) *old = host.listened[sig].action;
  host.listened[sig].action = *action;
}

static void take_urg(void) {
  struct sigaction sa, old;
  memset(&sa, 0, sizeof sa);
  sa.sa_sigaction = on_urg;
  sa.sa_flags = SA_RESTART | SA_SIGINFO;
  sigemptyset(&sa.sa_mask);
  install(SIGURG, &sa, &old);
  if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_urg) host.old_urg = old;
}

static void handle(int sig, void (*fn)(int), struct sigaction *old) {
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = fn;
  sa.sa_flags = SA_RESTART;
  sigemptyset(&sa.sa_mask);
  set_action(sig, &sa, old);
}

// In another program SIGPIPE is blocked where scripts run.
static void take_signals(void) {
  handle(SIGINT, on_stop, &host.old_int);
  handle(SIGTERM, on_stop, &host.old_term);
  handle(SIGHUP, on_stop, &host.old_hup);
  if (host.old_hup.sa_handler == SIG_IGN) set_action(SIGHUP, &host.old_hup, NULL);  // nohup
  handle(SIGQUIT, on_quit, &host.old_quit);
  if (!host.owner->opts.is_embedded) handle(SIGPIPE, on_pipe, &host.old_pipe);
}

static void give_signals_back(void) {
  set_action(SIGINT, &host.old_int, NULL);
  set_action(SIGTERM, &host.old_term, NULL);
  set_action(SIGHUP, &host.old_hup, NULL);
  set_action(SIGQUIT, &host.old_quit, NULL);
  if (!host.owner->opts.is_embedded) set_action(SIGPIPE, &host.old_pipe, NULL);
}

void host_listen(int number) {
  pthread_mutex_lock(&host.lock);
  if (host.listened[number].users++ == 0) sigaction(number, NULL, &host.listened[number].action);
  pthread_mutex_unlock(&host.lock);
}

void host_unlisten(int number) {
  struct sigaction now;
  pthread_mutex_lock(&host.lock);
  if (--host.listened[number].users == 0) {
    sigaction(number, NULL, &now);  // libuv itself may still use it: SIGCHLD for processes
    if (now.sa_handler == SIG_DFL) sigaction(number, &host.listened[number].action, NULL);
  }
  pthread_mutex_unlock(&host.lock);
}

int host_signal(void) {
  return atomic_load(&host.signal);
}

void host_die(int sig) {
  host_restore_tty();
  signal(sig, SIG_DFL);
  raise(sig);
  _exit(128 + sig);
}

void host_ask(rt *r) {
  atomic_fetch_add(&r->intr.asks, 1);
  wakeup_send(&r->wakeup);
}

void host_deliver(rt *r) {
  if (r->on_wakeup) {
    atomic_store(&r->intr.asks_seen, atomic_load(&r->intr.asks));
    r->on_wakeup(r);
  }
  if (r != host.owner) return;
  int stops = atomic_load(&host.stops), sig = atomic_load(&host.signal);
  if (!stops || sig) atomic_store(&r->intr.stops_seen, stops);  // else the handler is not through
  if (stops && sig && !r->stopped_by) {
    r->stopped_by = sig;
    rt_stop(r, -1);
  }
  int quits = atomic_load(&host.quits);
  if (atomic_exchange(&r->intr.quits_seen, quits) != quits) trace_tree(r);
}

// --- The watchdog ----------------------------------------------------------------------------

static void interrupt_step(watched *w, int flag) {
  atomic_store(&w->r->intr.target, w->step);
  atomic_fetch_or(&w->r->intr.flags, flag);
  pthread_kill(w->thread, SIGURG);
}

// The processor time that the loop thread has used, where that can be known, else the time.
static uint64_t time_used(const watched *w, uint64_t now) {
#ifdef __APPLE__
  (void)w;
#else
  struct timespec t;
  if (w->has_clock && clock_gettime(w->clock, &t) == 0)
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
#endif
  return now;
}

// The step that runs has gone on since the last tick: interrupt it if it is overdue. First to raise
// once; when it was raised already for the same limit in the same step, to insist (S23).
static void press_step(watched *w, uint64_t now, int stop) {
  interrupt *in = &w->r->intr;
  uint64_t limit = atomic_load_explicit(&in->limit, memory_order_relaxed);
  int due = stop || limit <= now;
  if (!due && !w->limit) return;
  uint64_t used = time_used(w, now);
  int pending = (atomic_load(&in->flags) & INTR_RAISE) != 0;  // a C function runs
  if (!due || limit != w->limit || pending) {
    w->limit = due ? limit : 0;
    w->used = used;
    if (due && pending) interrupt_step(w, INTR_RAISE);
    return;
  }
  int again = atomic_load(&in->raised_step) == w->step && atomic_load(&in->raised_limit) == limit;
  if (used < w->used + (again ? CLEANUP : OVERDUE)) return;
  w->used = used;
  interrupt_step(w, again ? INTR_INSIST : stop ? INTR_RAISE | INTR_STOP : INTR_RAISE);
}

static void inspect_step(watched *w, uint64_t now, int stop, int quit) {
  press_step(w, now, stop);
  if (w->r->opts.dev && !w->reported && now >= w->since + SLOW) {
    w->reported = 1;
    interrupt_step(w, INTR_REPORT);
  }
  if (quit) interrupt_step(w, INTR_TREE);
}

// Look at one runtime; answer whether it is busy.
static int inspect(watched *w, uint64_t now) {
  rt *r = w->r;
  int stop = atomic_load(&r->intr.asks) != atomic_load(&r->intr.asks_seen), quit = 0;
  int busy = atomic_load(&r->intr.busy);
  if (r == host.owner) {
    stop |= atomic_load(&host.stops) != atomic_load(&r->intr.stops_seen);
    quit = atomic_load(&host.quits) != atomic_load(&r->intr.quits_seen);
    if (stop || quit) wakeup_send(&r->wakeup);
  }
  uint64_t step = atomic_load_explicit(&r->intr.steps, memory_order_relaxed);
  if (step != w->step || !atomic_load_explicit(&r->intr.running, memory_order_relaxed)) {
    w->step = step;
    w->since = now;
    w->limit = 0;
    w->reported = 0;
  } else {
    inspect_step(w, now, stop, quit);
  }
  return busy || stop || quit;
}

static int inspect_all(void) {
  int busy = 0;
  uint64_t now = uv_hrtime();
  pthread_mutex_lock(&host.lock);
  for (watched *w = host.list; w; w = w->next) busy |= inspect(w, now);
  pthread_mutex_unlock(&host.lock);
  return busy;
}

static void *watch(void *arg) {
  (void)arg;
  if (host.kept >= 0) osthread_keep_only(host.pipe[0], host.kept);
  struct pollfd p = {.fd = host.pipe[0], .events = POLLIN};
  char drop[64];
  int quiet = 0;
  for (;;) {
    if (poll(&p, 1, quiet >= QUIET_TICKS ? -1 : TICK_MS) > 0) {
      while (read(host.pipe[0], drop, sizeof drop) == sizeof drop) continue;
      quiet = 0;
    }
    quiet = inspect_all() ? 0 : quiet + 1;
    if (quiet < QUIET_TICKS) continue;
    atomic_store(&host.parked, 1);
    if (inspect_all()) {
      atomic_store(&host.parked, 0);
      quiet = 0;
    }
  }
  return NULL;
}

void host_unpark(void) {
  if (atomic_load(&host.parked) && atomic_exchange(&host.parked, 0)) nudge();
}

// Start the watchdog thread, once in a process; without one there are only checkpoints.
static int start(const rt *r) {
  if (host.started) return 0;
  if (pipe(host.pipe) < 0) return -1;
  for (int i = 0; i < 2; i++) {
    fcntl(host.pipe[i], F_SETFD, FD_CLOEXEC);
    fcntl(host.pipe[i], F_SETFL, O_NONBLOCK);
  }
  host.kept = r->opts.own_signals && !r->opts.is_embedded ? r->wakeup.out : -1;
  if (osthread_start(watch, NULL, 0) != 0) {
    close(host.pipe[0]);
    close(host.pipe[1]);
    return -1;
  }
  take_urg();
  host.started = 1;
  return 0;
}

// Forget the signals that ended what ran before.
static void forget_signals(rt *r) {
  atomic_store(&host.stops, 0);
  atomic_store(&host.signal, 0);
  atomic_store(&r->intr.stops_seen, 0);
  atomic_store(&r->intr.quits_seen, atomic_load(&host.quits));
}

// In the child of a fork there is none of our threads. Runtimes of the parent are not touched there
// any more; new ones find all as in a new process.
static void on_fork(void) {
  pthread_mutex_init(&host.lock, NULL);
  pthread_mutex_init(&descriptors.lock, NULL);
  works = (work_pool)WORK_POOL_INIT;
  if (host.owner) give_signals_back();
  host.owner = NULL;
  host.list = NULL;
  if (!host.started) return;
  host.started = 0;
  atomic_store(&host.parked, 0);
  close(host.pipe[0]);
  close(host.pipe[1]);
  host.pipe[0] = host.pipe[1] = -1;
}

static void watch_forks(void) {
  pthread_atfork(NULL, NULL, on_fork);
}

void host_prepare(void) {
  pthread_once(&host.once, watch_forks);
}

void host_enter(rt *r) {
  if (r->opts.no_interrupts) return;
  watched *w = calloc(1, sizeof *w);
  pthread_mutex_lock(&host.lock);
  if (w && start(r) == 0) {
    w->r = r;
    w->thread = pthread_self();
#ifndef __APPLE__
    w->has_clock = pthread_getcpuclockid(w->thread, &w->clock) == 0;
#endif
    w->next = host.list;
    host.list = w;
    if (r->opts.own_signals && !host.owner) {
      host.owner = r;
      forget_signals(r);
      take_signals();
    }
  } else {
    free(w);
  }
  pthread_mutex_unlock(&host.lock);
}

rt *host_current(void) {
  return current;
}

rt *host_switch(rt *r) {
  rt *before = current;
  current = r;
  return before;
}

void host_leave(rt *r) {
  if (r->opts.no_interrupts) return;
  pthread_mutex_lock(&host.lock);
  for (watched **p = &host.list; *p; p = &(*p)->next) {
    if ((*p)->r != r) continue;
    watched *w = *p;
    *p = w->next;
    free(w);
    break;
  }
  if (host.owner == r) {
    give_signals_back();
    host.owner = NULL;
  }
  pthread_mutex_unlock(&host.lock);
}

// --- Descriptors -----------------------------------------------------------------------------

void host_raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  rlim_t soft = limit.rlim_cur, most = limit.rlim_max;
#ifdef OPEN_MAX  // macOS takes no more, whatever the hard limit says
  if (most > OPEN_MAX) most = OPEN_MAX;
#endif
  if (most <= soft) return;
  limit.rlim_cur = most;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  descriptors.first = soft;
  descriptors.raised = most;
}

static void limit_descriptors(rlim_t soft) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = soft;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void host_lend_descriptors(void) {
  if (!descriptors.raised) return;
  pthread_mutex_lock(&descriptors.lock);
  limit_descriptors(descriptors.first);
}

void host_take_descriptors(void) {
  if (!descriptors.raised) return;
  limit_descriptors(descriptors.raised);
  pthread_mutex_unlock(&descriptors.lock);
}

int host_await_descriptors(void) {
  if (!descriptors.raised) return 0;
  pthread_mutex_lock(&descriptors.lock);
  pthread_mutex_unlock(&descriptors.lock);
  return 1;
}
