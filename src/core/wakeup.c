// SPDX-License-Identifier: MIT
// Wakeups. See wakeup.h.
#include "core/wakeup.h"

#include <errno.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

// CALLED: awake, and must look before it sleeps.
enum { ASLEEP, AWAKE, CALLED };

static int open_ends(wakeup *w) {
#ifdef __linux__
  w->in = w->out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return w->in < 0 ? uv_translate_sys_error(errno) : 0;
#else
  uv_file ends[2];
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

int wakeup_open(wakeup *w, uv_loop_t *loop, void (*woken)(wakeup *w)) {
  int rc = open_ends(w);
  if (rc < 0) return rc;
  atomic_store(&w->state, AWAKE);
  w->woken = woken;
  rc = uv_poll_init(loop, &w->poll, w->in);
  if (rc < 0) {
    wakeup_fini(w);
    return rc;
  }
  uv_unref((uv_handle_t *)&w->poll);
  return uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

void wakeup_send(wakeup *w) {
  const uint64_t one = 1;
  if (atomic_exchange(&w->state, CALLED) != ASLEEP) return;
  while (write(w->out, &one, sizeof one) < 0 && errno == EINTR) continue;
}

int wakeup_sleep(wakeup *w) {
  int awake = AWAKE;
  return atomic_compare_exchange_strong(&w->state, &awake, ASLEEP);
}

int wakeup_rise(wakeup *w) {
  return atomic_exchange(&w->state, AWAKE) == CALLED;
}

void wakeup_fini(wakeup *w) {
  close(w->in);
  if (w->out != w->in) close(w->out);
}
