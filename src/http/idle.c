// SPDX-License-Identifier: MIT
// Idle connections. See idle.h.
#include "http/idle.h"

#include <stdlib.h>

#include "core/runtime.h"
#include "http/connection.h"

#define LONGEST 1e12  // seconds from which on there is no limit

static void on_close(uv_handle_t *h) {
  http_idle *i = h->data;
  handle_fini(&i->h);
  free(i);
}

void http_idle_close(http_idle *i) {
  for (list *l; (l = list_shift(&i->connections));)
    list_entry(l, http_connection, idle)->idles_in = NULL;
  if (!i->limit)
    free(i);
  else if (!uv_is_closing((uv_handle_t *)&i->timer))
    uv_close((uv_handle_t *)&i->timer, on_close);
}

void http_idle_close_all(http_idle *i) {
  while (!list_empty(&i->connections))
    http_connection_close(list_entry(i->connections.next, http_connection, idle));
}

void http_idle_close_silent(http_idle *i) {
  i->is_closing = 1;
  for (list *l = i->connections.next, *next; l != &i->connections; l = next) {
    http_connection *c = list_entry(l, http_connection, idle);
    next = l->next;
    if (!http_connection_has_more(c)) http_connection_end(c);
  }
}

static void close_handle(handle *h) {
  http_idle_close(list_entry(h, http_idle, h));
}

int http_idle_open(rt *r, double seconds, unsigned most_warm, http_idle **out) {
  http_idle *i = calloc(1, sizeof *i);
  if (!i) return UV_ENOMEM;
  list_init(&i->connections);
  i->most_warm = most_warm;
  *out = i;
  if (seconds >= LONGEST) return 0;
  uv_timer_init(&r->loop, &i->timer);
  uv_unref((uv_handle_t *)&i->timer);
  i->timer.data = i;
  i->limit = seconds < 1e-3 ? 1 : (uint64_t)(seconds * 1e3);
  handle_init(r, &i->h, "idle timer", close_handle);
  return 0;
}

static void on_timer(uv_timer_t *t) {
  http_idle *i = t->data;
  uint64_t now = uv_now(t->loop);
  while (!list_empty(&i->connections)) {
    http_connection *c = list_entry(i->connections.next, http_connection, idle);
    if (c->idle_since + i->limit > now) {
      uv_timer_start(t, on_timer, c->idle_since + i->limit - now, 0);
      return;
    }
    http_connection_close(c);
  }
}

// The connection is the last one now, and warm; perhaps the first that is warm is one too many.
static void warm(http_idle *i, http_connection *c) {
  c->warm = 1;
  if (i->nwarm++ == 0) i->warm = &c->idle;
  if (i->nwarm <= i->most_warm) return;
  http_connection *first = list_entry(i->warm, http_connection, idle);
  i->warm = first->idle.next;
  i->nwarm--;
  first->warm = 0;
  http_connection_cool(first);
}

void http_idle_add(http_idle *i, http_connection *c) {
  http_idle_remove(c);
  list_push(&i->connections, &c->idle);
  c->idles_in = i;
  if (i->most_warm) warm(i, c);
  if (!i->limit) return;
  c->idle_since = uv_now(i->timer.loop);
  if (!uv_is_active((uv_handle_t *)&i->timer)) uv_timer_start(&i->timer, on_timer, i->limit, 0);
}

void http_idle_remove(http_connection *c) {
  http_idle *i = c->idles_in;
  if (!i) return;
  if (c->warm && i->warm == &c->idle) i->warm = c->idle.next;
  i->nwarm -= c->warm;
  c->warm = 0;
  c->idles_in = NULL;
  list_remove(&c->idle);
}
