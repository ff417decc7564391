// SPDX-License-Identifier: MIT
// Universally unique identifiers. See uuid.h.
#include "data/uuid.h"

#include <stdint.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "data/codec_text.h"

#define MS 1000000  // nanoseconds

// The time in milliseconds, then the fraction of one in 12 bits (RFC 9562, section 6.2, method 3).
static void put_time(unsigned char b[16]) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / MS;
  uint32_t part = (uint32_t)((uint64_t)now.tv_nsec % MS * 4096 / MS);
  for (int i = 0; i < 6; i++) b[i] = (unsigned char)(ms >> (40 - 8 * i));
  b[6] = (unsigned char)(part >> 8);
  b[7] = (unsigned char)part;
}

int uuid_make(int version, char out[UUID_SIZE]) {
  static const struct {
    int from, n, at;
  } groups[] = {{0, 4, 0}, {4, 2, 9}, {6, 2, 14}, {8, 2, 19}, {10, 6, 24}};
  unsigned char b[16];
  int rc = uv_random(NULL, NULL, b, sizeof b, 0, NULL);
  if (rc < 0) return rc;
  if (version == 7) put_time(b);
  b[6] = (unsigned char)((b[6] & 0x0f) | version << 4);
  b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  memset(out, '-', UUID_SIZE);
  for (int i = 0; i < 5; i++)
    hex_encode(b + groups[i].from, (size_t)groups[i].n, out + groups[i].at);
  return 0;
}
