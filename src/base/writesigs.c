// SPDX-License-Identifier: MIT
// The signals of writes that fail. See writesigs.h.
#include "base/writesigs.h"

#include <time.h>

static const int numbers[WRITESIGS] = {SIGPIPE, SIGXFSZ};

void writesigs_set(sigset_t *set) {
  sigemptyset(set);
  for (int i = 0; i < WRITESIGS; i++) sigaddset(set, numbers[i]);
}

void writesigs_members(const sigset_t *set, int are_in[WRITESIGS]) {
  for (int i = 0; i < WRITESIGS; i++) are_in[i] = sigismember(set, numbers[i]);
}

void writesigs_look(int pending[WRITESIGS]) {
  sigset_t set;
  sigpending(&set);
  writesigs_members(&set, pending);
}

// Take a signal that is pending; if it was the process's, another thread may have been faster.
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

void writesigs_forget(const int spared[WRITESIGS]) {
  int pending[WRITESIGS];
  writesigs_look(pending);
  for (int i = 0; i < WRITESIGS; i++)
    if (pending[i] && !spared[i]) take(numbers[i]);
}
