// SPDX-License-Identifier: MIT
// libuv's threads, on which files are read. libuv starts all of them when it gets the first work,
// and aborts the program if it cannot: so that is tried before (host_check_pool). Any thread. Owns
// nothing.
#ifndef BASE_UVPOOL_H
#define BASE_UVPOOL_H

// Start as many threads as libuv will, and end them again. 0 or an error such as UV_EAGAIN.
int uvpool_try(void);

#endif
