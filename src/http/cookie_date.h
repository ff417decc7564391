// SPDX-License-Identifier: MIT
// The dates of cookies, which servers write in every way: RFC 6265bis, section 5.1.1. Knows no Lua,
// owns nothing; any thread.
#ifndef HTTP_COOKIE_DATE_H
#define HTTP_COOKIE_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Read the `n` bytes as a date; `*out` becomes the seconds since 1970 in UTC, less than 0 for a
// date before that. [any] Answers whether it is one; `*out` is left alone if not.
bool cookie_date_parse(const char *s, size_t n, int64_t *out);

#endif
