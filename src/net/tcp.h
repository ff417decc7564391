// SPDX-License-Identifier: MIT
// TCP connections as streams. Runs on the loop thread.
#ifndef NET_TCP_H
#define NET_TCP_H

#include <lua.h>

#include "io/stream_uv.h"
#include "net/address.h"

#define TCP_CLASS "corun.tcp"

typedef struct tcp {
  stream_uv base;
  address peer;  // family 0 while unknown
  uv_tcp_t uv;
} tcp;

// Make a stream without a socket. [loop] Answers 0, or an error.
int tcp_new(rt *r, io_state *io, tcp **out);

// The transport of tcp streams.
extern const stream_transport tcp_transport;

#endif
