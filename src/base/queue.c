// SPDX-License-Identifier: MIT
// Ring of pointers. See queue.h.
#include "base/queue.h"

#include <stdlib.h>

#define FEW 64  // pointers that insertion sorts faster than a heap

// What is sorted: a part of a ring.
typedef struct sorting {
  queue *q;
  size_t from;
  uint64_t (*key)(const void *p, const void *arg);
  const void *arg;
} sorting;

typedef struct keyed {
  uint64_t key;
  void *p;
} keyed;

void queue_init(queue *q) {
  q->ring = NULL;
  q->head = q->count = q->capacity = 0;
}

void queue_fini(queue *q) {
  free(q->ring);
  queue_init(q);
}

int queue_reserve(queue *q, size_t n) {
  if (n <= q->capacity) return 0;
  size_t cap = q->capacity ? q->capacity : 64;
  while (cap < n) {
    if (cap > SIZE_MAX / (2 * sizeof(void *))) return -1;
    cap *= 2;
  }
  void **ring = malloc(cap * sizeof *ring);
  if (!ring) return -1;
  for (size_t i = 0; i < q->count; i++) ring[i] = q->ring[(q->head + i) & (q->capacity - 1)];
  free(q->ring);
  q->ring = ring;
  q->head = 0;
  q->capacity = cap;
  return 0;
}

static void **at(const sorting *s, size_t i) {
  return &s->q->ring[(s->q->head + s->from + i) & (s->q->capacity - 1)];
}

static int comes_first(const sorting *s, const void *a, const void *b) {
  return s->key(a, s->arg) < s->key(b, s->arg);
}

// By insertion: each key is computed once.
static void sort_few(const sorting *s, size_t n) {
  keyed few[FEW];
  for (size_t i = 0; i < n; i++) {
    void *p = *at(s, i);
    uint64_t key = s->key(p, s->arg);
    size_t to = i;
    for (; to && few[to - 1].key > key; to--) few[to] = few[to - 1];
    few[to] = (keyed){key, p};
  }
  for (size_t i = 0; i < n; i++) *at(s, i) = few[i].p;
}

// Let the pointer at `i` sink below those of the `n` that come after it.
static void sink(const sorting *s, size_t i, size_t n) {
  void *p = *at(s, i);
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && comes_first(s, *at(s, child), *at(s, child + 1))) child++;
    if (!comes_first(s, p, *at(s, child))) break;
    *at(s, i) = *at(s, child);
  }
  *at(s, i) = p;
}

// As a heap, whose top comes last: it needs no memory. Often there is nothing to be done.
static void sort_many(const sorting *s, size_t n) {
  size_t sorted = 1;
  while (sorted < n && comes_first(s, *at(s, sorted - 1), *at(s, sorted))) sorted++;
  if (sorted == n) return;
  for (size_t i = n / 2; i-- > 0;) sink(s, i, n);
  while (--n) {
    void *last = *at(s, n);
    *at(s, n) = *at(s, 0);
    *at(s, 0) = last;
    sink(s, 0, n);
  }
}

void queue_sort(queue *q, size_t from, uint64_t (*key)(const void *p, const void *arg),
                const void *arg) {
  const sorting s = {q, from, key, arg};
  size_t n = q->count - from;
  if (n <= FEW)
    sort_few(&s, n);
  else
    sort_many(&s, n);
}
