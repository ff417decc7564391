// SPDX-License-Identifier: MIT
// Load in closed loops. See closed_loop.h.
//
//   load PORT CONNS SIZE WARM_SECONDS SECONDS SERVER_PID
//     -> ECHOES SECONDS SERVER_CPU_NS LOAD_CPU_NS
#define _GNU_SOURCE
#include "closed_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_READ ((size_t)256 << 10)  // at once

static int64_t read_clock(clockid_t id) {
  struct timespec t;
  return clock_gettime(id, &t) ? 0 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void closed_loop_die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
  exit(1);
}

void closed_loop_complain(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

void *closed_loop_alloc(size_t n) {
  void *p = calloc(1, n);
  if (!p) closed_loop_die("malloc");
  return p;
}

void closed_loop_greet(closed_loop *l, connection *c, int number) {
  char *text = closed_loop_alloc(l->size);
  for (size_t i = 0; i < l->size; i++) text[i] = (char)(i * 7 + (size_t)number);
  c->message = c->echo = text;
  c->message_size = c->echo_size = l->size;
}

ssize_t closed_loop_read(connection *c, void *p, size_t n) {
  return read(c->fd, p, n);
}

ssize_t closed_loop_write(connection *c, const void *p, size_t n) {
  return write(c->fd, p, n);
}

static void send_rest(closed_loop *l, connection *c) {
  while (c->sent < c->message_size) {
    ssize_t n = l->write(c, c->message + c->sent, c->message_size - c->sent);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) closed_loop_die("write");
    c->sent += (size_t)n;
  }
}

// Edge-triggered: go on until the echo is whole (then nothing more can come before the next write)
// or the socket is empty.
static void pump(closed_loop *l, connection *c) {
  send_rest(l, c);
  for (;;) {
    size_t want = c->echo_size - c->got;
    if (want > l->buffer_size) want = l->buffer_size;
    ssize_t n = l->read(c, l->buffer, want);
    if (n < 0 && errno == EAGAIN) return;
    if (n == 0) closed_loop_complain("read: end of file");
    if (n < 0) closed_loop_die("read");
    if (l->is_checked && memcmp(l->buffer, c->echo + c->got, (size_t)n))
      closed_loop_complain("the server did not echo what it was sent");
    c->got += (size_t)n;
    if (c->got == c->echo_size) {
      l->echoes++;
      c->sent = c->got = 0;
      send_rest(l, c);
      return;
    }
    if (l->is_drained && (size_t)n < want) return;
  }
}

static void dial(connection *c, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) closed_loop_die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void connect_all(closed_loop *l, int ep, int port) {
  l->connections = closed_loop_alloc((size_t)l->conns * sizeof *l->connections);
  for (int i = 0; i < l->conns; i++) {
    connection *c = &l->connections[i];
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    dial(c, port);
    l->greet(l, c, i);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e)) closed_loop_die("epoll_ctl");
    if (c->echo_size > l->buffer_size) l->buffer_size = c->echo_size;
  }
  if (l->buffer_size > MOST_READ) l->buffer_size = MOST_READ;
  l->buffer = closed_loop_alloc(l->buffer_size);
}

static void run_for(closed_loop *l, int ep, double seconds) {
  struct epoll_event events[256];
  int64_t end = read_clock(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
  while (read_clock(CLOCK_MONOTONIC) < end) {
    int n = epoll_wait(ep, events, 256, 1000);
    if (n == 0) closed_loop_complain("no answer for a second");
    for (int i = 0; i < n; i++) pump(l, events[i].data.ptr);
  }
}

static void measure(closed_loop *l, int ep, double seconds, clockid_t server) {
  l->is_checked = 0;
  l->echoes = 0;
  int64_t wall = read_clock(CLOCK_MONOTONIC), cpu = read_clock(server);
  int64_t own = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  run_for(l, ep, seconds);
  cpu = read_clock(server) - cpu;
  own = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
  wall = read_clock(CLOCK_MONOTONIC) - wall;
  for (int i = 0; l->check && i < l->conns; i++) l->check(&l->connections[i]);
  printf("%llu %.6f %lld %lld\n", (unsigned long long)l->echoes, (double)wall / 1e9, (long long)cpu,
         (long long)own);
}

int closed_loop_run(closed_loop *l, int argc, char **argv) {
  if (argc != 7) {
    fputs("usage: load PORT CONNS SIZE WARM_SECONDS SECONDS SERVER_PID\n", stderr);
    return 2;
  }
  double warm = atof(argv[4]), seconds = atof(argv[5]);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  clockid_t server;
  if (ep < 0) closed_loop_die("epoll_create");
  if ((errno = clock_getcpuclockid(atoi(argv[6]), &server)))
    closed_loop_die("CPU clock of the server");
  l->size = (size_t)atol(argv[3]);
  l->conns = atoi(argv[2]);
  if (!l->size || l->conns <= 0) closed_loop_complain("no connections, or nothing to send");
  l->seconds = warm + seconds;
  if (l->start) l->start(l);
  l->is_checked = !l->check;
  connect_all(l, ep, atoi(argv[1]));
  run_for(l, ep, warm);
  measure(l, ep, seconds, server);
  return 0;
}
