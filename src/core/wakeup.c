// SPDX-License-Identifier: MIT
// Wakeups. See wakeup.h.
#include "core/wakeup.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

// ASLEEP: in uv_run; DOZING: outside of it; CALLED: awake, and must look before it sleeps.
enum { ASLEEP, DOZING, AWAKE, CALLED };

#define LOOK_OUT_NS 20000  // about what it costs to fall asleep and to be woken
#define PAUSES 16          // between two looks at the clock

static int open_ends(wakeup *w) {
#ifdef __linux__
  w->in = w->out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return w->in < 0 ? uv_translate_sys_error(errno) : 0;
#else
  uv_file ends[2] = {-1, -1};
  int rc = uv_pipe(ends, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
  w->in = ends[0];
  w->out = ends[1];
  return rc;
#endif
}

static void ring(wakeup *w) {
  const uint64_t one = 1;
  while (write(w->out, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void hush(wakeup *w) {
  uint64_t n;
  while (read(w->in, &n, sizeof n) < 0 && errno == EINTR) continue;
}

static void on_readable(uv_poll_t *h, int status, int events) {
  wakeup *w = (wakeup *)(void *)h;
  (void)status;
  (void)events;
  hush(w);
  w->woken(w);
}

// A loop that dozes sleeps on the state itself where the system has that. No lock and no condition:
// whoever wakes it may be the handler of a signal, on the very thread that dozes. The sanitizer of
// threads holds signals back during system calls that it does not know.
#if defined(SYS_futex) && !defined(__SANITIZE_THREAD__)
_Static_assert(sizeof(atomic_int) == 4, "a futex is a word of 32 bits");

static void rouse(wakeup *w) {
  syscall(SYS_futex, &w->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void nap(wakeup *w, uint64_t ns) {
  uint64_t s = ns / 1000000000;
  long time[] = {s < INT_MAX ? (long)s : INT_MAX, (long)(ns % 1000000000)};  // as the call has it
  syscall(SYS_futex, &w->state, FUTEX_WAIT_PRIVATE, DOZING, ns == WAKEUP_NEVER ? NULL : time, NULL,
          0);
}
#else
static void rouse(wakeup *w) {
  ring(w);
}

static void nap(wakeup *w, uint64_t ns) {
  struct pollfd p = {.fd = w->in, .events = POLLIN};
  uint64_t ms = ns / 1000000 + 1;
  if (poll(&p, 1, ns == WAKEUP_NEVER ? -1 : ms < INT_MAX ? (int)ms : INT_MAX) > 0) hush(w);
}
#endif

int wakeup_open(wakeup *w, uv_loop_t *loop, void (*woken)(wakeup *w)) {
  int rc = open_ends(w);
  atomic_store(&w->state, AWAKE);
  w->woken = woken;
  w->has_company = uv_available_parallelism() > 1;
  if (rc == 0) rc = uv_poll_init(loop, &w->poll, w->in);
  if (rc < 0) {
    wakeup_fini(w);
    return rc;
  }
  uv_unref((uv_handle_t *)&w->poll);
  return uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

void wakeup_send(wakeup *w) {
  int before = atomic_exchange(&w->state, CALLED);
  if (before == ASLEEP)
    ring(w);
  else if (before == DOZING)
    rouse(w);
}

int wakeup_sleep(wakeup *w) {
  int awake = AWAKE;
  return atomic_compare_exchange_strong(&w->state, &awake, ASLEEP);
}

static int is_called(wakeup *w) {
  return atomic_load_explicit(&w->state, memory_order_relaxed) == CALLED;
}

// Stay awake for a moment. Answers whether it must look.
static int look_out(wakeup *w) {
  if (!w->has_company || !lookout_begin(&w->ahead)) return is_called(w);
  for (uint64_t end = uv_hrtime() + LOOK_OUT_NS; uv_hrtime() < end;) {
    for (int i = 0; i < PAUSES; i++) {
      if (is_called(w)) {
        lookout_end(&w->ahead, 1);
        return 1;
      }
      lookout_pause();
    }
  }
  lookout_end(&w->ahead, 0);
  return 0;
}

void wakeup_doze(wakeup *w, uint64_t ns, int eager) {
  int awake = AWAKE;
  if (eager && look_out(w)) return;
  uint64_t end = ns == WAKEUP_NEVER ? 0 : uv_hrtime() + ns;
  atomic_compare_exchange_strong(&w->state, &awake, DOZING);
  while (atomic_load(&w->state) == DOZING) {
    if (ns == WAKEUP_NEVER) {
      nap(w, WAKEUP_NEVER);
      continue;
    }
    uint64_t now = uv_hrtime();
    if (now >= end) break;
    nap(w, end - now);
  }
}

int wakeup_rise(wakeup *w) {
  return atomic_exchange(&w->state, AWAKE) == CALLED;
}

void wakeup_fini(wakeup *w) {
  if (w->in >= 0) close(w->in);
  if (w->out != w->in) close(w->out);
}
