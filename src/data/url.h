// SPDX-License-Identifier: MIT
// URLs as the URL Standard (url.spec.whatwg.org) parses them: one pass over the text writes the
// normalised URL, and notes where its parts stand. Knows no Lua; any thread. Invariant: what was
// written, parsed again, gives the same.
#ifndef DATA_URL_H
#define DATA_URL_H

#include <stddef.h>
#include <stdint.h>

#define URL_LONGEST ((size_t)1 << 28)  // bytes of a text that is parsed
#define URL_LONGEST_HOST 253           // of a domain with other than ASCII letters (RFC 1035)

typedef struct url_span {
  uint32_t at, len;
} url_span;

typedef struct url {
  char *text;  // the whole, in memory of the caller
  size_t len, capacity;
  url_span scheme, user, password, host, path, query, fragment;  // without what divides them
  int port;                                                      // -1: none, or the scheme's own
  unsigned char is_special, is_file, is_opaque;  // http and its like; file; the path is no path
  unsigned char has_host, has_query, has_fragment;
} url;

// How much memory url_parse wants for the text of a URL made of `n` bytes and a base. [any]
static inline size_t url_room(size_t n, const url *base) {
  return 4 * n + (base ? base->len : 0) + 3 * URL_LONGEST_HOST;
}

// Parse `n` bytes, relative to `base` unless that is NULL. `out->text` and `out->capacity` are
// given and the room is at least url_room. With `as_is` the path of a URL keeps its dots and
// backslashes, and what HTTP cannot send is percent-encoded. [any] Answers NULL, or why it is no
// URL (a constant).
const char *url_parse(url *out, const char *in, size_t n, const url *base, int as_is);

// --- For the parser's own files ------------------------------------------------------------------

// Append to the text. What does not fit is counted alone. [any]
void url_put(url *u, const char *s, size_t n);

// Append bytes with those in the set percent-encoded. [any]
void url_put_encoded(url *u, int set, const char *s, size_t n);

// Append the host that the bytes mean, and note where it stands. [any] Answers NULL, or why there
// is none.
const char *url_put_host(url *u, const char *s, size_t n);

#endif
