// SPDX-License-Identifier: MIT
// Dates of cookies: forms that servers write, the rules of RFC 6265bis, section 5.1.1, one by one,
// and every day of 800 years against the C library.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "http/cookie_date.h"

#define NONE INT64_MIN

typedef struct sample {
  const char *text;
  int64_t seconds;
} sample;

static int64_t parsed(const char *text) {
  int64_t out = NONE;
  bool is_date = cookie_date_parse(text, strlen(text), &out);
  assert_int_equal(is_date, out != NONE);
  return out;
}

static void check(const sample *samples, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int64_t out = parsed(samples[i].text);
    if (out != samples[i].seconds)
      fail_msg("\"%s\" is %lld, not %lld", samples[i].text, (long long)out,
               (long long)samples[i].seconds);
  }
}

#define CHECK(...)                                    \
  do {                                                \
    static const sample samples[] = {__VA_ARGS__};    \
    check(samples, sizeof samples / sizeof *samples); \
  } while (0)

static void servers_write_dates_in_many_ways(void **state) {
  (void)state;
  CHECK({"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},   // RFC 9110
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},  // RFC 850
        {"Sun Nov  6 08:49:37 1994", 784111777},        // asctime
        {"Sun, 06-Nov-1994 08:49:37 GMT", 784111777},   // Netscape
        {"1994 Nov 6 08:49:37", 784111777}, {"06 NOVEMBER 94 8:49:37", 784111777},
        {"nov/6/1994;8:49:37", 784111777}, {"8:49:37 6 nov 1994 +0900", 784111777},
        {"  08:49:37GMT 6th novembre 1994x ", 784111777}, {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1}, {"31 Dec 9999 23:59:59", 253402300799},
        {"1 Jan 1601 0:0:0", -11644473600});
}

static void years_of_two_digits_are_of_two_centuries(void **state) {
  (void)state;
  CHECK({"1 jan 70 0:0:0", 0}, {"1 jan 99 0:0:0", 915148800}, {"1 jan 00 0:0:0", 946684800},
        {"1 jan 69 0:0:0", 3124224000}, {"1 jan 0099 0:0:0", 915148800}, {"1 jan 970 0:0:0", NONE});
}

static void each_part_is_needed(void **state) {
  (void)state;
  CHECK({"", NONE}, {" ", NONE}, {"6 nov 1994", NONE}, {"nov 1994 0:0:0", NONE},
        {"6 1994 0:0:0", NONE}, {"6 nov 0:0:0", NONE}, {"6 no 1994 0:0:0", NONE},
        {"6 nov 1994 0:0", NONE}, {"6 nov 1994 0:0:", NONE}, {"6 nov 1994 0::0", NONE},
        {"6 nov 1994 000:0:0", NONE}, {"6 nov 1994 0:0:000", NONE}, {"6 nov 19945 0:0:0", NONE},
        {"6 nov 1 0:0:0", NONE});
}

static void parts_are_within_their_bounds(void **state) {
  (void)state;
  CHECK({"0 nov 1994 0:0:0", NONE}, {"31 nov 1994 0:0:0", NONE}, {"32 dec 1994 0:0:0", NONE},
        {"1 jan 1600 0:0:0", NONE}, {"1 jan 1994 24:0:0", NONE}, {"1 jan 1994 0:60:0", NONE},
        {"1 jan 1994 0:0:60", NONE}, {"29 feb 1900 0:0:0", NONE}, {"29 feb 2001 0:0:0", NONE},
        {"29 feb 2000 0:0:0", 951782400}, {"29 feb 2024 0:0:0", 1709164800});
}

static void the_first_that_fits_is_taken(void **state) {
  (void)state;
  CHECK({"6 nov 1994 0:0:1 0:0:2", 784080001}, {"6 7 nov 1994 0:0:0", 784080000},
        {"6 nov dec 1994 0:0:0", 784080000}, {"6 nov 1994 1995 0:0:0", 784080000},
        {"6 94 nov 0:0:0", 784080000});
}

static void delimiters_are_those_of_the_rfc(void **state) {
  (void)state;
  for (int c = 1; c < 256; c++) {
    char text[] = "6#nov#1994#0:0:0";
    for (char *p = text; *p; p++)
      if (*p == '#') *p = (char)c;
    int divides = c == '\t' || (c >= 0x20 && c <= 0x2F) || (c >= 0x3B && c <= 0x40) ||
                  (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
    assert_int_equal(parsed(text) == 784080000, divides);
  }
}

static void nothing_is_read_behind_the_end(void **state) {
  (void)state;
  static const char text[] = "6 nov 1994 0:0:0";
  char exact[sizeof text - 1];
  int64_t out;
  for (size_t n = 0; n < sizeof exact; n++) {
    memcpy(exact, text, n);
    assert_false(cookie_date_parse(exact, n, &out));
  }
  assert_true(cookie_date_parse(text, sizeof exact, &out));
}

static void every_day_is_that_of_the_c_library(void **state) {
  (void)state;
  for (int64_t day = -134774; day < 160000; day++) {  // from 1601 to 2408
    time_t t = (time_t)(day * 86400);
    struct tm tm;
    char text[64];
    assert_non_null(gmtime_r(&t, &tm));
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_int_equal(parsed(text), day * 86400);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(servers_write_dates_in_many_ways),
    cmocka_unit_test(years_of_two_digits_are_of_two_centuries),
    cmocka_unit_test(each_part_is_needed),
    cmocka_unit_test(parts_are_within_their_bounds),
    cmocka_unit_test(the_first_that_fits_is_taken),
    cmocka_unit_test(delimiters_are_those_of_the_rfc),
    cmocka_unit_test(nothing_is_read_behind_the_end),
    cmocka_unit_test(every_day_is_that_of_the_c_library),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
