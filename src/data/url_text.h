// SPDX-License-Identifier: MIT
// The characters of URLs: what may stand where (the percent-encode sets of the URL Standard), and
// percent-coding. Knows no Lua; any thread.
#ifndef DATA_URL_TEXT_H
#define DATA_URL_TEXT_H

#include <stddef.h>
#include <stdint.h>

// Sets of bytes: those that must be percent-encoded in a part of a URL, and others.
enum {
  URL_FRAGMENT = 1 << 0,
  URL_QUERY = 1 << 1,
  URL_SPECIAL_QUERY = 1 << 2,  // of schemes such as http
  URL_PATH = 1 << 3,
  URL_USERINFO = 1 << 4,
  URL_COMPONENT = 1 << 5,  // all but the unreserved characters of RFC 3986
  URL_FORM = 1 << 6,       // application/x-www-form-urlencoded; a space becomes "+"
  URL_CONTROL = 1 << 7,
  URL_SENT = 1 << 8,        // what may not be sent in the request line of HTTP
  URL_NO_HOST = 1 << 9,     // what no host may have
  URL_NO_DOMAIN = 1 << 10,  // what no domain may have
};

extern const uint16_t url_sets[256];

static inline int url_is(unsigned char c, int set) {
  return (url_sets[c] & set) != 0;
}

// Write `n` bytes to `out`, those in the set percent-encoded; answer how many were written, at most
// 3 * n. [any]
size_t url_encode(int set, const char *in, size_t n, char *out);

// Decode to `out`, which may be `in`, "+" to a space if it is a form; answer how many bytes were
// written, at most n. A "%" without two digits stays. [any]
size_t url_decode(const char *in, size_t n, char *out, int is_form);

// The value of a hexadecimal digit, -1 for other bytes. [any]
int url_digit(unsigned char c);

#endif
