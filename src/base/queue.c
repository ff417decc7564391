// SPDX-License-Identifier: MIT
// Ring of pointers. See queue.h.
#include "base/queue.h"

#include <stdint.h>
#include <stdlib.h>

// What is sorted: a part of a ring, as a heap whose top comes last.
typedef struct sorting {
  queue *q;
  size_t from;
  int (*comes_first)(const void *a, const void *b, void *arg);
  void *arg;
} sorting;

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

// Let the pointer at `i` sink below those of the `n` that come after it.
static void sink(const sorting *s, size_t i, size_t n) {
  void *p = *at(s, i);
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && s->comes_first(*at(s, child), *at(s, child + 1), s->arg)) child++;
    if (!s->comes_first(p, *at(s, child), s->arg)) break;
    *at(s, i) = *at(s, child);
  }
  *at(s, i) = p;
}

void queue_sort(queue *q, size_t from, int (*comes_first)(const void *a, const void *b, void *arg),
                void *arg) {
  const sorting s = {q, from, comes_first, arg};
  size_t n = q->count - from, sorted = 1;
  while (sorted < n && comes_first(*at(&s, sorted - 1), *at(&s, sorted), arg)) sorted++;
  if (sorted >= n) return;
  for (size_t i = n / 2; i-- > 0;) sink(&s, i, n);
  while (--n) {
    void *last = *at(&s, n);
    *at(&s, n) = *at(&s, 0);
    *at(&s, 0) = last;
    sink(&s, 0, n);
  }
}
