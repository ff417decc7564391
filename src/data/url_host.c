// SPDX-License-Identifier: MIT
// Hosts of URLs: domains, also with letters of other scripts (UTS 46, by libidn2), IPv4 addresses
// in all the forms that C libraries take, IPv6 addresses. See url.h.
#include <idn2.h>
#include <stdio.h>
#include <string.h>

#include "data/url.h"
#include "data/url_text.h"

#define TOO_LARGE (UINT64_C(1) << 40)  // as the part of an IPv4 address

static const char bad_host[] = "the host has a character that is not allowed";
static const char bad_v4[] = "the host is no IPv4 address, though it ends in a number";
static const char bad_v6[] = "the host is no IPv6 address";
static const char bad_name[] = "the host is no domain name";

// --- IPv6 ------------------------------------------------------------------------------------

// Read "1.2.3.4", all in decimal, from the end of an IPv6 address.
static int read_v4_tail(const char *s, const char *end, uint16_t out[2]) {
  unsigned bytes[4];
  for (int i = 0; i < 4; i++) {
    if (i && (s == end || *s++ != '.')) return 0;
    if (s == end || *s < '0' || *s > '9') return 0;
    unsigned v = 0;
    const char *first = s;
    for (; s < end && *s >= '0' && *s <= '9'; s++) {
      if (s > first && v == 0) return 0;
      v = v * 10 + (unsigned)(*s - '0');
      if (v > 255) return 0;
    }
    bytes[i] = v;
  }
  out[0] = (uint16_t)(bytes[0] << 8 | bytes[1]);
  out[1] = (uint16_t)(bytes[2] << 8 | bytes[3]);
  return s == end;
}

static int read_v6(const char *s, const char *end, uint16_t pieces[8]) {
  int n = 0, gap = -1;
  memset(pieces, 0, 8 * sizeof *pieces);
  if (s < end && *s == ':') {
    if (++s == end || *s != ':') return 0;
    s++;
    gap = 0;
  }
  while (s < end) {
    if (n == 8) return 0;
    if (*s == ':') {
      if (gap >= 0) return 0;
      s++;
      gap = n;
      continue;
    }
    const char *first = s;
    unsigned v = 0;
    for (; s < end && s - first < 4 && url_digit((unsigned char)*s) >= 0; s++)
      v = v << 4 | (unsigned)url_digit((unsigned char)*s);
    if (s < end && *s == '.') {
      if (s == first || n > 6 || !read_v4_tail(first, end, pieces + n)) return 0;
      n += 2;
      break;
    }
    if (s == first) return 0;
    pieces[n++] = (uint16_t)v;
    if (s == end) break;
    if (*s++ != ':' || s == end) return 0;
    if (*s == ':' && gap >= 0) return 0;
  }
  if (gap < 0) return n == 8;
  if (n == 8) return 0;
  memmove(pieces + 8 - (n - gap), pieces + gap, (size_t)(n - gap) * sizeof *pieces);
  memset(pieces + gap, 0, (size_t)(8 - n) * sizeof *pieces);
  return 1;
}

// Write it with the longest run of zeros left out, the first of equals (RFC 5952).
static void put_v6(url *u, const uint16_t pieces[8]) {
  int at = -1, most = 1;
  for (int i = 0; i < 8; i++) {
    int n = 0;
    while (i + n < 8 && !pieces[i + n]) n++;
    if (n > most) {
      most = n;
      at = i;
    }
    if (n) i += n - 1;
  }
  for (int i = 0; i < 8; i++) {
    if (i == at) {
      url_put(u, i ? ":" : "::", i ? 1 : 2);
      i += most - 1;
      continue;
    }
    char text[8];
    int n = snprintf(text, sizeof text, i < 7 ? "%x:" : "%x", pieces[i]);
    url_put(u, text, (size_t)n);
  }
}

// --- IPv4 ------------------------------------------------------------------------------------

// Read a number in decimal, octal or hexadecimal. Answers whether it is one.
static int read_number(const char *s, const char *end, uint64_t *out) {
  unsigned radix = 10;
  uint64_t v = 0;
  if (s == end) return 0;
  if (end - s >= 2 && s[0] == '0' && (s[1] | 32) == 'x') {
    radix = 16;
    s += 2;
  } else if (end - s >= 2 && s[0] == '0') {
    radix = 8;
    s++;
  }
  for (; s < end; s++) {
    int d = url_digit((unsigned char)*s);
    if (d < 0 || (unsigned)d >= radix) return 0;
    v = v * radix + (unsigned)d;
    if (v > TOO_LARGE) v = TOO_LARGE;
  }
  *out = v;
  return 1;
}

