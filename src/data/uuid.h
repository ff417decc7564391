// SPDX-License-Identifier: MIT
// Universally unique identifiers (RFC 9562) from the system's random numbers. Any thread.
#ifndef DATA_UUID_H
#define DATA_UUID_H

#define UUID_SIZE 36  // characters

// Write a version 4 (random) or 7 (ordered by time, to some hundred nanoseconds) identifier; no
// zero byte is added. [any] Answers 0 or a negative libuv code.
int uuid_make(int version, char out[UUID_SIZE]);

#endif
