// SPDX-License-Identifier: MIT
// Ring of pointers. See queue.h.
#include "base/queue.h"

#include <stdint.h>
#include <stdlib.h>

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
