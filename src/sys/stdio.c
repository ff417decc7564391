// SPDX-License-Identifier: MIT
// The standard streams. See stdio.h. Here: which transport a descriptor needs, and the one for
// terminals and pipes, over handles of libuv.
#include "sys/stdio.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/host.h"
#include "core/output.h"
#include "core/runtime.h"
#include "io/stream_write.h"

#define MOST_QUEUED ((size_t)1 << 20)  // bytes that stdio_put lets wait

typedef struct uv_stdio {
  stdio head;
  union {
    uv_handle_t handle;
    uv_tty_t tty;
    uv_pipe_t pipe;
  } uv;
} uv_stdio;

// --- What all of them share ------------------------------------------------------------------

int stdio_may_read(stream *s) {
  return stdio_of(s)->access == O_WRONLY ? UV_EBADF : 0;
}

int stdio_may_write(stream *s) {
  return stdio_of(s)->access == O_RDONLY ? UV_EBADF : 0;
}

void stdio_flush_stock(stream *s) {
  if (stdio_of(s)->fd != STDOUT_FILENO && !stdio_is_tty(s)) return;
  s->h.r->sending = 0;  // what breaks here is print's
  fflush(s->h.r->out);
  s->h.r->sending = 1;
}

int stdio_sent(stream *s, int rc) {
  if (rc == UV_EPIPE && stdio_of(s)->fd == STDOUT_FILENO) host_output_gone(s->h.r);
  return rc;
}

void stdio_release(stream *s) {
  int fd = stdio_of(s)->fd;
  if (s->h.r->closing || !s->closed_at || (fd != STDIN_FILENO && fd != STDOUT_FILENO)) return;
  if (fd == STDOUT_FILENO) fflush(s->h.r->out);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, fd);
  close(null);
}

void stdio_describe(const stream *s, char *buf, size_t n) {
  snprintf(buf, n, "%s", ((const stdio *)(const void *)s)->name);
}

int stdio_put(stream *s, const char *text, size_t n) {
  if (s->closed || s->shut) return UV_ECANCELED;
  if (stream_queued(s) >= MOST_QUEUED) return UV_EAGAIN;
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)n);
  return stream_write(s, &buf, 1);
}

// --- Terminals and pipes ---------------------------------------------------------------------

static int start(stream *s) {
  int rc = stdio_may_read(s);
  return rc < 0 ? rc : stream_uv_start(s);
}

static int try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  int rc = stdio_may_write(s);
  stdio_flush_stock(s);
  return rc < 0 ? rc : stdio_sent(s, stream_uv_try_write(s, bufs, n));
}

static void on_write(uv_write_t *req, int status) {
  stream *s = req->handle->data;
  stream_written(s, stdio_sent(s, status));
}

static int begin_write(stream *s, uv_write_t *req, uv_buf_t buf) {
  return uv_write(req, stdio_of(s)->base.uv, &buf, 1, on_write);
}

static void close_uv(stream *s) {
  stdio_release(s);
  stream_uv_close(s);
}

#define UV_TRANSPORT(name, again)                                                  \
  {                                                                                \
    .kind = (name), .ends_again = (again), .start = start, .stop = stream_uv_stop, \
    .try_write = try_write, .write = begin_write, .shutdown = stream_uv_shutdown,  \
    .flush = stream_uv_flush, .close = close_uv, .hold = stream_uv_hold,           \
    .describe = stdio_describe,                                                    \
  }

static const stream_transport tty_transport = UV_TRANSPORT("tty", 1);
static const stream_transport pipe_transport = UV_TRANSPORT("pipe", 0);

int stdio_is_tty(const stream *s) {
  return s->t == &tty_transport;
}

