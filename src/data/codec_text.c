// SPDX-License-Identifier: MIT
// Bytes as text. See codec_text.h.
#include "data/codec_text.h"

#include <stdint.h>

#define BAD 255

// clang-format off
static const unsigned char standard_values[256] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 62, 255, 255, 255, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 255, 255, 255, 255, 255, 255,
    255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 255, 255, 255, 255, 255,
    255, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

static const unsigned char url_values[256] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 62, 255, 255,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 255, 255, 255, 255, 255, 255,
    255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 255, 255, 255, 255, 63,
    255, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

static const unsigned char hex_values[256] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 255, 255, 255, 255, 255,
    255, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
// clang-format on

const base64_kind base64_standard = {
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", standard_values, 1};
const base64_kind base64_url = {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
                                url_values, 0};

size_t base64_encoded(const base64_kind *kind, size_t n) {
  if (kind->pads) return (n + 2) / 3 * 4;
  return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

void base64_encode(const base64_kind *kind, const char *in, size_t n, char *out) {
  const char *digits = kind->digits;
  const unsigned char *p = (const unsigned char *)in;
  for (; n >= 3; n -= 3, p += 3, out += 4) {
    uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    out[0] = digits[v >> 18];
    out[1] = digits[v >> 12 & 63];
    out[2] = digits[v >> 6 & 63];
    out[3] = digits[v & 63];
  }
  if (!n) return;
  uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0);
  *out++ = digits[v >> 18];
  *out++ = digits[v >> 12 & 63];
  if (n > 1) *out++ = digits[v >> 6 & 63];
  if (!kind->pads) return;
  *out++ = '=';
  if (n == 1) *out = '=';
}

static int refuse(text_fault *fault, size_t offset, const char *reason) {
  fault->offset = offset;
  fault->reason = reason;
  return 0;
}

// Say which of the characters from `at` on is no digit.
static int refuse_digit(const base64_kind *kind, const char *in, size_t n, size_t at,
                        text_fault *fault) {
  while (at < n && kind->values[(unsigned char)in[at]] != BAD) at++;
  return refuse(fault, at,
                at < n && in[at] == '=' ? "padding in the middle" : "not a base64 character");
}

// The length of the text without its padding; the padding must be right.
static int strip(const base64_kind *kind, const char *in, size_t n, size_t *len,
                 text_fault *fault) {
  size_t end = n;
  while (end > 0 && n - end < 2 && in[end - 1] == '=') end--;
  *len = end;
  if (end % 4 == 1) return refuse(fault, n, "the text is cut off");
  size_t wanted = (4 - end % 4) % 4;
  if (n - end == wanted || (!kind->pads && n == end)) return 1;
  if (n - end < wanted) return refuse(fault, n, "padding is missing");
  return refuse(fault, end + wanted, "too much padding");
}

int base64_decode(const base64_kind *kind, const char *in, size_t n, char *out, size_t *len,
                  text_fault *fault) {
  const unsigned char *p = (const unsigned char *)in, *values = kind->values;
  const char *first = out;
  size_t end, left;
  int is_padded = strip(kind, in, n, &end, fault);
  for (left = end; left >= 4; left -= 4, p += 4, out += 3) {
    uint32_t a = values[p[0]], b = values[p[1]], c = values[p[2]], d = values[p[3]];
    if ((a | b | c | d) == BAD) return refuse_digit(kind, in, end, end - left, fault);
    uint32_t v = a << 18 | b << 12 | c << 6 | d;
    out[0] = (char)(v >> 16);
    out[1] = (char)(v >> 8);
    out[2] = (char)v;
  }
  uint32_t v = 0;
  for (size_t i = 0; i < left; i++) {
    if (values[p[i]] == BAD) return refuse_digit(kind, in, end, end - left, fault);
    v |= (uint32_t)values[p[i]] << (18 - 6 * i);
  }
  if (!is_padded) return 0;
  if (left && v & (left == 2 ? 0xffff : 0xff))
    return refuse(fault, end - 1, "the last character has bits that stand for nothing");
  if (left) *out++ = (char)(v >> 16);
  if (left == 3) *out++ = (char)(v >> 8);
  *len = (size_t)(out - first);
  return 1;
}

void hex_encode(const unsigned char *in, size_t n, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++, out += 2) {
    out[0] = digits[in[i] >> 4];
    out[1] = digits[in[i] & 15];
  }
}

int hex_decode(const char *in, size_t n, char *out, text_fault *fault) {
  const unsigned char *p = (const unsigned char *)in;
  for (size_t i = 0; i + 1 < n; i += 2) {
    unsigned a = hex_values[p[i]], b = hex_values[p[i + 1]];
    if ((a | b) == BAD) return refuse(fault, a == BAD ? i : i + 1, "not a hex digit");
    *out++ = (char)(a << 4 | b);
  }
  if (n % 2 == 0) return 1;
  return refuse(fault, hex_values[p[n - 1]] == BAD ? n - 1 : n,
                hex_values[p[n - 1]] == BAD ? "not a hex digit" : "half a byte is missing");
}
