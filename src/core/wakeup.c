// SPDX-License-Identifier: MIT
// Wakeups. See wakeup.h.
#include "core/wakeup.h"

#include <errno.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

// DOZING: on the condition; CALLED: awake, and must look before it sleeps.
enum { ASLEEP, DOZING, AWAKE, CALLED };

#define LOOK_OUT_NS 20000  // about what it costs to fall asleep and to be woken
#define PAUSES 16          // between two looks at the clock
#define MOST_SKIPPED 255

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

static void on_readable(uv_poll_t *h, int status, int events) {
  wakeup *w = (wakeup *)(void *)h;
  uint64_t n;
  (void)status;
  (void)events;
  while (read(w->in, &n, sizeof n) < 0 && errno == EINTR) continue;
  w->woken(w);
}

static int open_condition(wakeup *w) {
  int rc = uv_mutex_init(&w->lock);
  if (rc < 0) return rc;
  rc = uv_cond_init(&w->called);
  if (rc < 0) uv_mutex_destroy(&w->lock);
  return rc;
}

int wakeup_open(wakeup *w, uv_loop_t *loop, void (*woken)(wakeup *w)) {
  int rc = open_condition(w);
  if (rc < 0) return rc;
  rc = open_ends(w);
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
  const uint64_t one = 1;
  int before = atomic_exchange(&w->state, CALLED);
  if (before == ASLEEP) {
    while (write(w->out, &one, sizeof one) < 0 && errno == EINTR) continue;
  } else if (before == DOZING) {
    uv_mutex_lock(&w->lock);  // it is between its last look and its sleep, or sleeps
    uv_mutex_unlock(&w->lock);
    uv_cond_signal(&w->called);
  }
}

int wakeup_sleep(wakeup *w) {
  int awake = AWAKE;
  return atomic_compare_exchange_strong(&w->state, &awake, ASLEEP);
}

static inline void pause_a_moment(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int is_called(wakeup *w) {
  return atomic_load_explicit(&w->state, memory_order_relaxed) == CALLED;
}

// Stay awake for a short while, as an answer often comes at once: sleeping costs both sides more
// than that. What was in vain is not done the next times, ever more of them, so that waits which
// last longer cost next to nothing.
static int look_out(wakeup *w) {
  if (!w->has_company) return is_called(w);
  if (w->skip) {
    w->skip--;
    return is_called(w);
  }
  for (uint64_t end = uv_hrtime() + LOOK_OUT_NS; uv_hrtime() < end;) {
    for (int i = 0; i < PAUSES; i++) {
      if (is_called(w)) {
        w->vain = 0;
        return 1;
      }
      pause_a_moment();
    }
  }
  w->vain = 2 * w->vain + 1 < MOST_SKIPPED ? 2 * w->vain + 1 : MOST_SKIPPED;
  w->skip = w->vain;
  return 0;
}

void wakeup_doze(wakeup *w, uint64_t ns, int eager) {
  int awake = AWAKE;
  if (eager && look_out(w)) return;
  uint64_t end = ns == WAKEUP_NEVER ? 0 : uv_hrtime() + ns;
  uv_mutex_lock(&w->lock);
  atomic_compare_exchange_strong(&w->state, &awake, DOZING);
  while (atomic_load(&w->state) == DOZING) {
    if (ns == WAKEUP_NEVER) {
      uv_cond_wait(&w->called, &w->lock);
      continue;
    }
    uint64_t now = uv_hrtime();
    if (now >= end || uv_cond_timedwait(&w->called, &w->lock, end - now) == UV_ETIMEDOUT) break;
  }
  uv_mutex_unlock(&w->lock);
}

int wakeup_rise(wakeup *w) {
  return atomic_exchange(&w->state, AWAKE) == CALLED;
}

void wakeup_fini(wakeup *w) {
  if (w->in >= 0) close(w->in);
  if (w->out != w->in) close(w->out);
  uv_cond_destroy(&w->called);
  uv_mutex_destroy(&w->lock);
}
