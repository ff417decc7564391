// SPDX-License-Identifier: MIT
// Connecting. See dial.h. Invariant: while `conn` is there, its connect request is under way, and
// the callback of that request is the last to see the object once the task has given up.
#include "net/dial.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "core/runtime.h"
#include "core/task.h"

typedef struct dial {
  uv_connect_t req;
  rt *r;
  io_state *io;
  task *t;  // NULL once the task gave up
  tcp *conn;
  int rc, at;
  dial_options o;
  address_list hosts;
} dial;

static void on_connect(uv_connect_t *req, int status);

// Keep the error that tells most: one of the way to an address matters less than an answer from it.
static void note(dial *d, int rc) {
  int is_vague = d->rc == 0 || d->rc == UV_ENETUNREACH || d->rc == UV_EADDRNOTAVAIL ||
                 d->rc == UV_EAFNOSUPPORT || d->rc == UV_EHOSTUNREACH;
  if (is_vague) d->rc = rc;
}

static int attempt(dial *d, const address *a) {
  int rc = tcp_new(d->r, d->io, &d->conn);
  if (rc < 0) return rc;
  uv_tcp_t *uv = &d->conn->uv;
  d->conn->peer = *a;
  if (d->o.nodelay) uv_tcp_nodelay(uv, 1);  // kept until there is a socket
  if (d->o.bind.sa.sa_family) rc = uv_tcp_bind(uv, &d->o.bind.sa, 0);
  if (rc == 0) rc = uv_tcp_connect(&d->req, uv, &a->sa, on_connect);
  if (rc < 0) {
    stream_close(&d->conn->base.s, 0);
    d->conn = NULL;
  }
  return rc;
}

static void advance(dial *d) {
  while (d->at < d->hosts.n) {
    int rc = attempt(d, &d->hosts.a[d->at++]);
    if (rc == 0) return;
    note(d, rc);
  }
  wait_wake(d->t, 0);
}

static void on_connect(uv_connect_t *req, int status) {
  dial *d = req->data;
  if (!d->t) {
    free(d);
  } else if (status == 0) {
    d->rc = 0;
    wait_wake(d->t, 0);
  } else {
    note(d, status);
    stream_close(&d->conn->base.s, 0);
    d->conn = NULL;
    advance(d);
  }
}

wait_answer dial_cancel(task *t, void *arg) {
  dial *d = arg;
  (void)t;
  d->t = NULL;
  stream_close(&d->conn->base.s, 0);  // on_connect comes with UV_ECANCELED
  return WAIT_STOPPED;
}

void dial_describe(const task *t, const void *arg, char *buf, size_t n) {
  const dial *d = arg;
  (void)t;
  buf[0] = 0;
  if (d->conn) address_format(&d->conn->peer, buf, n);
}

int dial_take(void *arg, tcp **out) {
  dial *d = arg;
  int rc = d->rc;
  *out = d->conn;
  free(d);
  if (rc == 0) stream_ref(&(*out)->base.s);
  return rc;
}

int dial_begin(lua_State *L, const address_list *hosts, const dial_options *o, uint64_t when,
               const wait_ops *ops) {
  wait_check(L);
  io_state *io = io_state_of(L);
  dial *d = calloc(1, sizeof *d);
  if (!d) return luaL_error(L, "not enough memory");
  d->req.data = d;
  d->r = rt_of(L);
  d->io = io;
  d->t = task_current(L);
  d->o = *o;
  d->hosts = *hosts;
  advance(d);
  return wait_begin_until(L, ops, d, when);
}
