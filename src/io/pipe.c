// SPDX-License-Identifier: MIT
// Streams over libuv's pipes. See pipe.h.
#include "io/pipe.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/runtime.h"

static void describe(const stream *s, char *buf, size_t n) {
  snprintf(buf, n, "%s", ((const pipe_stream *)(const void *)s)->target);
}

#define PIPE_TRANSPORT(name, start_, read_now_, try_write_)                              \
  {                                                                                      \
    .kind = (name), .start = (start_), .stop = stream_uv_stop, .read_now = (read_now_),  \
    .try_write = (try_write_), .write = stream_uv_write, .shutdown = stream_uv_shutdown, \
    .flush = stream_uv_flush, .close = stream_uv_close, .hold = stream_uv_hold,          \
    .describe = describe,                                                                \
  }

const stream_transport unix_transport =
  PIPE_TRANSPORT("unix", stream_uv_start_socket, stream_uv_recv_now, stream_uv_try_send);
const stream_transport pipe_transport =
  PIPE_TRANSPORT("pipe", stream_uv_start, stream_uv_read_now, stream_uv_try_write);

int pipe_new(rt *r, io_state *io, const stream_transport *t, const char *target,
             pipe_stream **out) {
  pipe_stream *p = calloc(1, sizeof *p);
  if (!p) return UV_ENOMEM;
  int rc = uv_pipe_init(&r->loop, &p->uv, 0);
  if (rc < 0) {
    free(p);
    return rc;
  }
  snprintf(p->target, sizeof p->target, "%s", target);
  stream_uv_init(&p->base, r, io, t, (uv_stream_t *)&p->uv);
  *out = p;
  return 0;
}
