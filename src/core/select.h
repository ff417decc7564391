// SPDX-License-Identifier: MIT
// Select: one task that waits for the first of several operations. A selection and its cases live
// in a userdata on the stack of the coroutine that waits. Runs on the loop thread.
#ifndef CORE_SELECT_H
#define CORE_SELECT_H

#include "core/waitable.h"

// Decide a waiting select for the case `w`: all its cases leave their queues. [loop] Must not run
// Lua.
void select_decide(selection *s, waiter *w);

#endif
