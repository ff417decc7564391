// SPDX-License-Identifier: MIT
// Host names to addresses. See resolve.h. Invariant: the request is freed by whoever sees it last:
// the task that takes the result, or the callback when that task gave up.
#include "net/resolve.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/job.h"
#include "core/runtime.h"
#include "core/task.h"

typedef struct resolution {
  uv_getaddrinfo_t req;
  job job;  // for libuv's thread: it may go on when the task has given up
  task *t;  // NULL once the task gave up
  int rc;
  char host[];  // for the task tree
} resolution;

int resolve_numeric(const endpoint *e, address_list *out) {
  if (!e->host[0]) {
    out->n = 2;
    address_any(AF_INET6, e->port, &out->a[0]);
    address_any(AF_INET, e->port, &out->a[1]);
    return 0;
  }
  out->n = 1;
  return address_parse(e->host, e->port, &out->a[0]);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res) {
  resolution *r = req->data;
  (void)res;  // libuv keeps it in the request
  r->rc = status;
  job_end(req->loop->data, &r->job);
  if (r->t) {
    wait_wake(r->t, 0);
  } else {
    uv_freeaddrinfo(req->addrinfo);
    free(r);
  }
}

wait_answer resolve_cancel(task *t, void *arg) {
  resolution *r = arg;
  (void)t;
  r->t = NULL;
  uv_cancel((uv_req_t *)&r->req);  // works while no thread has begun with it
  return WAIT_ABANDONED;
}

void resolve_describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  snprintf(buf, n, "%s", ((const resolution *)arg)->host);
}

int resolve_take(void *arg, address_list *out) {
  resolution *r = arg;
  int rc = r->rc;
  out->n = 0;
  for (struct addrinfo *a = rc < 0 ? NULL : r->req.addrinfo; a && out->n < RESOLVE_MOST;
       a = a->ai_next)
    if (address_from(a->ai_addr, &out->a[out->n]) == 0) out->n++;
  uv_freeaddrinfo(r->req.addrinfo);
  free(r);
  return rc < 0 ? rc : out->n ? 0 : UV_EAI_NONAME;
}

int resolve_begin(lua_State *L, const endpoint *e, uint64_t when, const wait_ops *ops) {
  rt *runtime = rt_of(L);
  wait_check(L);
  size_t len = strlen(e->host);
  resolution *r = calloc(1, sizeof *r + len + 1);
  if (!r) return luaL_error(L, "not enough memory");
  memcpy(r->host, e->host, len);
  char port[8];
  snprintf(port, sizeof port, "%u", (unsigned)e->port);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  r->req.data = r;
  r->t = task_current(L);
  int rc = uv_getaddrinfo(&runtime->loop, &r->req, on_resolved, e->host, port, &hints);
  if (rc < 0) {
    r->rc = rc;
    return ops->done(L, r, 0);
  }
  job_begin(runtime, &r->job, "getaddrinfo", r->host);
  return wait_begin_until(L, ops, r, when);
}
