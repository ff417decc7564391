// SPDX-License-Identifier: MIT
// Mail: how another thread has a function called on a runtime's loop. A letter is part of an object
// of the caller's; it can be posted again once it has been delivered. Invariant: what is posted is
// delivered exactly once, at the latest when the runtime is closed.
#ifndef CORE_MAIL_H
#define CORE_MAIL_H

#include "core/types.h"

typedef struct letter {
  struct letter *next;
  void (*deliver)(struct letter *l);  // on the loop; must not run Lua, may free the letter
} letter;

// Post a letter that is not under way. The runtime must be alive: who posts holds a lock without
// which it cannot go. [any]
void mail_post(rt *r, letter *l);

// Deliver what has come. [loop] Must not run Lua.
void mail_deliver(rt *r);

#endif
