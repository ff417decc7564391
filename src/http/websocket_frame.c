// SPDX-License-Identifier: MIT
// The bytes of WebSocket. See websocket_frame.h.
#include "http/websocket_frame.h"

#include <string.h>

// --- Heads -----------------------------------------------------------------------------------

static uint64_t big_endian(const unsigned char *p, int n) {
  uint64_t v = 0;
  for (int i = 0; i < n; i++) v = v << 8 | p[i];
  return v;
}

int websocket_head_read(websocket_head *h, const unsigned char *p, size_t n) {
  if (n < 2) return 0;
  h->fin = p[0] >> 7;
  h->reserved = p[0] >> 4 & 7;
  h->opcode = p[0] & 15;
  h->masked = p[1] >> 7;
  unsigned length = p[1] & 127;
  size_t extended = length == 127 ? 8 : length == 126 ? 2 : 0;
  size_t size = 2 + extended + (h->masked ? 4 : 0);
  if (n < size) return 0;
  h->length = extended ? big_endian(p + 2, (int)extended) : length;
  if (h->masked) memcpy(h->mask, p + 2 + extended, 4);
  int is_long = extended == 8 ? h->length > 65535 : extended == 0 || h->length > 125;
  return is_long && h->length >> 63 == 0 ? (int)size : -1;
}

size_t websocket_head_write(const websocket_head *h, unsigned char *p) {
  size_t extended = h->length > 65535 ? 8 : h->length > 125 ? 2 : 0;
  p[0] = (unsigned char)((unsigned)h->fin << 7 | (unsigned)h->reserved << 4 | h->opcode);
  unsigned length = extended == 8 ? 127 : extended == 2 ? 126 : (unsigned)h->length;
  p[1] = (unsigned char)((unsigned)h->masked << 7 | length);
  for (size_t i = 0; i < extended; i++)
    p[2 + i] = (unsigned char)(h->length >> 8 * (extended - 1 - i));
  if (!h->masked) return 2 + extended;
  memcpy(p + 2 + extended, h->mask, 4);
  return 2 + extended + 4;
}

void websocket_mask(unsigned char *to, const unsigned char *from, size_t n,
                    const unsigned char mask[4], uint64_t at) {
  unsigned char turned[8];
  uint64_t wide, word;
  size_t i = 0;
  for (size_t k = 0; k < sizeof turned; k++) turned[k] = mask[(at + k) & 3];
  memcpy(&wide, turned, sizeof wide);
  for (; n - i >= sizeof word; i += sizeof word) {
    memcpy(&word, from + i, sizeof word);
    word ^= wide;
    memcpy(to + i, &word, sizeof word);
  }
  for (; i < n; i++) to[i] = from[i] ^ turned[i & 7];
}

// --- Close codes and text --------------------------------------------------------------------

int websocket_code_valid(unsigned code) {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

// A byte that begins a sequence. The state is how many bytes are to follow, and from 8 on the range
// of the next one: lowest and highest byte that it may be.
static uint32_t begin_sequence(unsigned c) {
  unsigned low = 0x80, high = 0xBF, more;
  if (c >= 0xC2 && c <= 0xDF)
    more = 1;
  else if (c >= 0xE0 && c <= 0xEF)
    more = 2;
  else if (c >= 0xF0 && c <= 0xF4)
    more = 3;
  else
    return 0;
  if (c == 0xE0) low = 0xA0;
  if (c == 0xED) high = 0x9F;
  if (c == 0xF0) low = 0x90;
  if (c == 0xF4) high = 0x8F;
  return more | low << 8 | high << 16;
}

// The number of ASCII bytes at the front, eight at a time.
static size_t skip_ascii(const unsigned char *p, size_t n) {
  size_t i = 0;
  uint64_t word;
  for (; n - i >= sizeof word; i += sizeof word) {
    memcpy(&word, p + i, sizeof word);
    if (word & UINT64_C(0x8080808080808080)) break;
  }
  while (i < n && p[i] < 0x80) i++;
  return i;
}

int websocket_utf8(uint32_t *state, const unsigned char *p, size_t n) {
  uint32_t s = *state;
  for (size_t i = 0; i < n; i++) {
    if (!s) {
      i += skip_ascii(p + i, n - i);
      if (i == n) break;
      s = begin_sequence(p[i]);
      if (!s) return 0;
      continue;
    }
    if (p[i] < (s >> 8 & 255) || p[i] > s >> 16) return 0;
    unsigned more = (s & 7) - 1;
    s = more ? more | 0x80U << 8 | 0xBFU << 16 : 0;
  }
  *state = s;
  return 1;
}
