// SPDX-License-Identifier: MIT
// Pseudo-terminals. See pty.h.
#include "sys/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "io/pipe.h"

// --- The stream ------------------------------------------------------------------------------

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  stream_room(h->data, buf);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf);

// libuv takes a hangup after a short read for the end, as it is for pipes; a terminal gives at most
// 4 KB at a time, and may still have more. Ask it.
static void read_on(uv_stream_t *h) {
  stream *s = h->data;
  uv_buf_t buf;
  uv_os_fd_t fd;
  int rc = uv_fileno((uv_handle_t *)h, &fd);
  stream_room(s, &buf);
  if (rc == 0 && buf.len) {
    ssize_t n;
    do n = read(fd, buf.base, buf.len);
    while (n < 0 && errno == EINTR);
    if (n > 0) stream_fed(s, buf.base, (size_t)n);
    if (n < 0 && errno != EAGAIN) rc = uv_translate_sys_error(errno);
    if (n == 0) rc = UV_EOF;
  }
  if (rc == 0 && !stream_end(s)) rc = uv_read_start(h, on_alloc, on_read);
  if (rc < 0) stream_ended(s, rc == UV_EIO ? UV_EOF : rc);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf) {
  if (n > 0)
    stream_fed(h->data, buf->base, (size_t)n);
  else if (n == UV_ENOBUFS)
    stream_refused(h->data);
  else if (n == UV_EOF)
    read_on(h);
  else if (n < 0)
    stream_ended(h->data, n == UV_EIO ? UV_EOF : (int)n);
}

static int start(stream *s) {
  return uv_read_start(((stream_uv *)(void *)s)->uv, on_alloc, on_read);
}

static void describe(const stream *s, char *buf, size_t n) {
  snprintf(buf, n, "%s", ((const pipe_stream *)(const void *)s)->target);
}

const stream_transport pty_transport = {
  .kind = "pty",
  .start = start,
  .stop = stream_uv_stop,
  .try_write = stream_uv_try_write,
  .write = stream_uv_write,
  .shutdown = stream_uv_shutdown,
  .flush = stream_uv_flush,
  .close = stream_uv_close,
  .hold = stream_uv_hold,
  .describe = describe,
};

// --- The terminal ----------------------------------------------------------------------------

static int set_size(int fd, int cols, int rows) {
  struct winsize size = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};
  return ioctl(fd, TIOCSWINSZ, &size);
}

int pty_open(int cols, int rows, int *master, int *slave, char name[PTY_NAME]) {
  int fd = posix_openpt(O_RDWR | O_NOCTTY), other = -1;
  if (fd < 0) return uv_translate_sys_error(errno);
  int ok = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && grantpt(fd) == 0 && unlockpt(fd) == 0;
  if (ok) {
    errno = ptsname_r(fd, name, PTY_NAME);
    ok = errno == 0;
  }
  if (ok) ok = (other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) >= 0;
  if (ok) ok = set_size(other, cols, rows) == 0;
  if (ok) {
    *master = fd;
    *slave = other;
    return 0;
  }
  int rc = uv_translate_sys_error(errno);
  if (other >= 0) close(other);
  close(fd);
  return rc;
}

int pty_resize(stream *s, int cols, int rows) {
  uv_os_fd_t fd;
  int rc = uv_fileno((uv_handle_t *)((stream_uv *)(void *)s)->uv, &fd);
  if (rc < 0) return rc;
  return set_size(fd, cols, rows) < 0 ? uv_translate_sys_error(errno) : 0;
}
