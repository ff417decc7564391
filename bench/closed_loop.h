// SPDX-License-Identifier: MIT
// What the load generators of the echo benchmarks have in common: CONNS connections, each with one
// message in flight at a time (a closed loop), one thread, epoll. It owns the measured window: it
// reads the server's CPU clock itself, at the first and the last moment of it; all connections
// stand before it begins. What comes back is compared while warming up, or by `check` after the
// window. Invariant: each connection has written at most one message more than it has read.
#ifndef BENCH_CLOSED_LOOP_H
#define BENCH_CLOSED_LOOP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct connection {
  int fd;
  void *secret;                // of `read` and `write`
  const char *message, *echo;  // what is sent, what must come back
  size_t message_size, echo_size;
  size_t sent, got;
} connection;

typedef struct closed_loop {
  size_t size;     // SIZE
  int conns;       // CONNS
  double seconds;  // WARM_SECONDS and SECONDS
  // Make ready what all connections share, and what stands below; what stands above is known.
  // NULL: nothing.
  void (*start)(struct closed_loop *l);
  // Shake hands over the socket c->fd, which still blocks, and give it what it sends; they are
  // numbered from 0.
  void (*greet)(struct closed_loop *l, connection *c, int number);
  // As the system calls of these names; -1 with EAGAIN when the socket is not ready.
  ssize_t (*read)(connection *c, void *p, size_t n);
  ssize_t (*write)(connection *c, const void *p, size_t n);
  // Compare all that came, after the window, or end the program. NULL: `read` gives what was
  // received, and it is compared while warming up.
  void (*check)(connection *c);
  int is_drained;  // by a read that comes back short
  int is_checked;
  size_t buffer_size;
  char *buffer;
  uint64_t echoes;
  connection *connections;
} closed_loop;

// Greet without a handshake: each connection sends SIZE bytes of its own.
void closed_loop_greet(closed_loop *l, connection *c, int number);

// For `read` and `write` of plain sockets.
ssize_t closed_loop_read(connection *c, void *p, size_t n);
ssize_t closed_loop_write(connection *c, const void *p, size_t n);

// Say what failed, with errno's sentence if it is set, and end the program.
_Noreturn void closed_loop_die(const char *what);

// Say what the server did wrong, and end the program.
_Noreturn void closed_loop_complain(const char *what);

// Allocate, or end the program.
void *closed_loop_alloc(size_t n);

// What main does: read the arguments, connect, warm up, measure, print. Answers its status.
int closed_loop_run(closed_loop *l, int argc, char **argv);

#endif
