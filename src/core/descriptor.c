// SPDX-License-Identifier: MIT
// Descriptors. See descriptor.h.
#include "core/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#include "core/error.h"
#include "core/handle.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"

#define LEAST_ROOM 64

typedef struct fd_watch {
  handle h;
  uv_poll_t poll;
  int fd;
  list waiters;
  list fresh;  // in rt->unwatched
} watch;

typedef struct fd_wait {  // on the stack of the coroutine that waits
  list link;
  task *t;
  watch *at;
  int events;
  void *arg;
  descriptor_done done;
} fd_wait;

static void on_closed(uv_handle_t *h) {
  watch *w = h->data;
  handle_fini(&w->h);
  free(w);
}

static void close_watch(handle *h) {
  watch *w = (watch *)(void *)h;
  if (uv_is_closing((uv_handle_t *)&w->poll)) return;
  h->r->watches[w->fd] = NULL;
  list_remove(&w->fresh);
  uv_close((uv_handle_t *)&w->poll, on_closed);
}

static int reserve(rt *r, size_t fd) {
  if (fd < r->nwatches) return 0;
  if (fcntl((int)fd, F_GETFD) < 0) return UV_EBADF;  // no room for a number that is none
  size_t n = r->nwatches ? r->nwatches : LEAST_ROOM;
  while (n <= fd) n *= 2;
  watch **grown = realloc(r->watches, n * sizeof(watch *));
  if (!grown) return UV_ENOMEM;
  for (size_t i = r->nwatches; i < n; i++) grown[i] = NULL;
  r->watches = grown;
  r->nwatches = n;
  return 0;
}

// The watch of a descriptor, made if there is none yet. Answers 0 or a negative libuv code.
static int watch_of(rt *r, int fd, watch **out) {
  if (fd < 0) return UV_EBADF;
  int rc = reserve(r, (size_t)fd);
  if (rc < 0) return rc;
  *out = r->watches[fd];
  if (*out) return 0;
  watch *w = calloc(1, sizeof *w);
  if (!w) return UV_ENOMEM;
  rc = uv_poll_init(&r->loop, &w->poll, fd);
  if (rc < 0) {
    free(w);
    return rc;
  }
  w->poll.data = w;
  w->fd = fd;
  list_init(&w->waiters);
  list_init(&w->fresh);
  handle_init(r, &w->h, "descriptor", close_watch);
  *out = r->watches[fd] = w;
  return 0;
}

static void on_ready(uv_poll_t *h, int status, int events);

// Look for all that somebody waits for. Answers 0 or a negative libuv code.
static int refresh(watch *w) {
  int events = 0;
  for (const list *l = w->waiters.next; l != &w->waiters; l = l->next)
    events |= list_entry(l, fd_wait, link)->events;
  if (!events) {
    close_watch(&w->h);
    return 0;
  }
  if (list_empty(&w->fresh)) list_push(&w->h.r->unwatched, &w->fresh);
  return uv_poll_start(&w->poll, events, on_ready);
}

// Wake those who wait for some of `events`: with the bits that hold, or with `rc` if it is not 0.
static void wake(watch *w, int events, int rc) {
  for (list *l = w->waiters.next, *next; l != &w->waiters; l = next) {
    next = l->next;
    fd_wait *f = list_entry(l, fd_wait, link);
    if (!(f->events & events)) continue;
    list_remove(&f->link);
    wait_wake(f->t, rc ? rc : f->events & events);
  }
}

// libuv calls a descriptor that failed a bad one, and stops to look: those who wait for it shall
// ask it what is wrong.
static void on_ready(uv_poll_t *h, int status, int events) {
  watch *w = h->data;
  int is_bad = status < 0 && fcntl(w->fd, F_GETFD) < 0 && errno == EBADF;
  wake(w, status < 0 ? UV_READABLE | UV_WRITABLE : events, is_bad ? UV_EBADF : 0);
  refresh(w);
}

static wait_answer cancel(task *t, void *arg) {
  fd_wait *f = arg;
  (void)t;
  list_remove(&f->link);
  refresh(f->at);
  return WAIT_STOPPED;
}

static int resumed(lua_State *L, void *arg, int rc) {
  fd_wait f = *(fd_wait *)arg;
  lua_pop(L, 1);
  return f.done(L, f.arg, rc);
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  const fd_wait *f = arg;
  static const char *const what[] = {"", "readable", "writable", "readable or writable"};
  (void)t;
  snprintf(buf, n, "%d to be %s", f->at->fd, what[f->events]);
}

static const wait_ops fd_ops = {"descriptor", cancel, resumed, describe};

int descriptor_await(lua_State *L, int fd, int events, uint64_t when, void *arg,
                     descriptor_done done) {
  wait_check(L);
  luaL_checkstack(L, 1, NULL);
  watch *w;
  fd_wait *f = lua_newuserdatauv(L, sizeof *f, 0);
  int rc = watch_of(rt_of(L), fd, &w);
  if (rc == 0) {
    *f = (fd_wait){.t = task_current(L), .at = w, .events = events, .arg = arg, .done = done};
    list_push(&w->waiters, &f->link);
    rc = refresh(w);
    if (rc < 0) cancel(f->t, f);
  }
  if (rc == 0) return wait_begin_until(L, &fd_ops, f, when);
  lua_pop(L, 1);
  return done(L, arg, rc);
}

int descriptor_test(int fd, int events) {
  struct pollfd p = {.fd = fd};
  if (fd < 0) return UV_EBADF;
  if (events & UV_READABLE) p.events |= POLLIN;
  if (events & UV_WRITABLE) p.events |= POLLOUT;
  int rc;
  while ((rc = poll(&p, 1, 0)) < 0 && errno == EINTR) continue;
  if (rc < 0) return uv_translate_sys_error(errno);
  if (p.revents & POLLNVAL) return UV_EBADF;
  if (p.revents & (POLLERR | POLLHUP)) return events;
  return (p.revents & POLLIN ? UV_READABLE : 0) | (p.revents & POLLOUT ? UV_WRITABLE : 0);
}

void descriptor_look(rt *r) {
  struct stat s;
  for (list *l; (l = list_shift(&r->unwatched)) != NULL;) {
    watch *w = list_entry(l, watch, fresh);
    int rc = 0;
    if (fstat(w->fd, &s) < 0)
      rc = uv_translate_sys_error(errno);
    else if (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode))  // another one has its number by now
      rc = UV_EPERM;
    if (rc == 0) continue;
    wake(w, UV_READABLE | UV_WRITABLE, rc);
    refresh(w);
  }
}

void descriptor_release(rt *r, int fd, int rc) {
  watch *w = fd >= 0 && (size_t)fd < r->nwatches ? r->watches[fd] : NULL;
  if (!w) return;
  wake(w, UV_READABLE | UV_WRITABLE, rc);
  refresh(w);
}
