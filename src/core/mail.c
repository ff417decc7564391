// SPDX-License-Identifier: MIT
// Mail. See mail.h.
#include "core/mail.h"

#include <sched.h>

#include "core/runtime.h"

void mail_hold(rt *r) {
  atomic_fetch_add_explicit(&r->posting, 1, memory_order_relaxed);
}

void mail_wake(rt *r) {
  wakeup_send(&r->wakeup);
  atomic_fetch_sub_explicit(&r->posting, 1, memory_order_release);
}

void mail_post(rt *r, letter *l) {
  mail_post_all(r, l, l);
}

void mail_post_all(rt *r, letter *newest, letter *oldest) {
  mail_hold(r);
  letter *first = atomic_load_explicit(&r->mail, memory_order_relaxed);
  do {
    oldest->next = first;
  } while (!atomic_compare_exchange_weak_explicit(&r->mail, &first, newest, memory_order_release,
                                                  memory_order_relaxed));
  mail_wake(r);
}

void mail_settle(rt *r) {
  while (atomic_load_explicit(&r->posting, memory_order_acquire)) sched_yield();
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
