// SPDX-License-Identifier: MIT
// The transport over a libuv stream. See stream_uv.h.
#include "io/stream_uv.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0  // libuv sets SO_NOSIGPIPE where there is that instead
#endif

static uv_stream_t *uv_of(stream *s) {
  return ((stream_uv *)(void *)s)->uv;
}

void stream_uv_init(stream_uv *s, rt *r, io_state *io, const stream_transport *t, uv_stream_t *uv) {
  s->uv = uv;
  uv->data = s;
  stream_init(&s->s, r, io, t);
  uv_unref((uv_handle_t *)uv);  // only a waiting reader is a reason for the loop to go on (S38)
}

// --- Reading ---------------------------------------------------------------------------------

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  stream_room(h->data, buf);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf) {
  if (n > 0)
    stream_fed(h->data, buf->base, (size_t)n);
  else if (n == UV_ENOBUFS)
    stream_refused(h->data);
  else if (n < 0)
    stream_ended(h->data, (int)n);
}

int stream_uv_start(stream *s) {
  return uv_read_start(uv_of(s), on_alloc, on_read);
}

// A socket is read from here, by recv: to libuv there is never room.
static void on_socket_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  (void)h;
  (void)suggested;
  *buf = uv_buf_init(NULL, 0);
}

static void on_socket(uv_stream_t *h, ssize_t n, const uv_buf_t *buf) {
  uv_buf_t room;
  (void)buf;
  stream_room(h->data, &room);
  if (n == UV_ENOBUFS && room.len) n = stream_uv_recv_now(h->data, room.base, room.len);
  if (n != UV_EAGAIN) on_read(h, n, &room);
}

int stream_uv_start_socket(stream *s) {
  return uv_read_start(uv_of(s), on_socket_alloc, on_socket);
}

void stream_uv_stop(stream *s) {
  uv_read_stop(uv_of(s));
}

static ssize_t read_now(stream *s, char *buf, size_t n, int is_socket) {
  uv_os_fd_t fd;
  int rc = uv_fileno((uv_handle_t *)uv_of(s), &fd), available = 0;
  if (rc < 0) return rc;
  if (!buf) return ioctl(fd, FIONREAD, &available) < 0 ? 0 : available;
  ssize_t got;
  do {
    got = is_socket ? recv(fd, buf, n, 0) : read(fd, buf, n);
  } while (got < 0 && errno == EINTR);
  if (got > 0) return got;
  if (got == 0) return UV_EOF;
  return errno == EWOULDBLOCK ? UV_EAGAIN : uv_translate_sys_error(errno);
}

ssize_t stream_uv_read_now(stream *s, char *buf, size_t n) {
  return read_now(s, buf, n, 0);
}

ssize_t stream_uv_recv_now(stream *s, char *buf, size_t n) {
  return read_now(s, buf, n, 1);
}

void stream_uv_hold(stream *s, int on) {
  if (on)
    uv_ref((uv_handle_t *)uv_of(s));
  else
    uv_unref((uv_handle_t *)uv_of(s));
}

// --- Writing ---------------------------------------------------------------------------------

static void on_write(uv_write_t *req, int status) {
  stream_written(req->handle->data, status);
}

static void on_shutdown(uv_shutdown_t *req, int status) {
  stream_shut(req->handle->data, status);
}

int stream_uv_try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  return uv_try_write(uv_of(s), bufs, n);
}

int stream_uv_try_send(stream *s, const uv_buf_t *bufs, unsigned n) {
  const struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)bufs, .msg_iovlen = n};
  uv_os_fd_t fd;
  int rc = uv_fileno((uv_handle_t *)uv_of(s), &fd);
  if (rc < 0) return rc;
  ssize_t sent;
  do {
    sent = n == 1 ? send(fd, bufs->base, bufs->len, MSG_NOSIGNAL) : sendmsg(fd, &msg, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return (int)sent;
  return errno == EWOULDBLOCK || errno == ENOBUFS ? UV_EAGAIN : uv_translate_sys_error(errno);
}

int stream_uv_write(stream *s, uv_write_t *req, uv_buf_t buf) {
  return uv_write(req, uv_of(s), &buf, 1, on_write);
}

int stream_uv_shutdown(stream *s, uv_shutdown_t *req) {
  return uv_shutdown(req, uv_of(s), on_shutdown);
}

static int write_all(int fd, const char *p, size_t n, uint64_t until) {
  while (n) {
    ssize_t done = write(fd, p, n);
    if (done >= 0) {
      p += done;
      n -= (size_t)done;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return uv_translate_sys_error(errno);
    uint64_t now = uv_hrtime();
    if (now >= until) return UV_ETIMEDOUT;
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    if (poll(&pfd, 1, (int)((until - now) / 1000000 + 1)) == 0) return UV_ETIMEDOUT;
  }
  return 0;
}

int stream_uv_flush(stream *s, uv_buf_t buf, int under_way, uint64_t until) {
  uv_os_fd_t fd;
  int rc = uv_fileno((uv_handle_t *)uv_of(s), &fd);
  size_t left = under_way ? uv_stream_get_write_queue_size(uv_of(s)) : buf.len;
  if (rc < 0 || !left) return rc;
  return write_all(fd, buf.base + (buf.len - left), left, until);
}

// --- Closing ---------------------------------------------------------------------------------

static void on_close(uv_handle_t *h) {
  stream_closed(h->data);
}

void stream_uv_close(stream *s) {
  uv_close((uv_handle_t *)uv_of(s), on_close);
}
