// SPDX-License-Identifier: MIT
// Connecting: to the addresses of a host as Happy Eyeballs does (RFC 8305): in turn, families
// alternating, without waiting long for one before the next is tried beside it; the first that
// answers wins. And to a Unix socket. A C object that outlives a task which gives up on it. Runs on
// the loop thread.
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <lua.h>

#include "core/wait.h"
#include "net/resolve.h"
#include "net/tcp.h"

typedef struct dial_options {
  address bind;  // family 0: any
  uint8_t nodelay;
  unsigned keepalive;  // seconds until the peer is asked whether it is there; 0: never
} dial_options;

// Suspend until a connection stands, all addresses failed, or the instant `when`. `ops` has
// dial_cancel; its done function gets 0 and calls dial_take with its argument, or UV_ETIMEDOUT and
// must not. To be returned in tail position. [loop] Raises on out of memory.
int dial_begin(lua_State *L, const address_list *hosts, const dial_options *o, uint64_t when,
               const wait_ops *ops);

// The same for the Unix socket at `path`; as long as its server's queue is full it is tried again.
// [loop] Raises on out of memory.
int dial_begin_path(lua_State *L, const char *path, uint64_t when, const wait_ops *ops);

// Take the connection, a tcp or a pipe_stream; its reference is the caller's. [loop] Answers 0 or
// an error.
int dial_take(void *arg, stream **out);

wait_answer dial_cancel(task *t, void *arg);
void dial_describe(const task *t, const void *arg, char *buf, size_t n);

#endif
