// SPDX-License-Identifier: MIT
// Addresses. See address.h.
#include "net/address.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <uv.h>

// --- Endpoints -------------------------------------------------------------------------------

const char *endpoint_make(const char *host, size_t len, long long port, endpoint *out) {
  if (len > ADDRESS_HOST) return "the host name is too long";
  if (memchr(host, 0, len)) return "the host name has a zero byte";
  if (port < 0 || port > 65535) return "the port must be 0 to 65535";
  if (len == 1 && *host == '*') len = 0;
  memcpy(out->host, host, len);
  out->host[len] = 0;
  out->port = (uint16_t)port;
  out->is_path = 0;
  return NULL;
}

const char *endpoint_make_path(const char *path, size_t len, endpoint *out) {
  if (!len) return "the path is empty";
  if (len >= sizeof((struct sockaddr_un *)0)->sun_path)
    return "the path of a Unix socket must be shorter than 108 bytes";
  if (memchr(path, 0, len)) return "the path has a zero byte";
  memcpy(out->host, path, len);
  out->host[len] = 0;
  out->port = 0;
  out->is_path = 1;
  return NULL;
}

const char *endpoint_parse(const char *text, size_t len, endpoint *out) {
  static const char *const shape = "it must be \"host:port\", \"[v6]:port\" or \"unix:/path\"";
  if (len >= 5 && memcmp(text, "unix:", 5) == 0) return endpoint_make_path(text + 5, len - 5, out);
  size_t colon = len;
  while (colon > 0 && text[colon - 1] != ':') colon--;
  if (!colon) return shape;
  const char *digits = text + colon, *host = text;
  size_t ndigits = len - colon, nhost = colon - 1;
  if (!ndigits || ndigits > 5) return shape;
  long long port = 0;
  for (size_t i = 0; i < ndigits; i++) {
    if (digits[i] < '0' || digits[i] > '9') return shape;
    port = port * 10 + (digits[i] - '0');
  }
  if (nhost >= 2 && host[0] == '[' && host[nhost - 1] == ']') {
    host++;
    nhost -= 2;
    if (!memchr(host, ':', nhost)) return shape;
  } else if (memchr(host, ':', nhost)) {
    return "an IPv6 host must be in brackets: \"[::1]:80\"";
  }
  return endpoint_make(host, nhost, port, out);
}

void endpoint_format(const endpoint *e, char *buf, size_t n) {
  if (e->is_path) {
    snprintf(buf, n, "unix:%s", e->host);
    return;
  }
  const char *form = strchr(e->host, ':') ? "[%s]:%u" : "%s:%u";
  snprintf(buf, n, form, e->host, (unsigned)e->port);
}

// --- Addresses -------------------------------------------------------------------------------

// The number of an interface that there is, which may stand for its name (RFC 4007, section 11.2).
static int read_index(const char *zone, uint32_t *index) {
  char name[IF_NAMESIZE];
  if (!*zone || zone[strspn(zone, "0123456789")] || strlen(zone) > 9) return 0;
  *index = (uint32_t)strtoul(zone, NULL, 10);
  return *index && if_indextoname(*index, name);
}

int address_parse(const char *host, uint16_t port, address *out) {
  memset(out, 0, sizeof *out);
  if (uv_ip4_addr(host, port, &out->in) == 0) return 0;
  if (uv_ip6_addr(host, port, &out->in6) < 0) return UV_EINVAL;
  const char *zone = strchr(host, '%');
  if (!zone || out->in6.sin6_scope_id) return 0;
  return read_index(zone + 1, &out->in6.sin6_scope_id) ? 0 : UV_ENODEV;
}

int address_from(const struct sockaddr *sa, address *out) {
  memset(out, 0, sizeof *out);
  if (sa->sa_family == AF_INET)
    memcpy(&out->in, sa, sizeof out->in);
  else if (sa->sa_family == AF_INET6)
    memcpy(&out->in6, sa, sizeof out->in6);
  else
    return UV_EAFNOSUPPORT;
  return 0;
}

void address_any(int family, uint16_t port, address *out) {
  memset(out, 0, sizeof *out);
  if (family == AF_INET6)
    uv_ip6_addr("::", port, &out->in6);
  else
    uv_ip4_addr("0.0.0.0", port, &out->in);
}

void address_set_port(address *a, uint16_t port) {
  if (a->sa.sa_family == AF_INET6)
    a->in6.sin6_port = htons(port);
  else
    a->in.sin_port = htons(port);
}

// Append "%eth0": a link-local address means nothing without its interface.
static void append_scope(const address *a, char *host, size_t size) {
  char name[IF_NAMESIZE];
  size_t len = strlen(host);
  if (a->in6.sin6_scope_id && if_indextoname(a->in6.sin6_scope_id, name))
    snprintf(host + len, size - len, "%%%s", name);
}

void address_format_host(const address *a, char *buf, size_t n) {
  const struct in6_addr *ip = &a->in6.sin6_addr;
  buf[0] = 0;
  if (a->sa.sa_family == AF_INET)
    uv_ip4_name(&a->in, buf, n);
  else if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ip))
    uv_inet_ntop(AF_INET, ip->s6_addr + 12, buf, n);
  else if (a->sa.sa_family == AF_INET6 && uv_ip6_name(&a->in6, buf, n) == 0)
    append_scope(a, buf, n);
}

void address_format(const address *a, char *buf, size_t n) {
  char host[ADDRESS_TEXT];
  address_format_host(a, host, sizeof host);
  uint16_t port = a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port;
  const char *form = strchr(host, ':') ? "[%s]:%u" : "%s:%u";
  buf[0] = 0;
  if (*host) snprintf(buf, n, form, host, (unsigned)ntohs(port));
}
