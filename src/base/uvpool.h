// SPDX-License-Identifier: MIT
// libuv's threads, on which files are read. libuv starts all of them when it gets the first work,
// and aborts the program if it cannot. So somebody must have tried before. Any thread.
#ifndef BASE_UVPOOL_H
#define BASE_UVPOOL_H

// Say whether libuv can have its threads; to be asked before it gets work, until the answer is 0.
// 0 or an error such as UV_EAGAIN.
int uvpool_check(void);

#endif
