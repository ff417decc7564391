// SPDX-License-Identifier: MIT
// Watching directories. See fs_watch.h.
#include "sys/fs_watch.h"

#include <stdlib.h>
#include <string.h>

#include "core/handle.h"
#include "core/runtime.h"
#include "core/task.h"

#define MOST_BYTES ((size_t)4 << 20)  // of events that nobody looks at

struct watch_dir {
  handle h;
  uv_fs_event_t ev;
  watch *w;
  list link;
  uint32_t id;
};

watch *watch_new(rt *r) {
  watch *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->r = r;
  w->refs = 1;
  list_init(&w->dirs);
  buffer_init(&w->events);
  return w;
}

void watch_unref(watch *w) {
  if (--w->refs) return;
  buffer_fini(&w->events);
  free(w);
}

// --- Events ----------------------------------------------------------------------------------

static size_t hash(uint32_t id, const char *name) {
  uint32_t h = 2166136261u ^ id;  // FNV-1a
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h % WATCH_RECENT;
}

static watch_event *event_at(const watch *w, size_t at) {
  return (watch_event *)(void *)(buffer_bytes(&w->events) + at);
}

static size_t size_of(size_t len) {
  size_t align = _Alignof(watch_event);
  return (sizeof(watch_event) + len + 1 + align - 1) / align * align;
}

const watch_event *watch_next(const watch *w, size_t *at) {
  if (*at >= buffer_len(&w->events)) return NULL;
  const watch_event *e = event_at(w, *at);
  *at += size_of(e->len);
  return e;
}

void watch_clear(watch *w) {
  buffer_fini(&w->events);
  memset(w->recent, 0, sizeof w->recent);
  w->lost = 0;
}

static void record(watch *w, uint32_t id, const char *name, uint32_t what) {
  size_t *recent = &w->recent[hash(id, name)], len = strlen(name), at = buffer_len(&w->events);
  if (*recent) {
    watch_event *e = event_at(w, *recent - 1);
    if (e->id == id && strcmp((const char *)(e + 1), name) == 0) {
      e->what |= what;
      return;
    }
  }
  size_t size = size_of(len);
  if (at + size > MOST_BYTES || buffer_reserve(&w->events, size) < 0) {
    w->lost = 1;
    return;
  }
  w->events.end += size;
  watch_event *e = event_at(w, at);
  *e = (watch_event){id, what, len};
  memcpy(e + 1, name, len + 1);
  *recent = at + 1;
}

static void wake(watch *w) {
  if (!w->t || w->woken) return;
  w->woken = 1;
  wait_wake(w->t, 0);
}

static void on_event(uv_fs_event_t *ev, const char *name, int events, int status) {
  watch_dir *d = ev->data;
  if (!d->w || d->w->closed) return;
  if (status < 0 || !name)
    d->w->lost = 1;
  else
    record(d->w, d->id, name, (uint32_t)events);
  wake(d->w);
}

// --- Directories -----------------------------------------------------------------------------

static void hold(watch *w, int on) {
  if (on && !w->held && !list_empty(&w->dirs)) {
    w->held = list_entry(w->dirs.next, watch_dir, link);
    uv_ref((uv_handle_t *)&w->held->ev);
  } else if (!on && w->held) {
    uv_unref((uv_handle_t *)&w->held->ev);
    w->held = NULL;
  }
}

static void on_closed(uv_handle_t *h) {
  watch_dir *d = h->data;
  handle_fini(&d->h);
  watch_unref(d->w);
  free(d);
}

static void close_dir(handle *h) {
  watch_dir *d = list_entry(h, watch_dir, h);
  if (uv_is_closing((uv_handle_t *)&d->ev)) return;
  list_remove(&d->link);
  if (d->w->held == d) {
    d->w->held = NULL;
    if (d->w->t && !d->w->closed) hold(d->w, 1);
  }
  uv_close((uv_handle_t *)&d->ev, on_closed);
}

int watch_add(watch *w, const char *path, int recursive, uint32_t *id) {
  watch_dir *d = calloc(1, sizeof *d);
  if (!d) return UV_ENOMEM;
  int rc = uv_fs_event_init(&w->r->loop, &d->ev);
  if (rc < 0) {
    free(d);
    return rc;
  }
  d->ev.data = d;
  d->w = w;
  w->refs++;
  *id = d->id = ++w->next_id;
  list_push(&w->dirs, &d->link);
  handle_init(w->r, &d->h, "watch", close_dir);
  uv_unref((uv_handle_t *)&d->ev);  // only a waiting task is a reason for the loop to go on (S38)
  rc = uv_fs_event_start(&d->ev, on_event, path, recursive ? UV_FS_EVENT_RECURSIVE : 0);
  if (rc < 0) close_dir(&d->h);
  return rc;
}

void watch_remove(watch *w, uint32_t id) {
  for (list *l = w->dirs.next; l != &w->dirs; l = l->next) {
    watch_dir *d = list_entry(l, watch_dir, link);
    if (d->id != id) continue;
    close_dir(&d->h);
    return;
  }
}

void watch_close(watch *w, uint32_t site) {
  if (w->closed) return;
  w->closed = 1;
  w->closed_at = site;
  while (!list_empty(&w->dirs)) close_dir(&list_entry(w->dirs.next, watch_dir, link)->h);
  watch_clear(w);
  wake(w);
}

// --- Waiting ---------------------------------------------------------------------------------

int watch_wait(lua_State *L, watch *w, const wait_ops *ops) {
  wait_check(L);
  w->t = task_current(L);
  w->woken = 0;
  hold(w, 1);
  return wait_begin(L, ops, w);
}

void watch_woken(watch *w) {
  w->t = NULL;
  hold(w, 0);
}

wait_answer watch_cancel(task *t, void *arg) {
  (void)t;
  watch_woken(arg);
  return WAIT_STOPPED;
}
