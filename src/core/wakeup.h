// SPDX-License-Identifier: MIT
// Wakeup: how other threads have a loop look at what they left for it. uv_async would do, but its
// receiver spins until the sender is through with its call (libuv 1.44, uv__async_io), which costs
// more than half of a round trip between two threads; and nothing needs to be written to a loop
// that is awake and will look by itself. A runtime that waits for other threads alone need not
// poll: it dozes on a futex (elsewhere on the descriptor), which costs half the system calls, and
// before that it looks out for what is about to come, for as long as a sleep and its end would
// take. Owns an eventfd (elsewhere a pipe). Invariant: what was left before wakeup_send is looked
// at before the loop sleeps again.
#ifndef CORE_WAKEUP_H
#define CORE_WAKEUP_H

#include <stdatomic.h>
#include <uv.h>

#include "base/lookout.h"

typedef struct wakeup {
  uv_poll_t poll;  // unreferenced
  int in, out;
  atomic_int state;
  lookout ahead;                    // [loop]
  int has_company;                  // other threads can run at the same time
  void (*woken)(struct wakeup *w);  // called when a sleeping loop was woken
} wakeup;

// Open one for a loop that is awake; `poll.data` is the caller's. [loop] Answers 0 or a negative
// libuv code.
int wakeup_open(wakeup *w, uv_loop_t *loop, void (*woken)(wakeup *w));

// Have the loop look. [any, signal handlers too, but errno is lost] The wakeup must live until the
// call is over.
void wakeup_send(wakeup *w);

// The loop is about to sleep, in uv_run. [loop] Answers 0 if it must look first.
int wakeup_sleep(wakeup *w);

// Sleep outside of uv_run until wakeup_send, or for `ns` nanoseconds, WAKEUP_NEVER for ever; with
// `eager` look out for it before. [loop]
#define WAKEUP_NEVER UINT64_MAX
void wakeup_doze(wakeup *w, uint64_t ns, int eager);

// The loop sleeps no more, or never did. [loop] Answers whether it must look.
int wakeup_rise(wakeup *w);

// Give back what it owns, once `poll` was closed. [loop]
void wakeup_fini(wakeup *w);

#endif
