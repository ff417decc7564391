// SPDX-License-Identifier: MIT
// The character classes of RFC 9110 and 9112 as bit sets over the 256 bytes, and the comparisons
// that header names and lists need. Owns nothing, runs on any thread; independent of the locale.
#include "http/headers.h"

#include <stdint.h>
#include <string.h>

typedef uint64_t charset[4];

// Letters, digits and ! # $ % & ' * + - . ^ _ ` | ~
static const charset TOKEN = {0x03ff6cfa00000000, 0x57ffffffc7fffffe, 0, 0};

// Tab, 0x20 to 0x7e, 0x80 to 0xff
static const charset VALUE = {0xffffffff00000200, 0x7fffffffffffffff, UINT64_MAX, UINT64_MAX};

// 0x21 to 0x7e without #
static const charset TARGET = {0xfffffff600000000, 0x7fffffffffffffff, 0, 0};

// Letters, digits and - . _ ~ % ! $ & ' ( ) * + , ; = : [ ]
static const charset HOST = {0x2fff7ff200000000, 0x47fffffeaffffffe, 0, 0};

static bool all_in(const charset set, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (!((set[c >> 6] >> (c & 63)) & 1)) return false;
  }
  return true;
}

// Without a branch: names mix cases, so a branch here is mispredicted at each word.
static char lower(char c) {
  return (char)(c | ((unsigned char)(c - 'A') < 26) << 5);
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool http_token_valid(const char *s, size_t n) {
  return n > 0 && all_in(TOKEN, s, n);
}

bool http_value_valid(const char *s, size_t n) {
  return all_in(VALUE, s, n);
}

bool http_target_valid(const char *s, size_t n) {
  return n > 0 && all_in(TARGET, s, n);
}

bool http_host_valid(const char *s, size_t n) {
  const char *end = s + n, *port = NULL;
  if (!all_in(HOST, s, n)) return false;
  if (n > 0 && *s == '[') {
    port = memchr(s, ']', n);
    if (!port || (++port < end && *port != ':')) return false;
  } else if (n > 0) {
    port = memchr(s, ':', n);
    if (memchr(s, '[', n) || memchr(s, ']', n)) return false;
  }
  if (!port || port == end) return true;
  do port++;
  while (port < end && *port >= '0' && *port <= '9');
  return port == end;
}

bool http_equals(const char *s, size_t n, const char *lowered) {
  if (n != strlen(lowered)) return false;
  for (size_t i = 0; i < n; i++) {
    if (lower(s[i]) != lowered[i]) return false;
  }
  return true;
}

bool http_alike(const char *a, const char *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool http_list_has(const char *s, size_t n, const char *token) {
  const char *end = s + n;
  while (s < end) {
    const char *comma = memchr(s, ',', (size_t)(end - s));
    const char *stop = comma ? comma : end;
    while (s < stop && is_blank(*s)) s++;
    const char *last = stop;
    while (last > s && is_blank(last[-1])) last--;
    if (http_equals(s, (size_t)(last - s), token)) return true;
    s = comma ? comma + 1 : end;
  }
  return false;
}

// Eight bytes at a time, as each header name of each message comes by here: in a byte below 0x80
// the sums carry into the high bit from 'A' and from behind 'Z' on, so their difference marks A to
// Z.
void http_lower(char *s, size_t n) {
  const uint64_t ones = 0x0101010101010101;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t x, low;
    memcpy(&x, s + i, 8);
    low = x & 0x7f * ones;
    x |= (((low + (0x80 - 'A') * ones) ^ (low + (0x7f - 'Z') * ones)) & ~x & 0x80 * ones) >> 2;
    memcpy(s + i, &x, 8);
  }
  for (; i < n; i++) s[i] = lower(s[i]);
}
