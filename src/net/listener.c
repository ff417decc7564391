// SPDX-License-Identifier: MIT
// Listening TCP sockets. See listener.h.
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/runtime.h"
#include "core/task.h"

// --- Opening ---------------------------------------------------------------------------------

static int set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value);
}

// Answers the descriptor or a negative error.
static int open_socket(const address *a, int backlog, int reuse) {
  int fd = socket(a->sa.sa_family, SOCK_STREAM, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  int ok = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
  if (reuse) ok = ok && set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0;
  if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
    ok = ok && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == 0;
  ok = ok && set(fd, IPPROTO_TCP, TCP_NODELAY, 1) == 0;  // accepted sockets inherit it
  ok = ok && bind(fd, &a->sa, address_size(a)) == 0 && listen(fd, backlog) == 0;
  if (ok) return fd;
  int rc = uv_translate_sys_error(errno);
  close(fd);
  return rc;
}

static void close_handle(handle *h) {
  listener_close(list_entry(h, listener, h), 0);
}

int listener_open(rt *r, const address *a, int backlog, int reuse, listener **out) {
  listener *l = calloc(1, sizeof *l);
  if (!l) return UV_ENOMEM;
  int rc = l->fd = open_socket(a, backlog, reuse);
  if (rc < 0) {
    free(l);
    return rc;
  }
  socklen_t size = sizeof l->local;
  rc = getsockname(l->fd, &l->local.sa, &size) < 0 ? uv_translate_sys_error(errno) : 0;
  if (rc == 0) rc = uv_poll_init(&r->loop, &l->poll, l->fd);
  if (rc < 0) {
    close(l->fd);
    free(l);
    return rc;
  }
  uv_unref((uv_handle_t *)&l->poll);  // only waiting tasks are a reason for the loop to go on
  l->poll.data = l;
  l->refs = 2;
  list_init(&l->waiters);
  handle_init(r, &l->h, "listener", close_handle);
  *out = l;
  return 0;
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

void listener_close(listener *l, uint32_t site) {
  if (l->fd < 0) return;
  l->closed_at = site;
  uv_close((uv_handle_t *)&l->poll, on_close);
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

int listener_wait(lua_State *L, listener *l, int first, const wait_ops *ops) {
  wait_check(L);
  if (!l->polling) {
    int rc = uv_poll_start(&l->poll, UV_READABLE, on_readable);
    if (rc < 0) return ops->done(L, l, rc);
    l->polling = 1;
  }
  list_push(first ? l->waiters.next : &l->waiters, &task_current(L)->wlink);
  hold(l);
  return wait_begin(L, ops, l);
}

int listener_take_turn(listener *l, int rc) {
  if (rc == 0) l->granted--;
  if (l->fd < 0) return UV_ECANCELED;
  return rc < 0 ? rc : l->rc;
}

// --- Accepting -------------------------------------------------------------------------------

static int accept_fd(int fd, address *peer) {
  for (;;) {
    socklen_t size = sizeof *peer;
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

int listener_accept(listener *l, io_state *io, tcp **out) {
  address peer;
  int fd = accept_fd(l->fd, &peer);
  if (fd < 0) return fd;
  int rc = tcp_new(l->h.r, io, out);
  if (rc < 0) {
    close(fd);
    return rc;
  }
  rc = uv_tcp_open(&(*out)->uv, fd);
  if (rc < 0) {
    close(fd);
    stream_close(&(*out)->base.s, 0);
    return rc;
  }
  (*out)->peer = peer;
  stream_ref(&(*out)->base.s);
  return 0;
}
