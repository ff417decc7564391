// SPDX-License-Identifier: MIT
// Fuzzes the dates of cookies: what is read as one is a time that the C library knows, and written
// as servers should it is the same time, also with other words behind it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/cookie_date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t seconds = 0, again = 0;
  if (!cookie_date_parse((const char *)data, size, &seconds)) return 0;
  time_t t = (time_t)seconds;
  struct tm tm;
  if (!gmtime_r(&t, &tm) || tm.tm_year < 1601 - 1900 || tm.tm_year > 9999 - 1900) abort();
  char *text = malloc(64 + size);
  if (!text) return 0;
  size_t n = strftime(text, 64, "%a, %d-%b-%Y %H:%M:%S GMT ", &tm);
  memcpy(text + n, data, size);
  if (!cookie_date_parse(text, n + size, &again) || again != seconds) abort();
  free(text);
  return 0;
}
