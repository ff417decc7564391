// SPDX-License-Identifier: MIT
// Addresses. See address.h.
#include "net/address.h"

#include <stdio.h>
#include <string.h>
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
  return NULL;
}

const char *endpoint_parse(const char *text, size_t len, endpoint *out) {
  static const char *const shape = "it must be \"host:port\" or \"[v6]:port\"";
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
  const char *form = strchr(e->host, ':') ? "[%s]:%u" : "%s:%u";
  snprintf(buf, n, form, e->host, (unsigned)e->port);
}

// --- Addresses -------------------------------------------------------------------------------

int address_parse(const char *host, uint16_t port, address *out) {
  memset(out, 0, sizeof *out);
  if (uv_ip4_addr(host, port, &out->in) == 0) return 0;
  if (uv_ip6_addr(host, port, &out->in6) == 0) return 0;
  return UV_EINVAL;
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

void address_format(const address *a, char *buf, size_t n) {
  char host[64] = "?";
  buf[0] = 0;
  if (a->sa.sa_family == AF_INET) {
    uv_ip4_name(&a->in, host, sizeof host);
    snprintf(buf, n, "%s:%u", host, (unsigned)ntohs(a->in.sin_port));
  } else if (a->sa.sa_family == AF_INET6) {
    const struct in6_addr *ip = &a->in6.sin6_addr;
    int is_mapped = IN6_IS_ADDR_V4MAPPED(ip);
    if (is_mapped)
      uv_inet_ntop(AF_INET, ip->s6_addr + 12, host, sizeof host);
    else
      uv_ip6_name(&a->in6, host, sizeof host);
    snprintf(buf, n, is_mapped ? "%s:%u" : "[%s]:%u", host, (unsigned)ntohs(a->in6.sin6_port));
  }
}
