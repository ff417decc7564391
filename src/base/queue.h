// SPDX-License-Identifier: MIT
// Ring of pointers, first in, first out, that grows by doubling and never shrinks. Reserving ahead
// makes pushing infallible. Owns the ring, not what the pointers lead to. Single-threaded.
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

typedef struct queue {
  void **ring;
  size_t head, count, capacity;  // capacity is 0 or a power of two
} queue;

void queue_init(queue *q);
void queue_fini(queue *q);

// Make room for `n` pointers in all; answer 0, or -1 on out of memory.
int queue_reserve(queue *q, size_t n);

// Append `p`; room must have been reserved.
static inline void queue_push(queue *q, void *p) {
  q->ring[(q->head + q->count++) & (q->capacity - 1)] = p;
}

// Take the oldest pointer; the queue must not be empty.
static inline void *queue_shift(queue *q) {
  void *p = q->ring[q->head];
  q->head = (q->head + 1) & (q->capacity - 1);
  q->count--;
  return p;
}

// Take the pointer `i` places behind the oldest, which takes its place; `i` < count.
static inline void *queue_shift_at(queue *q, size_t i) {
  size_t at = (q->head + i) & (q->capacity - 1);
  void *p = q->ring[at];
  q->ring[at] = q->ring[q->head];
  q->ring[q->head] = p;
  return queue_shift(q);
}

// Sort the pointers from the place `from` on (0 is the oldest) by their keys, the least first;
// those with equal keys come in any order.
void queue_sort(queue *q, size_t from, uint64_t (*key)(const void *p, const void *arg),
                const void *arg);

#endif
