// SPDX-License-Identifier: MIT
// The load generator of the echo benchmark: CONNS connections, each with one message of SIZE bytes
// in flight at a time (closed loop), one thread, epoll. It owns the measured window: it reads the
// server's CPU clock itself, at the first and the last moment of it. Invariant: each connection has
// written at most SIZE bytes more than it has read, and what comes back is compared while warming
// up.
//
//   load PORT CONNS SIZE WARM_SECONDS SECONDS SERVER_PID
//     -> ECHOES SECONDS SERVER_CPU_NS LOAD_CPU_NS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int fd;
  size_t sent, got;
  char *message;
} conn;

typedef struct {
  size_t size, buffer_size;
  char *buffer;
  uint64_t echoes;
  int check;
} load;

static int64_t read_clock(clockid_t id) {
  struct timespec t;
  return clock_gettime(id, &t) ? 0 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "end of file");
  exit(1);
}

static void send_rest(conn *c, size_t size) {
  while (c->sent < size) {
    ssize_t n = write(c->fd, c->message + c->sent, size - c->sent);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die("write");
    c->sent += (size_t)n;
  }
}

// Edge-triggered: go on until the answer is whole (then nothing more can come before the next
// write) or a read came back short (then the socket is empty).
static void pump(load *l, conn *c) {
  send_rest(c, l->size);
  for (;;) {
    size_t want = l->size - c->got;
    if (want > l->buffer_size) want = l->buffer_size;
    errno = 0;
    ssize_t n = read(c->fd, l->buffer, want);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("read");
    if (l->check && memcmp(l->buffer, c->message + c->got, (size_t)n)) {
      fputs("load: the server did not echo what it was sent\n", stderr);
      exit(1);
    }
    c->got += (size_t)n;
    if (c->got == l->size) {
      l->echoes++;
      c->sent = c->got = 0;
      send_rest(c, l->size);
      return;
    }
    if ((size_t)n < want) return;
  }
}

static void connect_one(conn *c, int port, size_t size, int seed) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->message = malloc(size);
  if (!c->message) die("malloc");
  for (size_t i = 0; i < size; i++) c->message[i] = (char)(i * 7 + (size_t)seed);
}

static void run_for(load *l, int ep, double seconds) {
  struct epoll_event events[256];
  int64_t end = read_clock(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
  while (read_clock(CLOCK_MONOTONIC) < end) {
    int n = epoll_wait(ep, events, 256, 1000);
    if (n == 0) {
      fputs("load: no answer for a second\n", stderr);
      exit(1);
    }
    for (int i = 0; i < n; i++) pump(l, events[i].data.ptr);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fputs("usage: load PORT CONNS SIZE WARM_SECONDS SECONDS SERVER_PID\n", stderr);
    return 2;
  }
  int port = atoi(argv[1]), conns = atoi(argv[2]), ep = epoll_create1(EPOLL_CLOEXEC);
  double warm = atof(argv[4]), seconds = atof(argv[5]);
  load l = {.size = (size_t)atol(argv[3]), .buffer_size = 1 << 18, .check = 1};
  conn *all = calloc((size_t)conns, sizeof *all);
  clockid_t server;
  l.buffer = malloc(l.buffer_size);
  if (ep < 0 || !all || !l.buffer) die("start");
  if ((errno = clock_getcpuclockid(atoi(argv[6]), &server))) die("CPU clock of the server");

  for (int i = 0; i < conns; i++) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
    connect_one(&all[i], port, l.size, i);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &e)) die("epoll_ctl");
  }
  run_for(&l, ep, warm);

  l.check = 0;
  l.echoes = 0;
  int64_t wall = read_clock(CLOCK_MONOTONIC), cpu = read_clock(server);
  int64_t own = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  run_for(&l, ep, seconds);
  cpu = read_clock(server) - cpu;
  own = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
  wall = read_clock(CLOCK_MONOTONIC) - wall;
  printf("%llu %.6f %lld %lld\n", (unsigned long long)l.echoes, (double)wall / 1e9, (long long)cpu,
         (long long)own);
  return 0;
}
