// SPDX-License-Identifier: MIT
// Listening sockets. See listener.h.
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/runtime.h"
#include "core/task.h"
#include "io/pipe.h"

// --- Opening ---------------------------------------------------------------------------------

static int set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value);
}

// Answers a descriptor that is not inherited, or a negative error.
static int make_socket(int family) {
  int fd = socket(family, SOCK_STREAM, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) return fd;
  close(fd);
  return UV_EIO;
}

static int fail_socket(int fd) {
  int rc = uv_translate_sys_error(errno);
  close(fd);
  return rc;
}

static int open_socket(const address *a, const listen_options *o) {
  int fd = make_socket(a->sa.sa_family), ok = 1;
  if (fd < 0) return fd;
  if (o->reuse) ok = set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0;
  if (o->reuse_port) ok = ok && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0;
  if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
    ok = ok && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == 0;
  ok = ok && set(fd, IPPROTO_TCP, TCP_NODELAY, 1) == 0;  // accepted sockets inherit it
  ok = ok && bind(fd, &a->sa, address_size(a)) == 0 && listen(fd, o->backlog) == 0;
  return ok ? fd : fail_socket(fd);
}

// Remove the socket that a listener which ended badly has left behind: nobody answers there. One
// whose queue is full would keep us waiting.
static int remove_stale(const struct sockaddr_un *sun) {
  struct stat st;
  if (lstat(sun->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) return 0;
  int fd = make_socket(AF_UNIX);
  if (fd < 0) return 0;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  int is_stale =
    connect(fd, (const struct sockaddr *)sun, sizeof *sun) < 0 && errno == ECONNREFUSED;
  close(fd);
  return is_stale && unlink(sun->sun_path) == 0;
}

static int bind_path(int fd, const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  memcpy(sun.sun_path, path, strlen(path) + 1);
  if (bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0) return 0;
  if (errno != EADDRINUSE) return -1;
  if (remove_stale(&sun)) return bind(fd, (struct sockaddr *)&sun, sizeof sun);
  errno = EADDRINUSE;
  return -1;
}

static int open_path(const char *path, const listen_options *o) {
  int fd = make_socket(AF_UNIX);
  if (fd < 0) return fd;
  if (bind_path(fd, path) < 0) return fail_socket(fd);
  // The mode is set before anybody can connect.
  if ((o->mode < 0 || chmod(path, (mode_t)o->mode) == 0) && listen(fd, o->backlog) == 0) return fd;
  int rc = fail_socket(fd);
  unlink(path);
  return rc;
}

static void close_handle(handle *h) {
  listener_close(list_entry(h, listener, h), 0);
}

// Make the listener of a descriptor, which is closed when that fails.
static int adopt(rt *r, int fd, listener *l) {
  int rc = uv_poll_init(&r->loop, &l->poll, fd);
  if (rc < 0) {
    close(fd);
    free(l);
    return rc;
  }
  l->fd = fd;
  uv_unref((uv_handle_t *)&l->poll);  // only waiting tasks are a reason for the loop to go on
  l->poll.data = l;
  l->refs = 2;
  list_init(&l->waiters);
  handle_init(r, &l->h, "listener", close_handle);
  return 0;
}

int listener_open(rt *r, const address *a, const listen_options *o, listener **out) {
  listener *l = calloc(1, sizeof *l);
  if (!l) return UV_ENOMEM;
  address local;
  socklen_t size = sizeof local;
  int fd = open_socket(a, o), rc = fd;
  if (fd >= 0 && getsockname(fd, &local.sa, &size) < 0) rc = fail_socket(fd);
  if (rc < 0) {
    free(l);
    return rc;
  }
  address_format(&local, l->local, sizeof l->local);
  rc = adopt(r, fd, l);
  if (rc == 0) *out = l;
  return rc;
}

int listener_open_path(rt *r, const char *path, const listen_options *o, listener **out) {
  size_t len = strlen(path);
  listener *l = calloc(1, sizeof *l + len + 1);
  if (!l) return UV_ENOMEM;
  struct stat st;
  int fd = open_path(path, o);
  if (fd < 0) {
    free(l);
    return fd;
  }
  memcpy(l->path, path, len + 1);
  l->is_path = 1;
  snprintf(l->local, sizeof l->local, "unix:%s", path);
  if (lstat(path, &st) == 0) l->inode = st.st_ino;
  int rc = adopt(r, fd, l);
  if (rc == 0)
    *out = l;
  else
    unlink(path);
  return rc;
}

// A whole number that is known of a socket, or a negative error.
static int get(int fd, int name) {
  int value;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? uv_translate_sys_error(errno)
                                                             : value;
}

// Write the name of a Unix socket; one without a file, in Linux's own name space, has a zero byte
// in place of the "@".
static void format_path(const struct sockaddr_un *sun, socklen_t size, char *buf, size_t n) {
  int len = (int)(size - offsetof(struct sockaddr_un, sun_path)), at = len > 0 && !*sun->sun_path;
  snprintf(buf, n, "unix:%s%.*s", at ? "@" : "", len - at, sun->sun_path + at);
}

// Learn from the system what kind of socket it is, and its address. Answers 0 or an error.
static int inspect(int fd, listener *l) {
  union {
    struct sockaddr sa;
    struct sockaddr_un un;
    address ip;
  } local;
  memset(&local, 0, sizeof local);
  socklen_t size = sizeof local;
  int type = get(fd, SO_TYPE), listens = get(fd, SO_ACCEPTCONN);
  if (type < 0) return type;
  if (type != SOCK_STREAM) return UV_EPROTOTYPE;
  if (listens <= 0) return UV_EINVAL;
  if (getsockname(fd, &local.sa, &size) < 0) return uv_translate_sys_error(errno);
  l->is_path = local.sa.sa_family == AF_UNIX;
  if (l->is_path) {
    format_path(&local.un, size, l->local, sizeof l->local);
    return 0;
  }
  if (local.sa.sa_family != AF_INET && local.sa.sa_family != AF_INET6) return UV_EAFNOSUPPORT;
  address_format(&local.ip, l->local, sizeof l->local);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // as for our own
  return 0;
}

int listener_open_fd(rt *r, int fd, listener **out) {
  listener *l = calloc(1, sizeof *l + 1);
  if (!l) return UV_ENOMEM;
  int rc = inspect(fd, l);
  if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) rc = uv_translate_sys_error(errno);
  if (rc < 0) {
    free(l);
    return rc;
  }
  rc = adopt(r, fd, l);
  if (rc == 0) *out = l;
  return rc;
}

