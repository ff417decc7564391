// SPDX-License-Identifier: MIT
// The grammar of headers: each class of characters against its definition in RFC 9110 and 9112,
// over all 256 bytes, and the comparisons of lists and names.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/headers.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool among(const char *set, int c) {
  return c != 0 && strchr(set, c) != NULL;
}

static void characters_are_classed_as_the_rfcs_say(void **state) {
  (void)state;
  for (int c = 0; c < 256; c++) {
    char s = (char)c;
    assert_int_equal(http_token_valid(&s, 1), among(ALNUM "!#$%&'*+-.^_`|~", c));
    assert_int_equal(http_value_valid(&s, 1), c == '\t' || (c >= 0x20 && c != 0x7f));
    assert_int_equal(http_target_valid(&s, 1), c > 0x20 && c < 0x7f && c != '#');
    assert_int_equal(http_host_valid(&s, 1), among(ALNUM "-._~%!$&'()*+,;=:", c));
  }
}

static void empty_texts_are_valid_where_they_may_be(void **state) {
  (void)state;
  assert_false(http_token_valid("", 0));
  assert_false(http_target_valid("", 0));
  assert_true(http_value_valid("", 0));
  assert_true(http_host_valid("", 0));
}

static bool is_host(const char *text) {
  return http_host_valid(text, strlen(text));
}

static void a_host_has_one_port_of_digits(void **state) {
  (void)state;
  assert_true(is_host("h:") && is_host("h:80") && is_host("[::1]") && is_host("[::1]:80"));
  assert_false(is_host("h:80:81") || is_host("h:x") || is_host("::1") || is_host("[::1]80"));
  assert_false(is_host("[::1") || is_host("::1]") || is_host("a[b]") || is_host("[::1]:x"));
}

static void one_bad_character_spoils_a_text(void **state) {
  (void)state;
  assert_true(http_value_valid("a b\tc", 5));
  assert_false(http_value_valid("a\r\nb: c", 7));
  assert_false(http_value_valid("a\0b", 3));
  assert_true(http_token_valid("X-Name", 6));
  assert_false(http_token_valid("X-Name:", 7));
  assert_true(http_target_valid("/a?b=%20", 8));
  assert_false(http_target_valid("/a b", 4));
}

static bool has(const char *list, const char *token) {
  return http_list_has(list, strlen(list), token);
}

static void lists_are_searched_for_whole_elements(void **state) {
  (void)state;
  assert_true(has("close", "close"));
  assert_true(has("CLOSE", "close"));
  assert_true(has("a,b , \tClose\t ", "close"));
  assert_true(has(",,close,,", "close"));
  assert_false(has("", "close"));
  assert_false(has(", ,", "close"));
  assert_false(has("closed", "close"));
  assert_false(has("not-close", "close"));
  assert_false(has("clo se", "close"));
  assert_false(has("close;q=1", "close"));
}

static void names_are_lowered_without_touching_other_characters(void **state) {
  (void)state;
  for (size_t n = 0; n < 20; n++) {
    for (int c = 0; c < 256; c++) {
      char s[21];
      memset(s, c, sizeof s);
      http_lower(s, n);
      for (size_t i = 0; i < sizeof s; i++)
        assert_int_equal((unsigned char)s[i], i < n && c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
  }
  char mixed[] = "\x80\xffX\xc1@Z[A\xdaQ";
  http_lower(mixed, sizeof mixed - 1);
  assert_string_equal(mixed, "\x80\xffx\xc1@z[a\xdaq");
  assert_true(http_equals("ChunKed", 7, "chunked"));
  assert_false(http_equals("chunke", 6, "chunked"));
  assert_false(http_equals("chunked ", 8, "chunked"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(characters_are_classed_as_the_rfcs_say),
    cmocka_unit_test(empty_texts_are_valid_where_they_may_be),
    cmocka_unit_test(a_host_has_one_port_of_digits),
    cmocka_unit_test(one_bad_character_spoils_a_text),
    cmocka_unit_test(lists_are_searched_for_whole_elements),
    cmocka_unit_test(names_are_lowered_without_touching_other_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
