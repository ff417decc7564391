// SPDX-License-Identifier: MIT
// Tests of base: heap, queue, buffer and list, against what simple models say.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/queue.h"

#define N 1000

static uint32_t next_random(uint32_t *x) {
  *x = *x * 1664525u + 1013904223u;
  return *x >> 8;
}

static void heap_gives_the_earliest_first(void **state) {
  (void)state;
  heap h;
  heap_item items[N] = {{0}};
  uint64_t last = 0;
  uint32_t x = 1, seen = 0;
  heap_init(&h);
  for (int i = 0; i < N; i++) assert_int_equal(0, heap_insert(&h, &items[i], next_random(&x) % 97));
  while (heap_top(&h)) {
    const heap_entry *e = heap_top(&h);
    assert_true(e->when >= last);
    last = e->when;
    heap_remove(&h, e->item);
    seen++;
  }
  assert_int_equal(N, seen);
  heap_fini(&h);
}

static void heap_keeps_its_order_when_any_item_leaves(void **state) {
  (void)state;
  heap h;
  heap_item items[N] = {{0}};
  uint32_t x = 7;
  heap_init(&h);
  for (int i = 0; i < N; i++) heap_insert(&h, &items[i], next_random(&x));
  for (int i = 0; i < N; i += 3) {
    heap_remove(&h, &items[i]);
    assert_int_equal(0, items[i].place);
    heap_remove(&h, &items[i]);  // harmless
  }
  for (uint32_t i = 1; i < h.count; i++)
    assert_true(h.entries[(i - 1) / 4].when <= h.entries[i].when);
  for (uint32_t i = 0; i < h.count; i++) assert_int_equal(i + 1, h.entries[i].item->place);
  heap_fini(&h);
}

static void queue_is_first_in_first_out_while_it_grows(void **state) {
  (void)state;
  queue q;
  uintptr_t in = 0, out = 0;
  queue_init(&q);
  for (int round = 0; round < N; round++) {
    assert_int_equal(0, queue_reserve(&q, q.count + 3));
    for (int i = 0; i < 3; i++) queue_push(&q, (void *)++in);
    for (int i = 0; i < 2; i++) assert_int_equal(++out, (uintptr_t)queue_shift(&q));
  }
  assert_int_equal(in - out, q.count);
  queue_fini(&q);
}

// First comes what leaves a smaller rest; equal rests in their own order.
static uint64_t by_rest(const void *p, const void *arg) {
  uintptr_t n = *(const uintptr_t *)arg;
  return (uint64_t)((uintptr_t)p % n) << 32 | (uintptr_t)p;
}

static void queue_sorts_those_behind_a_place_wherever_the_ring_begins(void **state) {
  (void)state;
  for (size_t n = 0; n <= 256; n++) {
    queue q;
    queue_init(&q);
    assert_int_equal(0, queue_reserve(&q, 256));
    for (size_t i = 0; i < 3 * n; i++) {  // the ring begins somewhere else each time
      queue_push(&q, NULL);
      queue_shift(&q);
    }
    size_t kept = n / 4;
    uintptr_t modulus = n % 7 + 1, sum = 0;
    for (uintptr_t i = 0; i < n; i++) queue_push(&q, (void *)(i * 37 % 256 + 1));
    queue_sort(&q, kept, by_rest, &modulus);
    void *last = NULL;
    for (uintptr_t i = 0; i < n; i++) {
      void *p = queue_shift(&q);
      if (i < kept) assert_int_equal(i * 37 % 256 + 1, (uintptr_t)p);
      if (i > kept) assert_true(by_rest(last, &modulus) < by_rest(p, &modulus));
      sum += (uintptr_t)p;
      last = p;
    }
    for (uintptr_t i = 0; i < n; i++) sum -= i * 37 % 256 + 1;
    assert_int_equal(0, sum);
    queue_fini(&q);
  }
}

static void queue_gives_any_element_and_keeps_the_others(void **state) {
  (void)state;
  queue q;
  uintptr_t sum = 0;
  queue_init(&q);
  queue_reserve(&q, 10);
  for (uintptr_t i = 1; i <= 10; i++) queue_push(&q, (void *)i);
  assert_int_equal(4, (uintptr_t)queue_shift_at(&q, 3));
  while (q.count) sum += (uintptr_t)queue_shift(&q);
  assert_int_equal(55 - 4, sum);
  queue_fini(&q);
}

static void buffer_gives_back_what_was_appended(void **state) {
  (void)state;
  buffer b;
  char model[4 * N];
  size_t start = 0, end = 0;
  uint32_t x = 3;
  buffer_init(&b);
  while (end + 64 < sizeof model) {
    size_t n = next_random(&x) % 64;
    for (size_t i = 0; i < n; i++) model[end + i] = (char)next_random(&x);
    assert_int_equal(0, buffer_append(&b, model + end, n));
    end += n;
    n = next_random(&x) % (end - start + 1);
    buffer_consume(&b, n);
    start += n;
    assert_int_equal(end - start, buffer_len(&b));
    if (end > start) assert_memory_equal(model + start, buffer_bytes(&b), end - start);
  }
  buffer_consume(&b, buffer_len(&b));
  buffer_trim(&b, 0);
  assert_null(b.data);
}

static void buffer_leaves_room_in_front_while_it_grows(void **state) {
  (void)state;
  static char piece[64 << 10];
  buffer b;
  buffer_init(&b);
  assert_int_equal(0, buffer_begin(&b, 24, 10));
  assert_int_equal(0, buffer_len(&b));
  while (buffer_len(&b) < (size_t)9 << 20) {
    piece[0] = (char)(buffer_len(&b) >> 16);
    assert_int_equal(0, buffer_append(&b, piece, sizeof piece));
  }
  assert_int_equal(24, b.start);
  for (size_t at = 0; at < buffer_len(&b); at += sizeof piece)
    assert_int_equal((char)(at >> 16), buffer_bytes(&b)[at]);
  buffer_consume(&b, buffer_len(&b));
  assert_int_equal(0, buffer_begin(&b, 24, 10));
  assert_int_equal(24, b.start);
  buffer_fini(&b);
}

static void buffer_refuses_a_size_that_cannot_be(void **state) {
  (void)state;
  buffer b;
  buffer_init(&b);
  buffer_append(&b, "x", 1);
  assert_int_equal(-1, buffer_reserve(&b, SIZE_MAX - 1));
  assert_int_equal(1, buffer_len(&b));
  buffer_fini(&b);
}

static void list_keeps_order_and_forgives_removing_twice(void **state) {
  (void)state;
  list head, a, b, c;
  list_init(&head);
  list_init(&a);
  list_push(&head, &a);
  list_push(&head, &b);
  list_push(&head, &c);
  list_remove(&b);
  list_remove(&b);
  assert_ptr_equal(&a, list_shift(&head));
  assert_ptr_equal(&c, list_shift(&head));
  assert_null(list_shift(&head));
  assert_true(list_empty(&head));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(heap_gives_the_earliest_first),
    cmocka_unit_test(heap_keeps_its_order_when_any_item_leaves),
    cmocka_unit_test(queue_is_first_in_first_out_while_it_grows),
    cmocka_unit_test(queue_gives_any_element_and_keeps_the_others),
    cmocka_unit_test(queue_sorts_those_behind_a_place_wherever_the_ring_begins),
    cmocka_unit_test(buffer_gives_back_what_was_appended),
    cmocka_unit_test(buffer_leaves_room_in_front_while_it_grows),
    cmocka_unit_test(buffer_refuses_a_size_that_cannot_be),
    cmocka_unit_test(list_keeps_order_and_forgives_removing_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