// --- Closing ---------------------------------------------------------------------------------

void listener_unref(listener *l) {
  if (--l->refs == 0) free(l);
}

static void on_close(uv_handle_t *h) {
  listener *l = h->data;
  handle_fini(&l->h);
  listener_unref(l);
}

static void wake_all(listener *l, int rc) {
  for (list *k; (k = list_shift(&l->waiters));) wait_wake(list_entry(k, task, wlink), rc);
}

// Remove the socket's file, unless somebody has put another in its place.
static void remove_path(const listener *l) {
  struct stat st;
  if (lstat(l->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == l->inode) unlink(l->path);
}

void listener_close(listener *l, uint32_t site) {
  if (l->fd < 0) return;
  l->closed_at = site;
  uv_close((uv_handle_t *)&l->poll, on_close);
  if (l->is_path && *l->path) remove_path(l);
  close(l->fd);
  l->fd = -1;
  wake_all(l, UV_ECANCELED);
}

// --- Waiting ---------------------------------------------------------------------------------

static void hold(listener *l) {
  if (list_empty(&l->waiters))
    uv_unref((uv_handle_t *)&l->poll);
  else
    uv_ref((uv_handle_t *)&l->poll);
}

// One event wakes one task; if more connections are there, the next poll says so.
static void on_readable(uv_poll_t *h, int status, int events) {
  listener *l = h->data;
  (void)events;
  list *k = list_shift(&l->waiters);
  if (status < 0) l->rc = status;
  if (!k || status < 0) {
    uv_poll_stop(&l->poll);
    l->polling = 0;
  }
  if (k) {
    l->granted++;
    wait_wake(list_entry(k, task, wlink), 0);
  }
  if (status < 0) wake_all(l, status);
  hold(l);
}

wait_answer listener_cancel(task *t, void *arg) {
  list_remove(&t->wlink);
  hold(arg);
  return WAIT_STOPPED;
}

int listener_wait(lua_State *L, listener *l, int first, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  if (!l->polling) {
    int rc = uv_poll_start(&l->poll, UV_READABLE, on_readable);
    if (rc < 0) return ops->done(L, l, rc);
    l->polling = 1;
  }
  list_push(first ? l->waiters.next : &l->waiters, &task_current(L)->wlink);
  hold(l);
  return wait_begin_until(L, ops, l, when);
}

int listener_take_turn(listener *l, int rc) {
  if (rc == 0) l->granted--;
  if (l->fd < 0) return UV_ECANCELED;
  return rc < 0 ? rc : l->rc;
}

// --- Accepting -------------------------------------------------------------------------------

static int accept_fd(int fd, address *peer) {
  for (;;) {
    socklen_t size = sizeof *peer;  // the address of a Unix socket is cut off, which is no loss
#ifdef SOCK_CLOEXEC
    int conn = accept4(fd, &peer->sa, &size, SOCK_CLOEXEC);
#else
    int conn = accept(fd, &peer->sa, &size);
    if (conn >= 0) fcntl(conn, F_SETFD, FD_CLOEXEC);
#endif
    if (conn >= 0) return conn;
    // The connection is gone again, or the network failed on it: the next one may be well.
    if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
      return errno == EWOULDBLOCK ? UV_EAGAIN : uv_translate_sys_error(errno);
  }
}

static int accept_tcp(listener *l, io_state *io, int fd, const address *peer, stream **out) {
  tcp *t;
  int rc = tcp_new(l->h.r, io, &t);
  if (rc < 0) return rc;
  *out = &t->base.s;
  t->peer = *peer;
  return uv_tcp_open(&t->uv, fd);
}

static int accept_path(listener *l, io_state *io, int fd, stream **out) {
  pipe_stream *p;
  int rc = pipe_new(l->h.r, io, &unix_transport, l->local, &p);
  if (rc < 0) return rc;
  *out = &p->base.s;
  return uv_pipe_open(&p->uv, fd);
}

int listener_accept(listener *l, io_state *io, stream **out) {
  address peer;
  int fd = accept_fd(l->fd, &peer);
  if (fd < 0) return fd;
  *out = NULL;
  int rc = l->is_path ? accept_path(l, io, fd, out) : accept_tcp(l, io, fd, &peer, out);
  if (rc == 0) {
    stream_ref(*out);
    return 0;
  }
  close(fd);
  if (*out) stream_close(*out, 0);
  return rc;
}
