// SPDX-License-Identifier: MIT
// Connecting. See dial.h. Invariant: the object lives until the task has let go of it, the callback
// of each attempt has run, and the timer of a Unix socket's is closed; a stream in `conn` of an
// attempt is not closed yet.
#include "net/dial.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/pipe.h"

#define ATTEMPT_DELAY 0.25  // seconds; RFC 8305, section 5: Connection Attempt Delay
#define LONGEST_PAUSE 16    // milliseconds between two attempts at a Unix socket
#define UNIX "unix:"

typedef struct attempt {
  uv_connect_t req;
  struct dial *d;
  stream *conn;  // NULL once it failed or was given up
} attempt;

typedef struct dial {
  rt *r;
  io_state *io;
  task *t;  // NULL once woken, or when the task gave up
  unsigned refs;
  int rc, at, pending;  // the error so far, addresses begun with, attempts under way
  stream *winner;
  timer_call delay;
  uv_timer_t retry;  // of a Unix socket: in the world's time, also under a virtual clock
  int is_path;
  unsigned pause;  // milliseconds at most, once its queue was full
  dial_options o;
  address_list hosts;
  char target[ADDRESS_TEXT];  // what is tried now, for the task tree
  attempt attempts[];
} dial;

static void on_connect(uv_connect_t *req, int status);

static void unref(dial *d) {
  if (--d->refs == 0) free(d);
}

// Keep the error that tells most: one of the way to an address matters less than an answer from it.
static void note(dial *d, int rc) {
  int is_vague = d->rc == 0 || d->rc == UV_ENETUNREACH || d->rc == UV_EADDRNOTAVAIL ||
                 d->rc == UV_EAFNOSUPPORT || d->rc == UV_EHOSTUNREACH;
  if (is_vague) d->rc = rc;
}

static void on_retry_closed(uv_handle_t *h) {
  unref(h->data);
}

// Close what has not won. The callbacks still come, with UV_ECANCELED.
static void drop_attempts(dial *d) {
  uv_handle_t *retry = (uv_handle_t *)&d->retry;
  timer_disarm(d->r, &d->delay.tm);
  if (d->is_path && !uv_is_closing(retry)) uv_close(retry, on_retry_closed);
  for (int i = 0; i < d->at; i++) {
    stream *s = d->attempts[i].conn;
    d->attempts[i].conn = NULL;
    if (s) stream_close(s, 0);
  }
}

// The outcome is known.
static void settle(dial *d, int rc) {
  d->rc = rc;
  drop_attempts(d);
  task *t = d->t;
  d->t = NULL;
  if (t) wait_wake(t, 0);
}

// --- One attempt -----------------------------------------------------------------------------

static int connect_tcp(dial *d, attempt *a, const address *to) {
  tcp *conn;
  int rc = tcp_new(d->r, d->io, &conn);
  if (rc < 0) return rc;
  a->conn = &conn->base.s;
  conn->peer = *to;
  if (d->o.nodelay) uv_tcp_nodelay(&conn->uv, 1);  // kept until there is a socket
  if (d->o.bind.sa.sa_family) rc = uv_tcp_bind(&conn->uv, &d->o.bind.sa, 0);
  return rc < 0 ? rc : uv_tcp_connect(&a->req, &conn->uv, &to->sa, on_connect);
}

// Begin with the next address. Answers 0, or an error.
static int begin(dial *d) {
  attempt *a = &d->attempts[d->at];
  const address *to = &d->hosts.a[d->at++];
  a->d = d;
  a->req.data = a;
  address_format(to, d->target, sizeof d->target);
  int rc = connect_tcp(d, a, to);
  if (rc == 0) {
    d->refs++;
    d->pending++;
    return 0;
  }
  if (a->conn) stream_close(a->conn, 0);
  a->conn = NULL;
  note(d, rc);
  return rc;
}

// Begin with the next address that can be begun with; when none is left and none is under way, the
// dial has failed.
static void advance(dial *d) {
  timer_disarm(d->r, &d->delay.tm);
  while (d->at < d->hosts.n && begin(d) < 0) {
  }
  if (!d->pending)
    settle(d, d->rc ? d->rc : UV_EADDRNOTAVAIL);
  else if (d->at < d->hosts.n)
    // Without memory for the timer the next address waits until this one has failed.
    timer_arm(d->r, &d->delay.tm, timer_after(d->r, ATTEMPT_DELAY));
}

