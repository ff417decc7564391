// SPDX-License-Identifier: MIT
// What is appended to the program. See bundle.h.
#include "core/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/program.h"

// The mark is random, so that it is nowhere else in the program.
static const bundle_slot blank = {.mark = {0x8e, 0xc5, 0x1f, 0x62, 0xb0, 0x97, 0x3d, 0xea, 0x74,
                                           0x0b, 0xd8, 0xa1, 0x5c, 0xf6, 0x29, 0x93}};

const bundle_slot *bundle_slot_own(void) {
  const bundle_slot *s = &blank;
  __asm__("" : "+r"(s));  // the file was changed since: the compiler must not know what it says
  return s;
}

// FNV-1a.
uint64_t bundle_sum(const char *data, size_t size) {
  uint64_t sum = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; i++) sum = (sum ^ (unsigned char)data[i]) * 0x100000001b3u;
  return sum;
}

static const char *map(int fd, const bundle_slot *s, bundle *b) {
  struct stat st;
  if (fstat(fd, &st) < 0) return strerror(errno);
  if (s->at > (uint64_t)st.st_size || s->size > (uint64_t)st.st_size - s->at)
    return "it ends too early (was it cut, or stripped?)";
  size_t before = (size_t)(s->at % (uint64_t)sysconf(_SC_PAGESIZE));
  b->size = (size_t)s->size;
  char *pages = mmap(NULL, before + b->size, PROT_READ, MAP_PRIVATE, fd, (off_t)(s->at - before));
  if (pages == MAP_FAILED) return strerror(errno);
  b->data = pages + before;
  return bundle_sum(b->data, b->size) == s->sum ? NULL : "it is damaged";
}

const char *bundle_map(bundle *b) {
  char path[PROGRAM_PATH_MAX];
  int fd = program_path(path) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return strerror(errno);
  const char *why = map(fd, bundle_slot_own(), b);
  close(fd);
  return why;
}

// Take a text from the bytes between *at and end; false if it does not fit.
static int take(const char **at, const char *end, bundle_text *out) {
  const unsigned char *p = (const unsigned char *)*at;
  if (end - *at < 4) return 0;
  out->size = p[0] | p[1] << 8 | p[2] << 16 | (size_t)p[3] << 24;
  out->data = *at + 4;
  if (out->size > (size_t)(end - out->data)) return 0;
  *at = out->data + out->size;
  return 1;
}

int bundle_find(const bundle *b, const char *name, bundle_entry *out) {
  const char *at = b->data, *end = b->data + b->size;
  size_t n = strlen(name);
  while (take(&at, end, &out->name) && take(&at, end, &out->chunk) && take(&at, end, &out->source))
    if (out->name.size == n && memcmp(out->name.data, name, n) == 0) return 1;
  return 0;
}
