// SPDX-License-Identifier: MIT
// The close of a stream with TLS. See tls_close.h.
#include "net/tls_close.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/runtime.h"
#include "io/stream_write.h"
#include "net/tls_write.h"

#define DRAIN ((ssize_t)1 << 20)  // bytes that are read and dropped before closing

static uv_stream_t *uv_of(const tls *x) {
  return ((stream_uv *)(void *)x->s)->uv;
}

// Whether tickets may still come, and undo a write that has ended well. They come before the first
// data of a server.
static int is_at_risk(const tls *x) {
  const stream *s = x->s;
  return !x->ctx->is_server && x->state == TLS_READY && !x->heard && s->bytes_out && !s->answered &&
         !s->in_rc && !s->out_rc && !x->out_rc;
}

// Take out what has arrived.
static void drain(const tls *x) {
  uv_os_fd_t fd;
  char *block = io_raw_block(x->s->io);
  if (!block || uv_fileno((uv_handle_t *)uv_of(x), &fd) < 0) return;
  int there;
  for (ssize_t left = DRAIN; left > 0 && ioctl(fd, FIONREAD, &there) == 0 && there > 0;) {
    ssize_t n = recv(fd, block, IO_RAW, MSG_DONTWAIT);
    left -= n > 0 ? n : (ssize_t)IO_BLOCK;
  }
}

static void finish(tls *x) {
  x->lingers = 0;
  timer_disarm(x->s->h.r, &x->give_up.tm);
  if (!x->s->out_rc) drain(x);
  tls_let_go(x);
}

// --- While the loop runs ---------------------------------------------------------------------

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  const stream *s = h->data;
  (void)suggested;
  buf->base = io_raw_block(s->io);
  buf->len = buf->base ? IO_RAW : 0;
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  if (n < 0) finish(tls_of(h->data));
}

static void on_give_up(timer_call *c) {
  finish(list_entry(c, tls, give_up));
}

// 0 or an error.
static int linger(tls *x) {
  rt *r = x->s->h.r;
  uv_os_fd_t fd;
  int rc = uv_fileno((uv_handle_t *)uv_of(x), &fd);
  if (rc == 0 && shutdown(fd, SHUT_WR) < 0) rc = uv_translate_sys_error(errno);
  if (rc == 0) rc = uv_read_start(uv_of(x), on_alloc, on_read);
  if (rc < 0) return rc;
  x->lingers = 1;
  x->give_up = (timer_call){.tm.kind = TIMER_CALL, .fire = on_give_up};
  return timer_arm(r, &x->give_up.tm, timer_after(r, r->opts.grace));
}

// --- At the end of the runtime ---------------------------------------------------------------

static void linger_now(const tls *x) {
  uv_os_fd_t fd;
  char *block = io_raw_block(x->s->io);
  if (!block || uv_fileno((uv_handle_t *)uv_of(x), &fd) < 0) return;
  uint64_t now, until = stream_flush_until(x->s);
  shutdown(fd, SHUT_WR);
  while ((now = uv_hrtime()) < until) {
    ssize_t n = recv(fd, block, IO_RAW, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (n < 0) poll(&p, 1, (int)((until - now) / 1000000 + 1));
  }
}

// --- Closing ---------------------------------------------------------------------------------

void tls_close(stream *s) {
  tls *x = tls_of(s);
  if (s->h.r->closing) {
    tls_farewell_now(x);
    if (is_at_risk(x)) linger_now(x);
  } else if (is_at_risk(x) && linger(x) == 0) {
    return;
  }
  finish(x);
}

void tls_hasten(stream *s) {
  tls *x = tls_of(s);
  if (!x || !x->lingers) return;
  linger_now(x);
  finish(x);
}
