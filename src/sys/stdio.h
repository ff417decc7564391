// SPDX-License-Identifier: MIT
// The standard streams: descriptors 0, 1 and 2 of the process as streams that never block the loop,
// and never change how the descriptors behave for others. Terminals and pipes are opened anew, so
// that O_NONBLOCK is ours alone; what cannot be (sockets) is asked before each call; files are read
// on libuv's threads and written between turns of the loop. Runs on the loop thread. Invariant: the
// flags of an inherited descriptor are after each call what they were before it.
#ifndef SYS_STDIO_H
#define SYS_STDIO_H

#include <stdio.h>

#include "io/stream_uv.h"

typedef struct stdio {
  stream_uv base;  // `uv` is NULL for what is no stream of libuv
  FILE *file;      // where a host takes the output itself (core/output.h), else NULL
  int fd;          // 0, 1, 2; -1 for that, and for a terminal that was opened by its path
  int access;      // O_RDONLY, O_WRONLY or O_RDWR
  const char *name;
} stdio;

static inline stdio *stdio_of(stream *s) {
  return (stdio *)(void *)s;
}

// Make a stream of the standard descriptor `fd`. [loop] Answers 0, or an error.
int stdio_open(rt *r, io_state *io, int fd, stream **out);

// Make a stream of the process's own terminal, /dev/tty. [loop] Answers 0, or an error: UV_ENXIO
// when there is none.
int stdio_open_tty(rt *r, io_state *io, stream **out);

// Whether the stream leads to a terminal. [any]
int stdio_is_tty(const stream *s);

// Write `n` bytes as one piece without waiting: what does not go at once is queued unless too much
// is. [loop] Answers 0, UV_EAGAIN when the queue is full, or another error.
int stdio_put(stream *s, const char *text, size_t n);

// --- For the transports ----------------------------------------------------------------------

// Whether `s` may be read, or written: 0 or UV_EBADF.
int stdio_may_read(stream *s);
int stdio_may_write(stream *s);

// Before a write: what stock print and io.write have buffered comes first.
void stdio_flush_stock(stream *s);

// After a write: pass its result on, and let the program end when whoever read standard output has
// gone.
int stdio_sent(stream *s, int rc);

// The stream closes: when a script closed stdin or stdout, the descriptor leads to /dev/null from
// now on, so that the other end sees the end and no later file takes the number.
void stdio_release(stream *s);

void stdio_describe(const stream *s, char *buf, size_t n);

// The transport that polls (stdio_poll.c), for sockets and what cannot be opened anew. [loop]
int stdio_open_poll(rt *r, io_state *io, int fd, stdio **out);

// The transport of files and devices (stdio_file.c). [loop]
int stdio_open_file(rt *r, io_state *io, stdio **out);

#endif
