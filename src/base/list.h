// SPDX-License-Identifier: MIT
// Intrusive doubly linked list. The head is a link that points to itself when the list is empty; a
// link that is in no list points to itself too, so removing twice is harmless. Owns nothing.
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stddef.h>

typedef struct list {
  struct list *next, *prev;
} list;

// The structure of type `T` whose member `m` is the link `p`.
#define list_entry(p, T, m) ((T *)(void *)((char *)(p)-offsetof(T, m)))

static inline void list_init(list *l) {
  l->next = l->prev = l;
}

static inline int list_empty(const list *l) {
  return l->next == l;
}

static inline void list_push(list *head, list *l) {
  l->prev = head->prev;
  l->next = head;
  head->prev->next = l;
  head->prev = l;
}

static inline void list_remove(list *l) {
  l->prev->next = l->next;
  l->next->prev = l->prev;
  l->next = l->prev = l;
}

// Take the first link out of the list; NULL when it is empty.
static inline list *list_shift(list *head) {
  list *l = head->next;
  if (l == head) return NULL;
  list_remove(l);
  return l;
}

#endif