// A terminal: libuv opens it anew by its path and lays that over the descriptor it is given, which
// is a copy here, so that the process's own descriptor stays what it is. Where it cannot be opened
// libuv uses the copy, whose flags are everybody's.
static int open_tty(rt *r, io_state *io, int fd, stdio **out) {
  int flags = fcntl(fd, F_GETFL), copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return UV_EMFILE;
  uv_stdio *p = calloc(1, sizeof *p);
  int rc = p ? uv_tty_init(&r->loop, &p->uv.tty, copy, 0) : UV_ENOMEM;
  if (rc < 0) {
    close(copy);
    free(p);
    return rc;
  }
  uv_os_fd_t own;
  if (uv_fileno(&p->uv.handle, &own) == 0 && own != copy)
    close(copy);
  else
    fcntl(fd, F_SETFL, flags);
  stream_uv_init(&p->head.base, r, io, &tty_transport, (uv_stream_t *)&p->uv.tty);
  *out = &p->head;
  return 0;
}

static int open_pipe(rt *r, io_state *io, int own, stdio **out) {
  uv_stdio *p = calloc(1, sizeof *p);
  int rc = p ? uv_pipe_init(&r->loop, &p->uv.pipe, 0) : UV_ENOMEM;
  if (rc < 0) {
    close(own);
    free(p);
    return rc;
  }
  stream_uv_init(&p->head.base, r, io, &pipe_transport, (uv_stream_t *)&p->uv.pipe);
  rc = uv_pipe_open(&p->uv.pipe, own);
  if (rc < 0) {
    close(own);
    p->head.fd = -1;
    stream_close(&p->head.base.s, 0);
    return rc;
  }
  *out = &p->head;
  return 0;
}

// Open the anonymous pipe behind the descriptor anew, without blocking. Answers -1 where that is
// impossible: a pipe whose reader has gone or that belongs to another user, a system without /proc.
// Not a named one: its new reader would not be told the end if the writers have left already.
static int open_anew(int fd, int access) {
#ifdef __linux__
  static const char kind[] = "pipe:";
  char path[32], target[sizeof kind];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (readlink(path, target, sizeof target) < (ssize_t)sizeof kind - 1) return -1;
  if (memcmp(target, kind, sizeof kind - 1) != 0) return -1;
  return open(path, access | O_NONBLOCK | O_CLOEXEC);
#else
  (void)fd;
  (void)access;
  return -1;
#endif
}

// --- Opening ---------------------------------------------------------------------------------

static const char *name_of(int fd) {
  static const char *const names[] = {"stdin", "stdout", "stderr"};
  return fd < 0 ? "/dev/tty" : names[fd];
}

// Whether it is a folder or a disk: no files to libuv, but nothing that could be watched either.
static int is_folder_or_disk(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && (S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode));
}

static int open_any(rt *r, io_state *io, int fd, int access, stdio **out) {
  switch (uv_guess_handle(fd)) {
    case UV_TTY: return open_tty(r, io, fd, out);
    case UV_FILE: return stdio_open_file(r, io, out);
    default: break;
  }
  if (is_folder_or_disk(fd)) return stdio_open_file(r, io, out);
  int own = open_anew(fd, access);
  return own >= 0 ? open_pipe(r, io, own, out) : stdio_open_poll(r, io, fd, out);
}

// The descriptor's place is taken by functions of the host.
static int open_host(rt *r, io_state *io, int fd, FILE *file, stream **out) {
  stdio *p;
  int rc = stdio_open_file(r, io, &p);
  if (rc < 0) return rc;
  p->file = file;
  p->fd = -1;
  p->access = O_WRONLY;
  p->name = name_of(fd);
  *out = &p->base.s;
  return 0;
}

int stdio_open(rt *r, io_state *io, int fd, stream **out) {
  FILE *file = output_file(r, fd);
  if (file) return open_host(r, io, fd, file, out);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return UV_EBADF;
  stdio *p;
  int rc = open_any(r, io, fd, flags & O_ACCMODE, &p);
  if (rc < 0) return rc;
  p->fd = fd;
  p->access = flags & O_ACCMODE;
  p->name = name_of(fd);
  *out = &p->base.s;
  return 0;
}

int stdio_open_tty(rt *r, io_state *io, stream **out) {
  int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return UV_ENXIO;
  stdio *p;
  int rc = open_tty(r, io, fd, &p);
  close(fd);
  if (rc < 0) return rc;
  p->fd = -1;
  p->access = O_RDWR;
  p->name = name_of(-1);
  *out = &p->base.s;
  return 0;
}
