// SPDX-License-Identifier: MIT
// Threads of the system that nobody joins. Any thread; owns nothing.
#ifndef BASE_OSTHREAD_H
#define BASE_OSTHREAD_H

// Start a thread in which signals are blocked, for they are for the loops' threads; all but
// `unblocked`, if that is not 0. [any] Answers 0 or an errno number such as EAGAIN.
int osthread_start(void *(*run)(void *), void *arg, int unblocked);

// Give the calling thread a table of descriptors of its own, in which there are only these two.
// While no two threads share one, Linux counts no references to files: calls with descriptors are
// some 2 % faster then (man 2 close_range, fs/file.c). Does nothing where the system cannot.
void osthread_keep_only(int fd, int other);

#endif
