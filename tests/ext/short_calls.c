// SPDX-License-Identifier: MIT
// Preloaded by specs, and by .ci/run under all of them: calls on stream sockets, pipes and files
// are often short, interrupted or refused for now, as a kernel may answer at any time. Of eight
// calls two are interrupted or, where they would not wait, refused; three are short.
//   FAULT_SEED     which ones, reproducibly in each thread
//   FAULT_PROGRAM  only in programs of that name: not in the peers that a whole suite starts
//   FAULT_COUNTS   a file in which the first of them, and none that it starts, counts what was
//   done:
//                  64-bit numbers, for each `place` a row of interrupted, refused, short
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum {
  SOCKET_IN,
  SOCKET_OUT,
  PIPE_IN,
  PIPE_OUT,
  FILE_IN,
  FILE_OUT,
  CONNECTION,
  PLACES,
} place;

typedef enum { INTERRUPTED, REFUSED, SHORT, FAULTS } fault;

typedef _Atomic uint64_t counts[PLACES][FAULTS];

static struct {
  int on;
  uint64_t seed;
  counts *counted;
} state;

// Decides when the program starts: some clear their environment, or change their name.
__attribute__((constructor)) static void start(void) {
  static counts unshared;
  const char *name = getenv("FAULT_PROGRAM"), *seed = getenv("FAULT_SEED");
  const char *path = getenv("FAULT_COUNTS");
  state.counted = &unshared;
  state.seed = (uint64_t)(seed ? strtol(seed, NULL, 10) : 1) * 0x9E3779B97F4A7C15u;
  state.on = !name || strcmp(name, program_invocation_short_name) == 0;
  int fd = state.on && path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  unsetenv("FAULT_COUNTS");
  void *shared = MAP_FAILED;
  if (ftruncate(fd, sizeof(counts)) == 0)
    shared = mmap(NULL, sizeof(counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) state.counted = shared;
  close(fd);
}

// --- What may happen -------------------------------------------------------------------------

static uint64_t next_random(void) {
  static _Thread_local uint64_t x;
  if (!x) x = state.seed;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x >> 32;
}

// Datagrams come whole.
static int is_stream(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

// Once the other side has gone, a kernel gives all that there is, and libuv counts on it.
static int is_hung_up(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

// Where a call that moves `n` bytes goes to; PLACES: to nothing that concerns us. What fits into
// PIPE_BUF goes through a pipe whole, and programs that wake themselves through one count on it.
static place place_of(int fd, int out, size_t n) {
  struct stat st;
  if (!state.on || !n || fstat(fd, &st) < 0) return PLACES;
  if (S_ISREG(st.st_mode)) return out ? FILE_OUT : FILE_IN;
  if (S_ISFIFO(st.st_mode) && n > PIPE_BUF) return out ? PIPE_OUT : PIPE_IN;
  if (S_ISSOCK(st.st_mode) && is_stream(fd)) return out ? SOCKET_OUT : SOCKET_IN;
  return PLACES;
}

static int refuse(place p, int fd, int flags) {
  int may_wait = !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
  int is_eintr = may_wait || p == FILE_IN || p == FILE_OUT || next_random() & 1;
  atomic_fetch_add(&(*state.counted)[p][is_eintr ? INTERRUPTED : REFUSED], 1);
  errno = is_eintr ? EINTR : EAGAIN;
  return 0;
}

// How many of its `n` bytes this call may move; 0 with errno.
static size_t allowed(place p, int fd, int flags, size_t n) {
  if (p == PLACES) return n;
  unsigned turn = next_random() & 7;
  if (turn < 2) return (size_t)refuse(p, fd, flags);
  if (turn > 4 || n < 2) return n;
  if ((p == SOCKET_IN || p == PIPE_IN) && is_hung_up(fd)) return n;
  atomic_fetch_add(&(*state.counted)[p][SHORT], 1);
  return 1 + next_random() % (n < 8 ? n - 1 : 7);
}

// --- The calls -------------------------------------------------------------------------------

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

// Call `next` with as many bytes as are allowed, as `k`.
#define LIMITED(out, fd, flags, n, next)                  \
  size_t k = allowed(place_of(fd, out, n), fd, flags, n); \
  return k || !(n) ? (next) : -1

ssize_t read(int fd, void *buf, size_t n) {
  LIMITED(0, fd, 0, n, NEXT(read)(fd, buf, k));
}

ssize_t pread(int fd, void *buf, size_t n, off_t at) {
  LIMITED(0, fd, 0, n, NEXT(pread)(fd, buf, k, at));
}

ssize_t recv(int fd, void *buf, size_t n, int flags) {
  LIMITED(0, fd, flags, n, NEXT(recv)(fd, buf, k, flags));
}

ssize_t write(int fd, const void *buf, size_t n) {
  LIMITED(1, fd, 0, n, NEXT(write)(fd, buf, k));
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) {
  LIMITED(1, fd, 0, n, NEXT(pwrite)(fd, buf, k, at));
}

ssize_t send(int fd, const void *buf, size_t n, int flags) {
  LIMITED(1, fd, flags, n, NEXT(send)(fd, buf, k, flags));
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t n) {
  LIMITED(1, out, 0, n, NEXT(sendfile64)(out, in, at, k));
}

// How many bytes of the first piece a call with several may move: 0 with errno, SIZE_MAX: of all.
static size_t allowed_of_first(int fd, int flags, const struct iovec *iov, size_t n) {
  size_t total = 0;
  for (size_t i = 0; i < n; i++) total += iov[i].iov_len;
  if (!total || !iov[0].iov_len) return SIZE_MAX;
  size_t k = allowed(place_of(fd, 1, total), fd, flags, total);
  if (k == total) return SIZE_MAX;
  return k < iov[0].iov_len ? k : iov[0].iov_len;
}

ssize_t writev(int fd, const struct iovec *iov, int n) {
  size_t k = allowed_of_first(fd, 0, iov, (size_t)n);
  if (k == SIZE_MAX) return NEXT(writev)(fd, iov, n);
  return k ? NEXT(write)(fd, iov[0].iov_base, k) : -1;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags) {
  size_t k = allowed_of_first(fd, flags, msg->msg_iov, msg->msg_iovlen);
  if (k == SIZE_MAX) return NEXT(sendmsg)(fd, msg, flags);
  return k ? NEXT(send)(fd, msg->msg_iov[0].iov_base, k, flags) : -1;
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  place p = state.on ? CONNECTION : PLACES;
  return allowed(p, fd, 0, 1) ? NEXT(accept4)(fd, address, length, flags) : -1;
}
