// SPDX-License-Identifier: MIT
// The floor of the echo benchmark: a bare libuv echo server, one thread. A write goes out at once
// with uv_try_write; only what the socket did not take is copied and queued, and reading stops
// until it is out. Invariant: a connection is either reading or has exactly one write request
// queued.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BUFFER_SIZE = 65536 };

typedef struct {
  uv_tcp_t tcp;
  uv_write_t request;
  char *rest;
} conn;

static void on_close(uv_handle_t *h) {
  conn *c = h->data;
  free(c->rest);
  free(c);
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf) {
  (void)n;
  *buf = uv_buf_init(h->loop->data, BUFFER_SIZE);  // free again when on_read returns
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf);

static void on_write(uv_write_t *request, int status) {
  conn *c = request->data;
  free(c->rest);
  c->rest = NULL;
  if (status == 0) {
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
  } else if (!uv_is_closing((uv_handle_t *)&c->tcp)) {
    uv_close((uv_handle_t *)&c->tcp, on_close);
  }
}

static int queue_rest(conn *c, const char *data, size_t n) {
  c->rest = malloc(n);
  if (!c->rest) return UV_ENOMEM;
  memcpy(c->rest, data, n);
  uv_buf_t buf = uv_buf_init(c->rest, (unsigned)n);
  c->request.data = c;
  uv_read_stop((uv_stream_t *)&c->tcp);
  return uv_write(&c->request, (uv_stream_t *)&c->tcp, &buf, 1, on_write);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
  conn *c = s->data;
  int rc = n < 0 ? (int)n : 0;
  if (n > 0) {
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
    rc = uv_try_write(s, &out, 1);
    if (rc == UV_EAGAIN) rc = 0;
    if (rc >= 0 && rc < n) rc = queue_rest(c, buf->base + rc, (size_t)(n - rc));
  }
  if (rc < 0 && !uv_is_closing((uv_handle_t *)s)) uv_close((uv_handle_t *)s, on_close);
}

static void on_connection(uv_stream_t *server, int status) {
  conn *c = status < 0 ? NULL : calloc(1, sizeof *c);
  if (!c) return;
  uv_tcp_init(server->loop, &c->tcp);
  c->tcp.data = c;
  if (uv_accept(server, (uv_stream_t *)&c->tcp)) {
    uv_close((uv_handle_t *)&c->tcp, on_close);
    return;
  }
  uv_tcp_nodelay(&c->tcp, 1);
  uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

int main(int argc, char **argv) {
  uv_tcp_t server;
  struct sockaddr_in a;
  static char buffer[BUFFER_SIZE];
  uv_loop_t *loop = uv_default_loop();
  if (argc != 2 || uv_ip4_addr("127.0.0.1", atoi(argv[1]), &a)) return 2;
  loop->data = buffer;
  uv_tcp_init(loop, &server);
  int rc = uv_tcp_bind(&server, (struct sockaddr *)&a, 0);
  if (rc == 0) rc = uv_listen((uv_stream_t *)&server, 511, on_connection);
  if (rc < 0) {
    fprintf(stderr, "echo_uv: %s\n", uv_strerror(rc));
    return 1;
  }
  puts("ready");
  fflush(stdout);
  return uv_run(loop, UV_RUN_DEFAULT);
}
