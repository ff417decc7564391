// SPDX-License-Identifier: MIT
// Guards: while a function of a runtime in another program runs, the signals of writes that fail
// (SIGPIPE, SIGXFSZ) are blocked in its thread and then forgotten, since each is an error of the
// write; and the thread is known to run that runtime. Nothing of the process is changed.
#ifndef EMBED_GUARD_H
#define EMBED_GUARD_H

#include <signal.h>

#include "base/writesigs.h"
#include "core/types.h"

typedef struct guard {
  rt *outer;      // what the thread ran before
  sigset_t mask;  // of the thread before
  int were_pending[WRITESIGS];
} guard;

// This thread begins to run `r`. [loop]
void guard_enter(guard *g, rt *r);

// It is through. [loop] Of the same thread; the runtime may be gone.
void guard_leave(const guard *g);

#endif
