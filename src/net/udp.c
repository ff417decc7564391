// SPDX-License-Identifier: MIT
// UDP sockets. See udp.h.
#include "net/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/runtime.h"
#include "core/task.h"

static int error(void) {
  return errno == EWOULDBLOCK ? UV_EAGAIN : uv_translate_sys_error(errno);
}

static int set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value);
}

// --- Life ------------------------------------------------------------------------------------

static int open_socket(const address *a, int reuse) {
  int fd = socket(a->sa.sa_family, SOCK_DGRAM, 0);
  if (fd < 0) return error();
  int ok = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
  if (reuse) ok = ok && set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0;
#ifdef SO_REUSEPORT
  if (reuse) ok = ok && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0;
#endif
  if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
    ok = ok && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == 0;
  ok = ok && bind(fd, &a->sa, address_size(a)) == 0;
  if (ok) return fd;
  int rc = error();
  close(fd);
  return rc;
}

static void note_local(udp *u) {
  address a;
  socklen_t size = sizeof a;
  if (getsockname(u->fd, &a.sa, &size) == 0) address_format(&a, u->local, sizeof u->local);
}

static void close_handle(handle *h) {
  udp_close(list_entry(h, udp, h), 0);
}

int udp_open(rt *r, const address *a, int reuse, udp **out) {
  udp *u = calloc(1, sizeof *u);
  if (!u) return UV_ENOMEM;
  int fd = open_socket(a, reuse), rc = fd;
  if (fd >= 0) rc = uv_poll_init(&r->loop, &u->poll, fd);
  if (rc < 0) {
    if (fd >= 0) close(fd);
    free(u);
    return rc;
  }
  uv_unref((uv_handle_t *)&u->poll);  // only waiting tasks are a reason for the loop to go on
  u->poll.data = u;
  u->fd = fd;
  u->family = a->sa.sa_family;
  u->refs = 2;
  list_init(&u->writers);
  note_local(u);
  handle_init(r, &u->h, "udp", close_handle);
  *out = u;
  return 0;
}

void udp_unref(udp *u) {
  if (--u->refs == 0) free(u);
}

static void on_close(uv_handle_t *h) {
  udp *u = h->data;
  handle_fini(&u->h);
  udp_unref(u);
}

static void wake_writers(udp *u, int rc) {
  for (list *l; (l = list_shift(&u->writers));) wait_wake(list_entry(l, task, wlink), rc);
}

// It stays the reader until it has run, so that nobody takes the datagram before it.
static void wake_reader(udp *u, int rc) {
  if (!u->reader || u->woken) return;
  u->woken = 1;
  wait_wake(u->reader, rc);
}

void udp_close(udp *u, uint32_t site) {
  if (u->fd < 0) return;
  u->closed_at = site;
  uv_close((uv_handle_t *)&u->poll, on_close);
  close(u->fd);
  u->fd = -1;
  wake_reader(u, UV_ECANCELED);
  wake_writers(u, UV_ECANCELED);
}

// --- Waiting ---------------------------------------------------------------------------------

static void on_ready(uv_poll_t *h, int status, int events);

// Poll for what tasks wait for.
static int poll_for_waiters(udp *u) {
  int wanted =
    (u->reader && !u->woken ? UV_READABLE : 0) | (list_empty(&u->writers) ? 0 : UV_WRITABLE);
  int rc = 0;
  if (u->fd < 0) return 0;
  if (wanted != u->events)
    rc = wanted ? uv_poll_start(&u->poll, wanted, on_ready) : uv_poll_stop(&u->poll);
  u->events = rc < 0 ? 0 : wanted;
  if (wanted)
    uv_ref((uv_handle_t *)&u->poll);
  else
    uv_unref((uv_handle_t *)&u->poll);
  return rc;
}

static void on_ready(uv_poll_t *h, int status, int events) {
  udp *u = h->data;
  // An error of the socket is given to whoever calls it next.
  if (status < 0) events = UV_READABLE | UV_WRITABLE;
  if (events & UV_READABLE) wake_reader(u, 0);
  if (events & UV_WRITABLE) wake_writers(u, 0);
  poll_for_waiters(u);
}

wait_answer udp_cancel_recv(task *t, void *arg) {
  udp *u = arg;
  (void)t;
  u->reader = NULL;
  poll_for_waiters(u);
  return WAIT_STOPPED;
}

