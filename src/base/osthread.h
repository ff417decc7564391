// SPDX-License-Identifier: MIT
// Threads of the system that nobody joins. Any thread; owns nothing.
#ifndef BASE_OSTHREAD_H
#define BASE_OSTHREAD_H

// Start a thread in which signals are blocked, for they are for the loops' threads; all but
// `unblocked`, if that is not 0. [any] Answers 0 or an errno number such as EAGAIN.
int osthread_start(void *(*run)(void *), void *arg, int unblocked);

#endif
