// SPDX-License-Identifier: MIT
// Preloaded by a spec: calls on non-blocking sockets are often short, interrupted or refused for
// now, as a kernel may answer at any time. FAULT_SEED chooses which ones, reproducibly. With
// FAULT_STDIO the same for what descriptors 0 and 1 lead to, files without "for now". With
// FAULT_PROGRAM only in programs of that name: not in the peers that a whole suite starts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum { PASS, SHORT, REFUSE } fault;

static int is_meant(void) {
  const char *name = getenv("FAULT_PROGRAM");
  return !name || strcmp(name, program_invocation_short_name) == 0;
}

static int is_standard(const struct stat *st) {
  struct stat other;
  for (int fd = 0; getenv("FAULT_STDIO") && fd < 2; fd++)
    if (fstat(fd, &other) == 0 && other.st_ino == st->st_ino && other.st_dev == st->st_dev)
      return 1;
  return 0;
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

// What happens to this call: of eight, one is interrupted, one refused, three are short.
static fault choose(int fd) {
  static _Thread_local uint64_t state;
  struct stat st;
  if (!is_meant() || fstat(fd, &st) < 0) return PASS;
  if (S_ISSOCK(st.st_mode) ? !is_stream(fd) : !is_standard(&st)) return PASS;
  const char *seed = getenv("FAULT_SEED");
  if (!state) state = (uint64_t)(seed ? atoi(seed) : 1) * 0x9E3779B97F4A7C15u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  unsigned turn = state >> 32 & 7;
  if (turn == 0) errno = EINTR;
  if (turn == 1) errno = S_ISREG(st.st_mode) ? EINTR : EAGAIN;
  return turn < 2 ? REFUSE : turn < 5 ? SHORT : PASS;
}

// How many bytes of a short call: few, never none.
static size_t some(size_t n) {
  return n < 2 ? n : 1 + n % 7 % n;
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *buf, size_t n) {
  fault f = choose(fd);
  if (f == REFUSE) return -1;
  return NEXT(read)(fd, buf, f == SHORT && !is_hung_up(fd) ? some(n) : n);
}

ssize_t write(int fd, const void *buf, size_t n) {
  fault f = choose(fd);
  if (f == REFUSE) return -1;
  return NEXT(write)(fd, buf, f == SHORT ? some(n) : n);
}

ssize_t recv(int fd, void *buf, size_t n, int flags) {
  fault f = choose(fd);
  if (f == REFUSE) return -1;
  return NEXT(recv)(fd, buf, f == SHORT ? some(n) : n, flags);
}

ssize_t send(int fd, const void *buf, size_t n, int flags) {
  fault f = choose(fd);
  if (f == REFUSE) return -1;
  return NEXT(send)(fd, buf, f == SHORT ? some(n) : n, flags);
}

ssize_t writev(int fd, const struct iovec *iov, int n) {
  fault f = choose(fd);
  if (f == REFUSE) return -1;
  if (f == SHORT && iov[0].iov_len) return NEXT(write)(fd, iov[0].iov_base, some(iov[0].iov_len));
  return NEXT(writev)(fd, iov, n);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags) {
  fault f = choose(fd);
  if (f == REFUSE) return -1;
  if (f == SHORT && msg->msg_iovlen && msg->msg_iov[0].iov_len)
    return NEXT(send)(fd, msg->msg_iov[0].iov_base, some(msg->msg_iov[0].iov_len), flags);
  return NEXT(sendmsg)(fd, msg, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  if (choose(fd) == REFUSE) return -1;
  return NEXT(accept4)(fd, address, length, flags);
}
