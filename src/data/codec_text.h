// SPDX-License-Identifier: MIT
// Bytes as text: base64, base64url (RFC 4648) and hex. Strict decoders: each text stands for other
// bytes. Knows no Lua; any thread.
#ifndef DATA_CODEC_TEXT_H
#define DATA_CODEC_TEXT_H

#include <stddef.h>

typedef struct base64_kind {
  const char *digits;           // 64 of them
  const unsigned char *values;  // of 256 characters; 255 is none of them
  int pads;                     // the text is filled up with "=" to a multiple of four
} base64_kind;

extern const base64_kind base64_standard, base64_url;

// What is wrong with a text: where, from 0, and why (a constant).
typedef struct text_fault {
  size_t offset;
  const char *reason;
} text_fault;

// Length of the text of `n` bytes. [any]
size_t base64_encoded(const base64_kind *kind, size_t n);

// Write that text to `out`. [any]
void base64_encode(const base64_kind *kind, const char *in, size_t n, char *out);

// Most bytes that a text of `n` characters stands for. [any]
static inline size_t base64_decoded(size_t n) {
  return n / 4 * 3 + 3;
}

// Write the bytes to `out` and their number to `len`. [any] Answers 1, or 0 with the fault filled
// in. A kind that pads wants the padding; the other takes a text with or without it.
int base64_decode(const base64_kind *kind, const char *in, size_t n, char *out, size_t *len,
                  text_fault *fault);

// Write the 2 * `n` lower-case digits to `out`. [any]
void hex_encode(const unsigned char *in, size_t n, char *out);

// Write the n / 2 bytes to `out`; digits of either case. [any] Answers 1, or 0 with the fault
// filled in.
int hex_decode(const char *in, size_t n, char *out, text_fault *fault);

#endif
