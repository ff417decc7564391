// SPDX-License-Identifier: MIT
// Text in other character sets to UTF-8, piece by piece: UTF-8 itself is checked here, the rest is
// iconv's. What stands for no character becomes U+FFFD, so that every input has an output. Owns
// iconv's state and the bytes of a character that was cut. Knows no lua_State, never raises.
#ifndef DATA_CHARSET_H
#define DATA_CHARSET_H

#include <iconv.h>
#include <stddef.h>

#include "base/buffer.h"

typedef struct charset {
  iconv_t cd;     // (iconv_t)-1: UTF-8
  unsigned unit;  // bytes to pass over where there is no character
  buffer in, out;
} charset;

// Prepare a decoder for a name that iconv knows; "UTF-8" needs no iconv. Answer 0, or a negative
// libuv code: UV_EINVAL for an unknown name. [loop]
int charset_init(charset *c, const char *name);

void charset_fini(charset *c);

// Append what a piece, the last one or not, decodes to `c->out`, which the caller empties. Answer
// 0, or UV_ENOMEM; then the decoder is of no use any more. [loop]
int charset_feed(charset *c, const char *s, size_t len, int is_last);

#endif
