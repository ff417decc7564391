// SPDX-License-Identifier: MIT
// Streams over libuv's pipes: Unix sockets (src/net), and the pipes and standard streams of
// processes (src/sys). Runs on the loop thread.
#ifndef IO_PIPE_H
#define IO_PIPE_H

#include "io/stream_uv.h"

#define UNIX_CLASS "corun.unix"
#define PIPE_TARGET 128  // bytes of a target's text that are kept

typedef struct pipe_stream {
  stream_uv base;
  uv_pipe_t uv;
  char target[PIPE_TARGET];  // whom it leads to: "unix:/run/x", "stdin of cat"
} pipe_stream;

// Make a stream without a descriptor; `t` is unix_transport or pipe_transport, `target` is copied.
// [loop] Answers 0, or an error.
int pipe_new(rt *r, io_state *io, const stream_transport *t, const char *target, pipe_stream **out);

extern const stream_transport unix_transport;  // "unix": can be shut down for writing
extern const stream_transport pipe_transport;  // "pipe"

#endif
