// SPDX-License-Identifier: MIT
// 4-ary min-heap of instants. An entry holds the instant beside a pointer to the item, so that
// sifting touches no item but to tell it its place; the item keeps that place (a uint32_t, 0 = not
// in the heap) at its very beginning. Owns the array, not the items. Single-threaded.
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdint.h>

typedef struct heap_item {
  uint32_t place;  // 1-based position in the heap, 0 when it is in none
} heap_item;

typedef struct heap_entry {
  uint64_t when;
  heap_item *item;
} heap_entry;

typedef struct heap {
  heap_entry *entries;
  uint32_t count, capacity;
} heap;

void heap_init(heap *h);
void heap_fini(heap *h);

// Make room for `n` items in all; answer 0, or -1 on out of memory.
int heap_reserve(heap *h, uint32_t n);

// Insert `item`, which must be in no heap. Answer 0, or -1 on out of memory (never when room was
// reserved).
int heap_insert(heap *h, heap_item *item, uint64_t when);

// Take `item` out; harmless when it is in no heap.
void heap_remove(heap *h, heap_item *item);

// The item with the earliest instant, left in the heap; NULL when the heap is empty.
static inline const heap_entry *heap_top(const heap *h) {
  return h->count ? &h->entries[0] : (const heap_entry *)0;
}

#endif
