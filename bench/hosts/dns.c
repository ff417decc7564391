// SPDX-License-Identifier: MIT
// The name server of scrape-hosts: every name is there, and has one address of IPv4, one of
// ADDRESSES from 127.0.0.1 on. It keeps nothing, and answers faster than anybody here asks. UDP
// alone.
//   dns PORT ADDRESSES
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { HEAD = 12, TYPE_A = 1, TTL = 60 };

// Turn a query of `n` bytes into its answer, with room for 16 bytes more; its length, 0 for none.
static size_t answer(unsigned char *m, size_t n, unsigned addresses) {
  size_t at = HEAD;
  unsigned hash = 0;
  while (at < n && m[at] != 0) {
    for (size_t end = at + 1 + m[at]; at < end && at < n; at++) hash = hash * 31 + m[at];
  }
  if (at + 5 > n) return 0;
  unsigned type = (unsigned)m[at + 1] << 8 | m[at + 2];
  at += 5;
  m[2] = 0x81, m[3] = 0x80;  // an answer, recursion desired and available
  memset(m + 4, 0, 8);
  m[5] = 1;
  if (type != TYPE_A) return at;
  m[7] = 1;
  unsigned char record[] = {
    0xc0, HEAD, 0, TYPE_A, 0,   1, 0, 0,
    0,    TTL,  0, 4,      127, 0, 0, (unsigned char)(1 + hash % addresses)};
  memcpy(m + at, record, sizeof record);
  return at + sizeof record;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct sockaddr_in here = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 1 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) != 0) return perror("dns"), 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    unsigned char m[1024];
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    ssize_t n = recvfrom(fd, m, sizeof m - 16, 0, (struct sockaddr *)&peer, &size);
    size_t length = n > 0 ? answer(m, (size_t)n, (unsigned)atoi(argv[2])) : 0;
    if (length > 0) sendto(fd, m, length, 0, (struct sockaddr *)&peer, size);
  }
}
