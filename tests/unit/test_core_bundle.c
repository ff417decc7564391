// SPDX-License-Identifier: MIT
// What is appended to a program: found by name, and never read beyond its end however it is cut.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bundle.h"

static const char entries[] =
  "\0\0\0\0\x07\0\0\0@a.luam\x05\0\0\0m = 1"
  "\x03\0\0\0x.y\x06\0\0\0@x/y.l\0\0\0\0";

// The entries, in a block of just that size, so that a sanitizer sees what is read behind it.
static bundle cut(size_t size) {
  char *data = malloc(size ? size : 1);
  assert_non_null(data);
  memcpy(data, entries, size);
  return (bundle){data, size};
}

static void drop(bundle *b) {
  free((void *)(uintptr_t)b->data);
}

static void assert_text(const char *expected, bundle_text text) {
  assert_int_equal(strlen(expected), text.size);
  assert_memory_equal(expected, text.data, text.size);
}

static void finds_entries_by_name(void **state) {
  (void)state;
  bundle b = cut(sizeof entries - 1);
  bundle_entry e;
  assert_true(bundle_find(&b, "", &e));
  assert_text("@a.luam", e.chunk);
  assert_text("m = 1", e.source);
  assert_true(bundle_find(&b, "x.y", &e));
  assert_text("@x/y.l", e.chunk);
  assert_text("", e.source);
  assert_false(bundle_find(&b, "x", &e));
  assert_false(bundle_find(&b, "x.y.z", &e));
  drop(&b);
}

static void stays_within_what_is_there(void **state) {
  (void)state;
  for (size_t size = 0; size < sizeof entries - 1; size++) {
    bundle b = cut(size);
    bundle_entry e;
    assert_false(bundle_find(&b, "x.y", &e));
    drop(&b);
  }
  static const char huge[] = "\xff\xff\xff\xff";
  bundle b = {huge, sizeof huge - 1};
  bundle_entry e;
  assert_false(bundle_find(&b, "", &e));
}

static void has_a_sum_that_changes_with_each_byte(void **state) {
  (void)state;
  char bytes[sizeof entries];
  memcpy(bytes, entries, sizeof bytes);
  uint64_t sum = bundle_sum(bytes, sizeof bytes);
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] ^= 1;
    assert_true(bundle_sum(bytes, sizeof bytes) != sum);
    bytes[i] ^= 1;
  }
  assert_true(bundle_sum(bytes, sizeof bytes) == sum);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(finds_entries_by_name),
    cmocka_unit_test(stays_within_what_is_there),
    cmocka_unit_test(has_a_sum_that_changes_with_each_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
