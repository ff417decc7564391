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

// Post a letter that is not under way. [any] The runtime must not be closed before the letter has
// come: it waits for what posts it, or that holds a lock without which it cannot go.
void mail_post(rt *r, letter *l);

// The same for several, in the place of which the last stands first: linked by `next` from `newest`
// to `oldest`. The loop is woken once. [any]
void mail_post_all(rt *r, letter *newest, letter *oldest);

// Keep the runtime from closing until mail_wake; for a loop that is to be woken once a lock is let
// go, under which it was found: it would run into that at once. [any]
void mail_hold(rt *r);

// Have the loop of a runtime that is held look, and let go of it. [any]
void mail_wake(rt *r);

// Wait until nobody is still busy with posting what has come already. [loop, when it closes]
void mail_settle(rt *r);

// Deliver what has come. [loop] Must not run Lua.
void mail_deliver(rt *r);

#endif
