// SPDX-License-Identifier: MIT
// Standard streams that cannot be opened anew: sockets, and pipes where /proc does not help. Their
// O_NONBLOCK is shared with other processes and left alone; instead each call is made only when it
// cannot block. A pipe that can be written takes at least PIPE_BUF bytes. Runs on the loop thread.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/runtime.h"
#include "sys/stdio.h"

typedef struct poll_stdio {
  stdio head;
  uv_poll_t poll;
  int own, is_socket;
  int events;    // asked for
  int held;      // a reader waits
  uv_buf_t out;  // what is left of the write under way
} poll_stdio;

static poll_stdio *of(stream *s) {
  return (poll_stdio *)(void *)s;
}

// Whether a call would not block, waiting `ms` for it.
static int is_ready(const poll_stdio *p, short events, int ms) {
  struct pollfd pfd = {.fd = p->own, .events = events};
  return poll(&pfd, 1, ms) > 0;
}

static ssize_t receive(const poll_stdio *p, const uv_buf_t *buf) {
  ssize_t n;
  do {
    if (p->is_socket)
      n = recv(p->own, buf->base, buf->len, MSG_DONTWAIT);
    else if (is_ready(p, POLLIN, 0))
      n = read(p->own, buf->base, buf->len);
    else
      return UV_EAGAIN;
  } while (n < 0 && errno == EINTR);
  return n < 0 ? uv_translate_sys_error(errno) : n;
}

// Send what goes at once: the number of bytes, UV_EAGAIN, or another error.
static ssize_t put(const poll_stdio *p, const char *data, size_t n) {
  size_t sent = 0;
  while (sent < n) {
    size_t piece = n - sent;
    ssize_t done;
    if (p->is_socket) {
      done = send(p->own, data + sent, piece, MSG_DONTWAIT);
    } else {
      if (!is_ready(p, POLLOUT, 0)) break;
      done = write(p->own, data + sent, piece < PIPE_BUF ? piece : PIPE_BUF);
    }
    if (done >= 0)
      sent += (size_t)done;
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      break;
    else if (errno != EINTR)
      return sent ? (ssize_t)sent : uv_translate_sys_error(errno);
  }
  return sent ? (ssize_t)sent : UV_EAGAIN;
}

// --- Events ----------------------------------------------------------------------------------

static void on_event(uv_poll_t *h, int status, int events);

// A waiting reader and a write under way are reasons for the loop to go on.
static void keep_alive(poll_stdio *p) {
  if (p->held || p->events & UV_WRITABLE)
    uv_ref((uv_handle_t *)&p->poll);
  else
    uv_unref((uv_handle_t *)&p->poll);
}

static int ask(poll_stdio *p, int events) {
  p->events = events;
  keep_alive(p);
  return events ? uv_poll_start(&p->poll, events, on_event) : uv_poll_stop(&p->poll);
}

static void read_some(poll_stdio *p) {
  stream *s = &p->head.base.s;
  uv_buf_t buf;
  stream_room(s, &buf);
  if (!buf.len) {
    stream_refused(s);
    return;
  }
  ssize_t n = receive(p, &buf);
  if (n > 0)
    stream_fed(s, buf.base, (size_t)n);
  else if (n != UV_EAGAIN)
    stream_ended(s, n ? (int)n : UV_EOF);
}

static void write_rest(poll_stdio *p) {
  ssize_t n = put(p, p->out.base, p->out.len);
  if (n == UV_EAGAIN) return;
  if (n > 0) {
    p->out.base += n;
    p->out.len -= (size_t)n;
    if (p->out.len) return;
  }
  ask(p, p->events & ~UV_WRITABLE);
  stream_written(&p->head.base.s, n < 0 ? stdio_sent(&p->head.base.s, (int)n) : 0);
}

static void on_event(uv_poll_t *h, int status, int events) {
  poll_stdio *p = h->data;
  if (status < 0) events = p->events;  // the call itself tells what is wrong
  if (events & p->events & UV_READABLE) read_some(p);
  if (events & p->events & UV_WRITABLE) write_rest(p);
}

// --- The transport ---------------------------------------------------------------------------

static int start(stream *s) {
  int rc = stdio_may_read(s);
  return rc < 0 ? rc : ask(of(s), of(s)->events | UV_READABLE);
}

static void stop(stream *s) {
  ask(of(s), of(s)->events & ~UV_READABLE);
}

static int try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  size_t total = 0;
  int rc = stdio_may_write(s);
  if (rc < 0) return rc;
  stdio_flush_stock(s);
  for (unsigned i = 0; i < n; i++) {
    if (!bufs[i].len) continue;
    ssize_t done = put(of(s), bufs[i].base, bufs[i].len);
    if (done < 0) return total ? (int)total : stdio_sent(s, (int)done);
    total += (size_t)done;
    if ((size_t)done < bufs[i].len) break;
  }
  return total ? (int)total : UV_EAGAIN;
}

static int begin_write(stream *s, uv_write_t *req, uv_buf_t buf) {
  (void)req;
  of(s)->out = buf;
  return ask(of(s), of(s)->events | UV_WRITABLE);
}

static int refuse_shutdown(stream *s, uv_shutdown_t *req) {
  (void)s;
  (void)req;
  return UV_ENOTSUP;
}

static int flush(stream *s, uv_buf_t buf, int under_way, uint64_t until) {
  poll_stdio *p = of(s);
  if (under_way) buf = p->out;
  while (buf.len) {
    ssize_t n = put(p, buf.base, buf.len);
    if (n > 0) {
      buf.base += n;
      buf.len -= (size_t)n;
      continue;
    }
    if (n != UV_EAGAIN) return (int)n;
    uint64_t now = uv_hrtime();
    if (now >= until || !is_ready(p, POLLOUT, (int)((until - now) / 1000000 + 1)))
      return UV_ETIMEDOUT;
  }
  return 0;
}

static void on_close(uv_handle_t *h) {
  poll_stdio *p = h->data;
  close(p->own);
  stream_closed(&p->head.base.s);
}

static void close_poll(stream *s) {
  stdio_release(s);
  uv_close((uv_handle_t *)&of(s)->poll, on_close);
}

static void hold(stream *s, int on) {
  of(s)->held = on;
  keep_alive(of(s));
}

static const stream_transport poll_transport = {
  .kind = "pipe",
  .start = start,
  .stop = stop,
  .try_write = try_write,
  .write = begin_write,
  .shutdown = refuse_shutdown,
  .flush = flush,
  .close = close_poll,
  .hold = hold,
  .describe = stdio_describe,
};

int stdio_open_poll(rt *r, io_state *io, int fd, stdio **out) {
  struct stat st;
  int flags = fcntl(fd, F_GETFL), own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return UV_EMFILE;
  poll_stdio *p = calloc(1, sizeof *p);
  int rc = p ? uv_poll_init(&r->loop, &p->poll, own) : UV_ENOMEM;
  fcntl(fd, F_SETFL, flags);  // libuv has set O_NONBLOCK, which is everybody's
  if (rc < 0) {
    close(own);
    free(p);
    return rc;
  }
  p->own = own;
  p->is_socket = fstat(own, &st) == 0 && S_ISSOCK(st.st_mode);
  p->poll.data = p;
  keep_alive(p);
  stream_init(&p->head.base.s, r, io, &poll_transport);
  *out = &p->head;
  return 0;
}
