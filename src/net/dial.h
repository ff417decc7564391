// SPDX-License-Identifier: MIT
// Connecting: tries the addresses of a host in turn until one answers. A C object that outlives a
// task which gives up on it. Runs on the loop thread.
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <lua.h>

#include "core/wait.h"
#include "net/resolve.h"
#include "net/tcp.h"

typedef struct dial_options {
  address bind;  // family 0: any
  int nodelay;
} dial_options;

// Suspend until a connection stands, all addresses failed, or the instant `when`. `ops` has
// dial_cancel; its done function gets 0 and calls dial_take with its argument, or UV_ETIMEDOUT and
// must not. To be returned in tail position. [loop] Raises on out of memory.
int dial_begin(lua_State *L, const address_list *hosts, const dial_options *o, uint64_t when,
               const wait_ops *ops);

// Take the connection; its reference is the caller's. [loop] Answers 0 or an error.
int dial_take(void *arg, tcp **out);

wait_answer dial_cancel(task *t, void *arg);
void dial_describe(const task *t, const void *arg, char *buf, size_t n);

#endif
