// SPDX-License-Identifier: MIT
// Fuzzes the HTTP/1.x parser: whatever the bytes are, fed whole, byte by byte and cut in two, the
// parser must tell the same, and what it hands out must be clean (checked in http_trace.h). The
// first byte of the input chooses the kind of message, the second where the rest is cut.
#include "../unit/http_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const http_limits small = {
    .head = 64, .headers = 3, .target = 16, .interim = 1, .body = 8};
  if (size < 2) return 0;

  http_kind kind = data[0] & 1 ? HTTP_KIND_RESPONSE : HTTP_KIND_REQUEST;
  int flags = data[0] & 2 ? TRACE_NO_BODY : 0;
  const http_limits *limits = data[0] & 4 ? &small : NULL;
  const char *input = (const char *)data + 2;
  size_t len = size - 2;

  char *whole = http_trace(kind, flags, limits, input, len, TRACE_WHOLE);
  char *bytes = http_trace(kind, flags, limits, input, len, TRACE_BYTES);
  char *halves = http_trace(kind, flags, limits, input, len, data[1]);
  if (strcmp(whole, bytes) != 0 || strcmp(whole, halves) != 0) {
    fprintf(stderr, "whole:  %s\nbytes:  %s\nhalves: %s\n", whole, bytes, halves);
    abort();
  }
  free(whole);
  free(bytes);
  free(halves);
  return 0;
}