static void try_path(dial *d) {
  attempt *a = &d->attempts[0];
  pipe_stream *conn;
  int rc = pipe_new(d->r, d->io, &unix_transport, d->target, &conn);
  if (rc < 0) {
    settle(d, rc);
    return;
  }
  a->d = d;
  a->req.data = a;
  a->conn = &conn->base.s;
  d->at = d->pending = 1;
  d->refs++;
  uv_pipe_connect(&a->req, &conn->uv, d->target + strlen(UNIX), on_connect);
}

static void on_retry(uv_timer_t *t) {
  try_path(t->data);
}

// Where a connect(2) that blocks would wait for room in the server's queue, one that does not is
// told EAGAIN, and nothing tells when there is room. Those who wait come at different times, so
// that the server can run between them.
static void try_path_later(dial *d) {
  if (d->pause < LONGEST_PAUSE) d->pause = d->pause ? d->pause * 2 : 1;
  uv_timer_start(&d->retry, on_retry, 1 + rt_random(d->r) % d->pause, 0);
}

static void on_delay(timer_call *c) {
  advance(list_entry(c, dial, delay));
}

// An attempt has failed.
static void fail(dial *d, int rc) {
  if (!d->t) return;
  if (d->is_path && rc == UV_EAGAIN) {
    try_path_later(d);
  } else {
    note(d, rc);
    advance(d);
  }
}

static void on_connect(uv_connect_t *req, int status) {
  attempt *a = req->data;
  dial *d = a->d;
  stream *s = a->conn;
  d->pending--;
  a->conn = NULL;
  if (s && status == 0) {
    d->winner = s;
    settle(d, 0);
  } else if (s) {
    stream_close(s, 0);
    fail(d, status);
  }
  unref(d);
}

// --- The wait --------------------------------------------------------------------------------

wait_answer dial_cancel(task *t, void *arg) {
  dial *d = arg;
  (void)t;
  d->t = NULL;
  drop_attempts(d);
  unref(d);
  return WAIT_STOPPED;
}

void dial_describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  const dial *d = arg;
  snprintf(buf, n, "%s%s", d->target, d->pause ? ", whose queue is full" : "");
}

int dial_take(void *arg, stream **out) {
  dial *d = arg;
  int rc = d->rc;
  if (rc == 0) {
    *out = stream_ref(d->winner);
    if (d->o.keepalive && (*out)->t == &tcp_transport)
      uv_tcp_keepalive(&((tcp *)(void *)*out)->uv, 1, d->o.keepalive);
  }
  unref(d);
  return rc;
}

static dial *make(lua_State *L, int attempts) {
  io_state *io = io_state_of(L);
  dial *d = calloc(1, sizeof *d + (size_t)attempts * sizeof *d->attempts);
  if (!d) luaL_error(L, "not enough memory");
  d->r = rt_of(L);
  d->io = io;
  d->t = task_current(L);
  d->refs = 1;
  d->delay.tm.kind = TIMER_CALL;
  d->delay.fire = on_delay;
  return d;
}

// The addresses as RFC 8305, section 4, wants them: the resolver's order, families alternating.
static void interleave(const address_list *from, address_list *to) {
  int next[2] = {0, 0}, family = from->a[0].sa.sa_family;
  to->n = 0;
  for (int turn = 0; to->n < from->n; turn = !turn) {
    int *i = &next[turn];
    while (*i < from->n && (from->a[*i].sa.sa_family == family) == turn) ++*i;
    if (*i < from->n) to->a[to->n++] = from->a[(*i)++];
  }
}

int dial_begin(lua_State *L, const address_list *hosts, const dial_options *o, uint64_t when,
               const wait_ops *ops) {
  wait_check(L);
  dial *d = make(L, hosts->n);
  d->o = *o;
  interleave(hosts, &d->hosts);
  advance(d);
  return wait_begin_until(L, ops, d, when);
}

int dial_begin_path(lua_State *L, const char *path, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  dial *d = make(L, 1);
  snprintf(d->target, sizeof d->target, UNIX "%s", path);
  d->is_path = 1;
  uv_timer_init(&d->r->loop, &d->retry);
  d->retry.data = d;
  d->refs++;
  try_path(d);
  return wait_begin_until(L, ops, d, when);
}
