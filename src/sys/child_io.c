// SPDX-License-Identifier: MIT
// The standard descriptors of a process. See child_io.h.
#include "sys/child_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"stdin", "stdout", "stderr"};

static int fail(void) {
  return uv_translate_sys_error(errno);
}

static int keep(child_io_set *set, int fd) {
  return set->opened[set->nopened++] = fd;
}

// Open a file without waiting for one at the other end of a FIFO.
static int open_file(const child_io_want *w, int i) {
  int flags = i == 0 ? O_RDONLY : O_WRONLY | O_CREAT | (w->append ? O_APPEND : O_TRUNC);
  int fd = open(w->path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
  if (fd < 0) return fail();
  if (fcntl(fd, F_SETFL, flags & O_APPEND) == 0) return fd;
  int rc = fail();
  close(fd);
  return rc;
}

// Make a pipe whose ends are closed on exec.
static int make_pipe(int fds[2]) {
#ifdef __linux__
  return pipe2(fds, O_CLOEXEC) < 0 ? fail() : 0;
#else
  if (pipe(fds) < 0) return fail();
  fcntl(fds[0], F_SETFD, FD_CLOEXEC);
  fcntl(fds[1], F_SETFD, FD_CLOEXEC);
  return 0;
#endif
}

// The same of a socket pair.
static int make_sockets(int fds[2]) {
#ifdef SOCK_CLOEXEC
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? fail() : 0;
#else
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) return fail();
  fcntl(fds[0], F_SETFD, FD_CLOEXEC);
  fcntl(fds[1], F_SETFD, FD_CLOEXEC);
  return 0;
#endif
}

// Make a stream of our end, a descriptor that belongs to it from then on.
static int make_stream(rt *r, io_state *io, const stream_transport *t, const char *program,
                       const char *what, int fd, pipe_stream **out) {
  char target[PIPE_TARGET];
  pipe_stream *p;
  snprintf(target, sizeof target, "%s of %s", what, program);
  int rc = pipe_new(r, io, t, target, &p);
  if (rc == 0) {
    rc = uv_pipe_open(&p->uv, fd);
    if (rc == 0) {
      *out = p;
      return 0;
    }
    stream_close(&p->base.s, 0);
  }
  close(fd);
  return rc;
}

static int open_pipe(rt *r, io_state *io, const child_io_plan *p, int i, child_io_set *set) {
  int is_socket = p->want[i].kind == CHILD_IO_SOCKET;
  const char *what = is_socket ? "worker" : names[i];
  int fds[2], rc = is_socket ? make_sockets(fds) : make_pipe(fds);
  if (rc < 0) return rc;
  set->fds[i] = keep(set, fds[i != 0]);
  return make_stream(r, io, &pipe_transport, p->program, what, fds[i == 0], &set->ours[i]);
}

// A descriptor below 3 that is to become another one might be overwritten before its turn.
static int take_fd(child_io_set *set, int i, int fd) {
  set->fds[i] = fd;
  if (fd > 2 || fd == i) return 0;
  fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return fail();
  set->fds[i] = keep(set, fd);
  return 0;
}

// What this process has, for a program that expects calls to wait: if somebody has made it
// non-blocking (a stream of ours on it, or who started us), opened anew, which files and sockets
// need not and cannot be.
static int inherit(child_io_set *set, int i) {
  set->fds[i] = i;
#ifdef __linux__
  char path[32];
  struct stat st;
  int flags = fcntl(i, F_GETFL);
  if (flags < 0 || !(flags & O_NONBLOCK) || fstat(i, &st) < 0 || S_ISREG(st.st_mode)) return 0;
  snprintf(path, sizeof path, "/proc/self/fd/%d", i);
  int fd = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return 0;
  fcntl(fd, F_SETFL, flags & O_APPEND);
  set->fds[i] = keep(set, fd);
#endif
  return 0;
}

static int open_one(rt *r, io_state *io, const child_io_plan *p, int i, child_io_set *set) {
  const child_io_want *w = &p->want[i];
  int fd = -1;
  switch (w->kind) {
    case CHILD_IO_PIPE:
    case CHILD_IO_SOCKET: return open_pipe(r, io, p, i, set);
    case CHILD_IO_INHERIT: return inherit(set, i);
    case CHILD_IO_STDOUT: set->fds[i] = set->fds[1]; return 0;
    case CHILD_IO_FD: return take_fd(set, i, w->fd);
    case CHILD_IO_PATH: fd = open_file(w, i); break;
    case CHILD_IO_NULL:
      fd = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
      if (fd < 0) fd = fail();
      break;
  }
  if (fd < 0) return fd;
  set->fds[i] = keep(set, fd);
  return 0;
}

static int open_terminal(rt *r, io_state *io, const child_io_plan *p, child_io_set *set) {
  int master, slave;
  int rc = pty_open(p->cols, p->rows, &master, &slave, set->tty);
  if (rc < 0) return rc;
  keep(set, slave);
  return make_stream(r, io, &pty_transport, p->program, "terminal", master, &set->ours[0]);
}

int child_io_open(rt *r, io_state *io, const child_io_plan *p, child_io_set *out,
                  const char **culprit) {
  int rc = 0;
  memset(out, 0, sizeof *out);
  *culprit = NULL;
  if (p->is_pty) rc = open_terminal(r, io, p, out);
  for (int i = 0; i < 3 && rc == 0 && !p->is_pty; i++) {
    rc = open_one(r, io, p, i, out);
    if (rc < 0 && p->want[i].kind == CHILD_IO_PATH) *culprit = p->want[i].path;
  }
  if (rc < 0) child_io_abandon(out);
  return rc;
}

void child_io_release(child_io_set *set) {
  while (set->nopened) close(set->opened[--set->nopened]);
}

void child_io_abandon(child_io_set *set) {
  child_io_release(set);
  for (int i = 0; i < 3; i++) {
    if (set->ours[i]) stream_close(&set->ours[i]->base.s, 0);
    set->ours[i] = NULL;
  }
}

int child_io_claim(rt *r, io_state *io, pipe_stream **out) {
  struct stat st;
  if (fstat(STDIN_FILENO, &st) < 0) return fail();
  if (!S_ISSOCK(st.st_mode)) return UV_ENOTSOCK;
  int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return fail();
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int rc = null < 0 || dup2(null, STDIN_FILENO) < 0 ? fail() : 0;
  if (null >= 0) close(null);
  if (rc == 0) return make_stream(r, io, &pipe_transport, "the pool", "socket", fd, out);
  close(fd);
  return rc;
}
