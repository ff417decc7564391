// SPDX-License-Identifier: MIT
// TCP connections as streams. See tcp.h.
#include "net/tcp.h"

#include <stdlib.h>

#include "core/runtime.h"

static void describe(const stream *s, char *buf, size_t n) {
  address_format(&((const tcp *)(const void *)s)->peer, buf, n);
}

const stream_transport tcp_transport = {
  .kind = "tcp",
  .start = stream_uv_start_socket,
  .stop = stream_uv_stop,
  .read_now = stream_uv_recv_now,
  .try_write = stream_uv_try_send,
  .write = stream_uv_write,
  .shutdown = stream_uv_shutdown,
  .flush = stream_uv_flush,
  .close = stream_uv_close,
  .hold = stream_uv_hold,
  .describe = describe,
};

int tcp_new(rt *r, io_state *io, tcp **out) {
  tcp *t = calloc(1, sizeof *t);
  if (!t) return UV_ENOMEM;
  int rc = uv_tcp_init(&r->loop, &t->uv);
  if (rc < 0) {
    free(t);
    return rc;
  }
  stream_uv_init(&t->base, r, io, &tcp_transport, (uv_stream_t *)&t->uv);
  *out = t;
  return 0;
}
