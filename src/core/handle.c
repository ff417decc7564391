// SPDX-License-Identifier: MIT
// Handles. See handle.h.
#include "core/handle.h"

#include "core/runtime.h"

void handle_init(rt *r, handle *h, const char *kind, void (*close)(handle *)) {
  h->r = r;
  h->kind = kind;
  h->close = close;
  list_push(&r->handles, &h->link);
  r->nhandles++;
}

void handle_fini(handle *h) {
  list_remove(&h->link);
  h->r->nhandles--;
}

void handle_close_all(rt *r) {
  for (list *l = r->handles.next, *next; l != &r->handles; l = next) {
    next = l->next;
    handle *h = list_entry(l, handle, link);
    h->close(h);
  }
}
