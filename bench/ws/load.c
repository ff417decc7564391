// SPDX-License-Identifier: MIT
// The load generator of the WebSocket benchmark: CONNS clients, each with one text of SIZE bytes in
// flight at a time (closed loop), one thread, epoll. The masked frame is made once, and so is the
// one that must come back. It owns the measured window: it reads the server's CPU clock itself, at
// the first and the last moment of it. What comes back is compared while warming up.
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
} conn;

typedef struct {
  char *frame, *answer;
  size_t frame_size, answer_size;
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

static void send_rest(const load *l, conn *c) {
  while (c->sent < l->frame_size) {
    ssize_t n = write(c->fd, l->frame + c->sent, l->frame_size - c->sent);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die("write");
    c->sent += (size_t)n;
  }
}

// Edge-triggered: go on until the answer is whole (then nothing more can come before the next
// write) or a read came back short (then the socket is empty).
static void pump(load *l, conn *c) {
  send_rest(l, c);
  for (;;) {
    size_t want = l->answer_size - c->got;
    errno = 0;
    ssize_t n = read(c->fd, l->buffer, want);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("read");
    if (l->check && memcmp(l->buffer, l->answer + c->got, (size_t)n)) {
      fputs("load: the server did not echo what it was sent\n", stderr);
      exit(1);
    }
    c->got += (size_t)n;
    if (c->got == l->answer_size) {
      l->echoes++;
      c->sent = c->got = 0;
      send_rest(l, c);
      return;
    }
    if ((size_t)n < want) return;
  }
}

// Make both frames, of texts up to 64 KiB.
static void make_frames(load *l, size_t size) {
  static const char mask[] = {0x12, 0x34, 0x56, 0x78};
  size_t head = size > 125 ? 4 : 2;
  l->frame_size = head + 4 + size;
  l->answer_size = head + size;
  l->frame = calloc(1, l->frame_size);
  l->answer = calloc(1, l->answer_size);
  l->buffer = malloc(l->answer_size);
  if (!l->frame || !l->answer || !l->buffer) die("malloc");
  l->frame[0] = l->answer[0] = (char)0x81;
  l->answer[1] = (char)(size > 125 ? 126 : size);
  l->frame[1] = (char)(l->answer[1] | 0x80);
  if (size > 125) {
    l->frame[2] = l->answer[2] = (char)(size >> 8);
    l->frame[3] = l->answer[3] = (char)size;
  }
  memcpy(l->frame + head, mask, sizeof mask);
  for (size_t i = 0; i < size; i++) {
    l->answer[head + i] = (char)('a' + i % 26);
    l->frame[head + 4 + i] = (char)(l->answer[head + i] ^ mask[i % 4]);
  }
}

static void shake_hands(int fd) {
  static const char request[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  char answer[1024];
  size_t n = 0;
  if (write(fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1) die("write");
  do {
    ssize_t got = n < sizeof answer - 1 ? read(fd, answer + n, 1) : 0;
    if (got <= 0) die("handshake");
    answer[n += (size_t)got] = 0;
  } while (n < 4 || memcmp(answer + n - 4, "\r\n\r\n", 4) != 0);
  if (!strstr(answer, " 101 ")) die("handshake");
}

static void connect_one(conn *c, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  shake_hands(c->fd);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
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
  load l = {.check = 1};
  conn *all = calloc((size_t)conns, sizeof *all);
  clockid_t server;
  if (ep < 0 || !all) die("start");
  make_frames(&l, (size_t)atol(argv[3]));
  if ((errno = clock_getcpuclockid(atoi(argv[6]), &server))) die("CPU clock of the server");

  for (int i = 0; i < conns; i++) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
    connect_one(&all[i], port);
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
