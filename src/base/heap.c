// SPDX-License-Identifier: MIT
// 4-ary min-heap: half the depth of a binary one, and four children share a cache line. See heap.h.
#include "base/heap.h"

#include <stdlib.h>

void heap_init(heap *h) {
  h->entries = NULL;
  h->count = h->capacity = 0;
}

void heap_fini(heap *h) {
  free(h->entries);
  heap_init(h);
}

int heap_reserve(heap *h, uint32_t n) {
  if (n <= h->capacity) return 0;
  uint32_t cap = h->capacity ? h->capacity : 16;
  while (cap < n) {
    if (cap > UINT32_MAX / 2) return -1;
    cap *= 2;
  }
  heap_entry *e = realloc(h->entries, cap * sizeof *e);
  if (!e) return -1;
  h->entries = e;
  h->capacity = cap;
  return 0;
}

static void put(heap *h, uint32_t i, heap_entry e) {
  h->entries[i] = e;
  e.item->place = i + 1;
}

static void sift_up(heap *h, uint32_t i, heap_entry e) {
  while (i > 0) {
    uint32_t up = (i - 1) / 4;
    if (h->entries[up].when <= e.when) break;
    put(h, i, h->entries[up]);
    i = up;
  }
  put(h, i, e);
}

static void sift_down(heap *h, uint32_t i, heap_entry e) {
  for (;;) {
    uint32_t first = 4 * i + 1, best = first;
    if (first >= h->count) break;
    uint32_t end = first + 4 < h->count ? first + 4 : h->count;
    for (uint32_t c = first + 1; c < end; c++)
      if (h->entries[c].when < h->entries[best].when) best = c;
    if (h->entries[best].when >= e.when) break;
    put(h, i, h->entries[best]);
    i = best;
  }
  put(h, i, e);
}

int heap_insert(heap *h, heap_item *item, uint64_t when) {
  if (h->count == h->capacity && heap_reserve(h, h->count + 1) < 0) return -1;
  heap_entry e = {when, item};
  sift_up(h, h->count++, e);
  return 0;
}

void heap_remove(heap *h, heap_item *item) {
  if (!item->place) return;
  uint32_t i = item->place - 1;
  item->place = 0;
  heap_entry last = h->entries[--h->count];
  if (i == h->count) return;
  if (i > 0 && last.when < h->entries[(i - 1) / 4].when)
    sift_up(h, i, last);
  else
    sift_down(h, i, last);
}
