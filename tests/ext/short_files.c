// SPDX-License-Identifier: MIT
// Preloaded by a spec: reads and writes of ordinary files are often short or interrupted, as a
// kernel may answer at any time. FAULT_SEED chooses which ones, reproducibly in each thread.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// How many bytes of `n` this call may move; 0: it is interrupted.
static size_t allowed(int fd, size_t n) {
  static _Thread_local uint64_t state;
  struct stat st;
  if (n < 2 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) return n;
  const char *seed = getenv("FAULT_SEED");
  if (!state) state = (uint64_t)(seed ? atoi(seed) : 1) * 0x9E3779B97F4A7C15u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  unsigned turn = state >> 32 & 7;
  if (turn == 0) errno = EINTR;
  return turn == 0 ? 0 : turn < 4 ? 1 + n / 8 * turn : n;
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *buf, size_t n) {
  size_t k = allowed(fd, n);
  return k || !n ? NEXT(read)(fd, buf, k) : -1;
}

ssize_t write(int fd, const void *buf, size_t n) {
  size_t k = allowed(fd, n);
  return k || !n ? NEXT(write)(fd, buf, k) : -1;
}

ssize_t pread(int fd, void *buf, size_t n, off_t at) {
  size_t k = allowed(fd, n);
  return k || !n ? NEXT(pread)(fd, buf, k, at) : -1;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) {
  size_t k = allowed(fd, n);
  return k || !n ? NEXT(pwrite)(fd, buf, k, at) : -1;
}
