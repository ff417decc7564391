// SPDX-License-Identifier: MIT
// libFuzzer: any bytes through the decoders of corun.codec. Data is decoded whole and in pieces, to
// the same end; a text that is read as base64 or hex is what the encoder writes; faults lie inside
// or just behind the text. Owns nothing between inputs.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "data/codec.h"
#include "data/codec_text.h"

#define MAX_OUTPUT ((size_t)1 << 20)
#define BUDGET ((size_t)8 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static int finish_call(codec *c, codec_call *call) {
  int rc;
  do rc = codec_run(c, call, BUDGET);
  while (rc == CODEC_FULL);
  return rc;
}

// Decode in pieces of `piece` bytes. The caller frees `out`.
static int decode(const codec_class *cls, const uint8_t *data, size_t size, size_t piece,
                  buffer *out) {
  codec *c = codec_new(cls, 0, MAX_OUTPUT, UINT64_MAX);
  codec_call call = {.goal = CODEC_GO_ON};
  int rc = c ? 0 : UV_ENOMEM;
  for (size_t at = 0; rc == 0 && at < size; at += piece) {
    call.in = data + at;
    call.len = size - at < piece ? size - at : piece;
    rc = finish_call(c, &call);
  }
  call.goal = CODEC_FINISH;
  if (rc == 0) rc = finish_call(c, &call);
  must(!c || (c->taken <= size && c->given <= MAX_OUTPUT + 1));
  must(rc != UV_EINVAL || c->reason);
  codec_free(c);
  *out = call.out;
  return rc;
}

static void check_format(const codec_class *cls, const uint8_t *data, size_t size, size_t piece) {
  buffer whole, pieces;
  int a = decode(cls, data, size, size + 1, &whole);
  int b = decode(cls, data, size, piece, &pieces);
  // libzstd compares the size in a frame's head with its content only when it sees all at once.
  must((a == 0) == (b == 0) || cls == &codec_zstd_decoder);
  if (a == 0 && b == 0) {
    must(buffer_len(&whole) == buffer_len(&pieces));
    must(!whole.data || memcmp(whole.data, pieces.data, buffer_len(&whole)) == 0);
  }
  buffer_fini(&whole);
  buffer_fini(&pieces);
}

static void check_base64(const base64_kind *kind, const char *text, size_t n) {
  text_fault fault = {0, NULL};
  size_t len = 0;
  char *bytes = malloc(base64_decoded(n)), *again = malloc(n + 4);
  must(bytes && again);
  if (base64_decode(kind, text, n, bytes, &len, &fault)) {
    size_t m = base64_encoded(kind, len);
    base64_encode(kind, bytes, len, again);
    must(m <= n && memcmp(text, again, m) == 0);
    for (size_t i = m; i < n; i++) must(!kind->pads && text[i] == '=');
  } else {
    must(fault.reason && fault.offset <= n);
  }
  free(bytes);
  free(again);
}

static void check_hex(const char *text, size_t n) {
  text_fault fault = {0, NULL};
  char *bytes = malloc(n / 2 + 1), *again = malloc(n + 1);
  must(bytes && again);
  if (hex_decode(text, n, bytes, &fault)) {
    hex_encode((const unsigned char *)bytes, n / 2, again);
    for (size_t i = 0; i < n; i++) must(again[i] == tolower((unsigned char)text[i]));
  } else {
    must(fault.reason && fault.offset <= n);
  }
  free(bytes);
  free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const codec_class *const decoders[] = {&codec_gzip_decoder, &codec_deflate_decoder,
                                                &codec_br_decoder, &codec_zstd_decoder};
  if (!size) return 0;
  size_t piece = (size_t)data[0] % 64 + 1;
  for (size_t i = 0; i < 4; i++) check_format(decoders[i], data + 1, size - 1, piece);
  check_base64(&base64_standard, (const char *)data, size);
  check_base64(&base64_url, (const char *)data, size);
  check_hex((const char *)data, size);
  return 0;
}
