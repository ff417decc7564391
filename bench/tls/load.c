// SPDX-License-Identifier: MIT
// The load generator of the TLS echo benchmark: as that of the plain one (bench/echo/load.c), each
// connection with one message in flight at a time, but over TLS 1.3 with OpenSSL's own sockets. It
// owns the measured window: it reads the server's CPU clock itself, at the first and the last
// moment of it. The handshakes are over before it begins.
//
//   load PORT CONNS SIZE WARM_SECONDS SECONDS SERVER_PID
//     -> ECHOES SECONDS SERVER_CPU_NS LOAD_CPU_NS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  SSL *ssl;
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
  fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
  ERR_print_errors_fp(stderr);
  exit(1);
}

// Whether the call is to be repeated when the socket is ready.
static int is_later(conn *c, int rc) {
  int e = SSL_get_error(c->ssl, rc);
  return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

static void send_rest(conn *c, size_t size) {
  while (c->sent < size) {
    int n = SSL_write(c->ssl, c->message + c->sent, (int)(size - c->sent));
    if (n <= 0 && is_later(c, n)) return;
    if (n <= 0) die("write");
    c->sent += (size_t)n;
  }
}

static void pump(load *l, conn *c) {
  send_rest(c, l->size);
  for (;;) {
    size_t want = l->size - c->got;
    if (want > l->buffer_size) want = l->buffer_size;
    int n = SSL_read(c->ssl, l->buffer, (int)want);
    if (n <= 0 && is_later(c, n)) return;
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
    }
  }
}

static int connect_one(SSL_CTX *ctx, conn *c, int port, size_t size, int seed) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->ssl = SSL_new(ctx);
  if (!c->ssl || !SSL_set_fd(c->ssl, fd) || SSL_connect(c->ssl) != 1) die("handshake");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  c->message = malloc(size);
  if (!c->message) die("malloc");
  for (size_t i = 0; i < size; i++) c->message[i] = (char)(i * 7 + (size_t)seed);
  return fd;
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
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  clockid_t server;
  l.buffer = malloc(l.buffer_size);
  if (ep < 0 || !all || !l.buffer || !ctx) die("start");
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");  // the same for all servers
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if ((errno = clock_getcpuclockid(atoi(argv[6]), &server))) die("CPU clock of the server");

  for (int i = 0; i < conns; i++) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
    int fd = connect_one(ctx, &all[i], port, l.size, i);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
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