wait_answer udp_cancel_send(task *t, void *arg) {
  list_remove(&t->wlink);
  poll_for_waiters(arg);
  return WAIT_STOPPED;
}

int udp_wait_recv(lua_State *L, udp *u, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  u->reader = task_current(L);
  u->woken = 0;
  int rc = poll_for_waiters(u);
  if (rc == 0) return wait_begin_until(L, ops, u, when);
  u->reader = NULL;
  return ops->done(L, u, rc);
}

int udp_wait_send(lua_State *L, udp *u, const wait_ops *ops) {
  wait_check(L);
  task *t = task_current(L);
  list_push(&u->writers, &t->wlink);
  int rc = poll_for_waiters(u);
  if (rc == 0) return wait_begin(L, ops, u);
  list_remove(&t->wlink);
  return ops->done(L, u, rc);
}

int udp_take_recv(udp *u, int rc) {
  if (rc != UV_ETIMEDOUT) u->reader = NULL;  // then it has gone, and may be another task's
  return u->fd < 0 ? UV_ECANCELED : rc;
}

int udp_take_send(const udp *u, int rc) {
  return u->fd < 0 ? UV_ECANCELED : rc;
}

// --- Datagrams -------------------------------------------------------------------------------

int udp_send(udp *u, const char *data, size_t n, const address *to) {
  ssize_t sent;
  do {
    sent = sendto(u->fd, data, n, 0, to ? &to->sa : NULL, to ? address_size(to) : 0);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? error() : 0;
}

ssize_t udp_recv(udp *u, void *buf, size_t n, address *from) {
  struct iovec io = {buf, n};
  struct msghdr m = {
    .msg_name = from, .msg_namelen = sizeof *from, .msg_iov = &io, .msg_iovlen = 1};
  ssize_t got;
  do {
    got = recvmsg(u->fd, &m, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return error();
  return m.msg_flags & MSG_TRUNC ? got + 1 : got;
}

int udp_connect(udp *u, const address *peer) {
  if (connect(u->fd, &peer->sa, address_size(peer)) < 0) return error();
  u->peer = *peer;
  u->connected = 1;
  note_local(u);  // by now it is known which of the machine's addresses is used
  return 0;
}

// --- Options ---------------------------------------------------------------------------------

int udp_set(udp *u, udp_option option, int value) {
  int is6 = u->family == AF_INET6, level = is6 ? IPPROTO_IPV6 : IPPROTO_IP, name = 0;
  switch (option) {
    case UDP_BROADCAST:
      level = SOL_SOCKET;
      name = SO_BROADCAST;
      break;
    case UDP_TTL: name = is6 ? IPV6_UNICAST_HOPS : IP_TTL; break;
    case UDP_MULTICAST_TTL: name = is6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL; break;
    case UDP_MULTICAST_LOOP: name = is6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP; break;
  }
  return set(u->fd, level, name, value) < 0 ? error() : 0;
}

static int member4(udp *u, const address *group, const char *interface, int join) {
  struct ip_mreqn m = {.imr_multiaddr = group->in.sin_addr};
  address at;
  if (interface && address_parse(interface, 0, &at) == 0 && at.sa.sa_family == AF_INET)
    m.imr_address = at.in.sin_addr;
  else if (interface && !(m.imr_ifindex = (int)if_nametoindex(interface)))
    return UV_ENODEV;
  int name = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
  return setsockopt(u->fd, IPPROTO_IP, name, &m, sizeof m) < 0 ? error() : 0;
}

static int member6(udp *u, const address *group, const char *interface, int join) {
  struct ipv6_mreq m = {.ipv6mr_multiaddr = group->in6.sin6_addr,
                        .ipv6mr_interface = group->in6.sin6_scope_id};
  if (interface && !(m.ipv6mr_interface = if_nametoindex(interface))) return UV_ENODEV;
  int name = join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
  return setsockopt(u->fd, IPPROTO_IPV6, name, &m, sizeof m) < 0 ? error() : 0;
}

int udp_member(udp *u, const address *group, const char *interface, int join) {
  if (group->sa.sa_family == AF_INET) return member4(u, group, interface, join);
  return member6(u, group, interface, join);
}
