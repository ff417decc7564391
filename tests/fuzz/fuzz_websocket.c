// SPDX-License-Identifier: MIT
// Fuzzes what WebSocket reads: heads of frames, whole and cut short, which must come out as they
// were read; UTF-8, whole and byte by byte, against a plain decoder; messages that are inflated,
// within their bound; masks against the definition. The first byte of the input chooses which.
#include <assert.h>
#include <string.h>

#include "http/websocket_deflate.h"
#include "http/websocket_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 4096

static void check_heads(const uint8_t *p, size_t n) {
  websocket_head h = {0}, part;
  unsigned char out[WEBSOCKET_HEAD];
  int size = websocket_head_read(&h, p, n);
  assert(size >= -1 && size <= WEBSOCKET_HEAD && (size_t)(size > 0 ? size : 0) <= n);
  for (size_t i = 0; (int)i < size; i++) assert(websocket_head_read(&part, p, i) == 0);
  if (size <= 0) return;
  assert(h.length >> 63 == 0);
  assert(websocket_head_write(&h, out) == (size_t)size);
  assert(memcmp(out, p, (size_t)size) == 0);
}

// One character as RFC 3629 has it; its length, 0 when it is none.
static size_t plain_character(const uint8_t *p, size_t n) {
  uint32_t c = p[0];
  size_t len = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (!len || len > n) return 0;
  if (len > 1) c &= 0xFFU >> (len + 1);
  for (size_t i = 1; i < len; i++) {
    if (p[i] >> 6 != 2) return 0;
    c = c << 6 | (p[i] & 63);
  }
  return c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ? 0 : len;
}

static void check_text(const uint8_t *p, size_t n) {
  uint32_t whole = 0, cut = 0;
  size_t good = 0, len;
  int is_good = websocket_utf8(&whole, p, n) && !whole, is_good_cut = 1;
  for (size_t i = 0; i < n && is_good_cut; i++) is_good_cut = websocket_utf8(&cut, p + i, 1);
  while (good < n && (len = plain_character(p + good, n - good))) good += len;
  assert(is_good == (good == n));
  assert(is_good == (is_good_cut && !cut));
}

static void check_inflate(const uint8_t *p, size_t n) {
  z_stream *z = websocket_inflater();
  buffer out;
  int rc;
  buffer_init(&out);
  assert(z);
  z->next_in = (unsigned char *)(uintptr_t)p;
  z->avail_in = (unsigned)n;
  while ((rc = websocket_unpack(z, 64, MOST, &out)) == 1) assert(buffer_len(&out) <= MOST);
  assert(rc <= 0 && buffer_len(&out) <= MOST + 1);
  buffer_fini(&out);
  websocket_inflater_free(z);
}

// What is packed in slices is what it was when unpacked.
static void check_deflate(const uint8_t *p, size_t n) {
  z_stream *d = websocket_deflater(9 + (int)(n % 7)), *i = websocket_inflater();
  buffer packed, out;
  buffer_init(&packed);
  buffer_init(&out);
  assert(d && i);
  d->next_in = (unsigned char *)(uintptr_t)p;
  d->avail_in = (unsigned)n;
  while (websocket_pack(d, 7, &packed) == 1) continue;
  i->next_in = (unsigned char *)buffer_bytes(&packed);
  i->avail_in = (unsigned)buffer_len(&packed);
  int rc;
  while ((rc = websocket_unpack(i, 5, n, &out)) == 1) continue;
  assert(rc == 0 && buffer_len(&out) == n && (!n || memcmp(buffer_bytes(&out), p, n) == 0));
  buffer_fini(&packed);
  buffer_fini(&out);
  websocket_deflater_free(d);
  websocket_inflater_free(i);
}

static void check_mask(const uint8_t *p, size_t n) {
  static unsigned char out[MOST];
  if (n < 5 || n - 5 > MOST) return;
  const uint8_t *mask = p, *from = p + 5;
  uint64_t at = p[4];
  websocket_mask(out, from, n - 5, mask, at);
  for (size_t i = 0; i < n - 5; i++) assert(out[i] == (from[i] ^ mask[(at + i) & 3]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const checks[])(const uint8_t *, size_t) = {check_heads, check_text, check_inflate,
                                                            check_deflate, check_mask};
  if (size) checks[data[0] % (sizeof checks / sizeof *checks)](data + 1, size - 1);
  return 0;
}
