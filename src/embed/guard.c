// SPDX-License-Identifier: MIT
// Guards. See guard.h.
#include "embed/guard.h"

#include <pthread.h>
#include <time.h>

#include "core/host.h"

static const int numbers[] = {SIGPIPE, SIGXFSZ};

static void look(int pending[2]) {
  sigset_t set;
  sigpending(&set);
  for (int i = 0; i < 2; i++) pending[i] = sigismember(&set, numbers[i]);
}

// Take a signal that is pending; others of the process may have been faster.
static void take(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
#ifdef __APPLE__
  sigwait(&set, &number);
#else
  const struct timespec at_once = {0};
  sigtimedwait(&set, NULL, &at_once);
#endif
}

void guard_enter(guard *g, rt *r) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < 2; i++) sigaddset(&set, numbers[i]);
  pthread_sigmask(SIG_BLOCK, &set, &g->mask);
  look(g->was_pending);
  g->outer = host_switch(r);
}

void guard_leave(const guard *g) {
  int pending[2];
  host_switch(g->outer);
  look(pending);
  for (int i = 0; i < 2; i++)
    if (pending[i] && !g->was_pending[i]) take(numbers[i]);
  pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
}
