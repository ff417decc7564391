// SPDX-License-Identifier: MIT
// The signals of writes that fail: SIGPIPE and SIGXFSZ. They are sent to the thread that writes, so
// a thread that blocks them has only the error of the call, and a signal to be forgotten. Owns
// nothing.
#ifndef BASE_WRITESIGS_H
#define BASE_WRITESIGS_H

#include <signal.h>

#define WRITESIGS 2

// Make the set of them. [any]
void writesigs_set(sigset_t *set);

// Say which of them are in a set. [any]
void writesigs_members(const sigset_t *set, int are_in[WRITESIGS]);

// Say which are pending. [any]
void writesigs_look(int pending[WRITESIGS]);

// Forget those that are pending, but for the spared. [any] They must be blocked.
void writesigs_forget(const int spared[WRITESIGS]);

#endif
