// SPDX-License-Identifier: MIT
// Guards. See guard.h.
#include "embed/guard.h"

#include <pthread.h>

#include "core/host.h"

void guard_enter(guard *g, rt *r) {
  sigset_t set;
  writesigs_set(&set);
  pthread_sigmask(SIG_BLOCK, &set, &g->mask);
  writesigs_look(g->were_pending);
  g->outer = host_switch(r);
}

void guard_leave(const guard *g) {
  host_switch(g->outer);
  writesigs_forget(g->were_pending);
  pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
}
