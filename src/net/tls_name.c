// SPDX-License-Identifier: MIT
// Names of hosts in TLS. See tls_name.h.
#include "net/tls_name.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "net/resolve.h"

#define LABEL 63  // bytes between two dots

int tls_name_is_address(const char *name) {
  unsigned char a[16];
  return uv_inet_pton(AF_INET, name, a) == 0 || uv_inet_pton(AF_INET6, name, a) == 0;
}

// Labels of letters, digits, "-" and the "_" that some hosts have all the same.
static int is_host(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  for (;; name++) {
    size_t n = strspn(name, allowed);
    if (!n || n > LABEL) return 0;
    name += n;
    if (*name != '.') return !*name;
  }
}

int tls_name_make(const char *name, char *out) {
  size_t len = strlen(name);
  if (len > ADDRESS_HOST) return UV_EINVAL;
  if (tls_name_is_address(name)) {
    snprintf(out, ADDRESS_HOST + 1, "%.*s", (int)strcspn(name, "%"), name);
    return 0;
  }
  int rc = resolve_to_ascii(name, out, ADDRESS_HOST + 1);
  if (rc < 0) return rc == UV_ENOMEM ? rc : UV_EINVAL;
  len = strlen(out);
  if (len > 1 && out[len - 1] == '.') out[len - 1] = 0;
  return is_host(out) ? 0 : UV_EINVAL;
}

int tls_name_make_pattern(const char *name, char *out) {
  char rest[ADDRESS_HOST + 1];
  if (strncmp(name, "*.", 2) != 0) return tls_name_make(name, out);
  int rc = tls_name_make(name + 2, rest);
  if (rc < 0) return rc;
  if (tls_name_is_address(rest) || strlen(rest) + 2 > ADDRESS_HOST) return UV_EINVAL;
  snprintf(out, ADDRESS_HOST + 1, "*.%.*s", ADDRESS_HOST - 2, rest);
  return 0;
}