// Whether the last label, which a dot may follow, is a number.
static int ends_in_number(const char *s, const char *end) {
  uint64_t v;
  if (end > s && end[-1] == '.') end--;
  const char *last = end;
  while (last > s && last[-1] != '.') last--;
  if (last == end) return 0;
  const char *p = last;
  while (p < end && *p >= '0' && *p <= '9') p++;
  return p == end || read_number(last, end, &v);
}

static int read_v4(const char *s, const char *end, uint32_t *out) {
  uint64_t parts[4];
  int n = 0;
  if (end > s && end[-1] == '.') end--;
  for (;; s++) {
    const char *dot = memchr(s, '.', (size_t)(end - s));
    if (n == 4 || !read_number(s, dot ? dot : end, &parts[n])) return 0;
    n++;
    if (!dot) break;
    s = dot;
  }
  uint64_t address = parts[n - 1];
  if (address >= UINT64_C(1) << 8 * (5 - n)) return 0;
  for (int i = 0; i < n - 1; i++) {
    if (parts[i] > 255) return 0;
    address |= parts[i] << 8 * (3 - i);
  }
  *out = (uint32_t)address;
  return 1;
}

// --- Domains -----------------------------------------------------------------------------------

// Whether the domain is made of ASCII alone and no label of it is encoded; its capitals become
// small letters.
static int lower(char *s, size_t n) {
  int is_plain = 1;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if ((unsigned char)(c - 'A') < 26) s[i] = (char)(c | 32);
    if (c >= 0x80) is_plain = 0;
    if (n - i >= 4 && (i == 0 || s[i - 1] == '.') && (c | 32) == 'x' && (s[i + 1] | 32) == 'n' &&
        s[i + 2] == '-' && s[i + 3] == '-')
      is_plain = 0;
  }
  return is_plain;
}

// Put the ASCII form in place of the domain at the end of the text, from `at` on.
static const char *to_ascii(url *u, size_t at) {
  char *ascii = NULL;
  size_t n = u->len - at;
  if (memchr(u->text + at, 0, n) || u->len >= u->capacity) return bad_name;
  u->text[u->len] = 0;
  int rc = idn2_lookup_u8((const uint8_t *)u->text + at, (uint8_t **)&ascii,
                          IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  if (rc == IDN2_OK) {
    u->len = at;
    url_put(u, ascii, strlen(ascii));
    lower(u->text + at, u->len - at);
  }
  idn2_free(ascii);
  return rc == IDN2_OK ? NULL : idn2_strerror(rc);
}

static const char *put_domain(url *u, const char *s, size_t n) {
  size_t at = u->len;
  uint32_t address;
  url_put(u, s, n);
  if (memchr(s, '%', n)) u->len = at + url_decode(u->text + at, n, u->text + at, 0);
  if (!lower(u->text + at, u->len - at)) {
    const char *why = to_ascii(u, at);
    if (why) return why;
  }
  const char *first = u->text + at, *end = u->text + u->len;
  if (first == end) return "the host is missing";
  for (const char *p = first; p < end; p++)
    if (url_is((unsigned char)*p, URL_NO_DOMAIN)) return bad_host;
  if (!ends_in_number(first, end)) return NULL;
  if (!read_v4(first, end, &address)) return bad_v4;
  char text[16];
  int len = snprintf(text, sizeof text, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                     address >> 8 & 255, address & 255);
  u->len = at;
  url_put(u, text, (size_t)len);
  return NULL;
}

static const char *put_any(url *u, const char *s, size_t n) {
  if (n && s[0] == '[') {
    uint16_t pieces[8];
    if (s[n - 1] != ']' || !read_v6(s + 1, s + n - 1, pieces)) return bad_v6;
    url_put(u, "[", 1);
    put_v6(u, pieces);
    url_put(u, "]", 1);
    return NULL;
  }
  if (u->is_special) return put_domain(u, s, n);
  for (size_t i = 0; i < n; i++)
    if (url_is((unsigned char)s[i], URL_NO_HOST)) return bad_host;
  url_put_encoded(u, URL_CONTROL, s, n);
  return NULL;
}

const char *url_put_host(url *u, const char *s, size_t n) {
  size_t at = u->len;
  const char *why = put_any(u, s, n);
  u->host = (url_span){(uint32_t)at, (uint32_t)(u->len - at)};
  return why;
}
