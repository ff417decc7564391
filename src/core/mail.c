// SPDX-License-Identifier: MIT
// Mail. See mail.h.
#include "core/mail.h"

#include "core/runtime.h"

void mail_post(rt *r, letter *l) {
  letter *first = atomic_load_explicit(&r->mail, memory_order_relaxed);
  do {
    l->next = first;
  } while (!atomic_compare_exchange_weak_explicit(&r->mail, &first, l, memory_order_release,
                                                  memory_order_relaxed));
  uv_async_send(&r->wakeup);
}

void mail_deliver(rt *r) {
  letter *l = atomic_exchange_explicit(&r->mail, NULL, memory_order_acquire), *in_order = NULL;
  while (l) {
    letter *next = l->next;
    l->next = in_order;
    in_order = l;
    l = next;
  }
  while (in_order) {
    l = in_order;
    in_order = l->next;
    l->deliver(l);
  }
}
