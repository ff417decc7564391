// SPDX-License-Identifier: MIT
// Addresses of IPv4 and IPv6 sockets and their text: "127.0.0.1:80", "[::1]:80". Plain values; runs
// on any thread.
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT 128  // bytes that the text of any address needs, Unix sockets included
#define ADDRESS_HOST 255  // the longest host name, without the zero

typedef union address {
  struct sockaddr sa;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
} address;

// A host, numeric or a name, with a port; or the path of a Unix socket.
typedef struct endpoint {
  char host[ADDRESS_HOST + 1];  // "" stands for every address of this machine
  uint16_t port;
  uint8_t is_path;  // `host` is the path
} endpoint;

// Take "host:port", "[v6]:port", ":port" or "unix:/path" apart. [any] Answers NULL, or what is
// wrong.
const char *endpoint_parse(const char *text, size_t len, endpoint *out);

// Make an endpoint of a host ("*" is "") and a port. [any] Answers NULL, or what is wrong.
const char *endpoint_make(const char *host, size_t len, long long port, endpoint *out);

// Make the endpoint of a Unix socket. [any] Answers NULL, or what is wrong.
const char *endpoint_make_path(const char *path, size_t len, endpoint *out);

// Write "host:port" or "unix:/path" of an endpoint. [any]
void endpoint_format(const endpoint *e, char *buf, size_t n);

// Make the address of a numeric host. [any] Answers 0, UV_EINVAL when the host is a name, or
// UV_ENODEV when its zone is no network interface.
int address_parse(const char *host, uint16_t port, address *out);

// Take an address from the kernel or the resolver. [any] Answers 0, or UV_EAFNOSUPPORT.
int address_from(const struct sockaddr *sa, address *out);

// The address of all interfaces of a family. [any]
void address_any(int family, uint16_t port, address *out);

// Give an address another port. [any]
void address_set_port(address *a, uint16_t port);

// Write "1.2.3.4", "::1" or "fe80::1%eth0"; an IPv4 address inside IPv6 is written as such. [any]
void address_format_host(const address *a, char *buf, size_t n);

// Write "1.2.3.4:80", "[::1]:80" or "[fe80::1%eth0]:80". [any]
void address_format(const address *a, char *buf, size_t n);

// Bytes of the structure that the kernel is given. [any]
static inline socklen_t address_size(const address *a) {
  return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
}

#endif
