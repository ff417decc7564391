// SPDX-License-Identifier: MIT
// Names of signals, all that a process can be sent or end by. Owns nothing.
#ifndef SYS_SIGNAME_H
#define SYS_SIGNAME_H

// The number of the signal called `name` ("SIGTERM", "TERM"), 0 when there is none. [any]
int signame_number(const char *name);

// The name of a signal, NULL when it has none (those for real time). [any]
const char *signame_of(int number);

#endif
