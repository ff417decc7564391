// SPDX-License-Identifier: MIT
// Names of hosts as TLS has them, in certificates and in SNI. Plain values; runs on any thread.
#ifndef NET_TLS_NAME_H
#define NET_TLS_NAME_H

#include "net/address.h"

// Put the form that a certificate can have into `out`, of ADDRESS_HOST + 1 bytes: in ASCII, without
// the dot at the end, and an address without its zone. [any] Answers 0, UV_EINVAL when no host can
// have this name, or UV_ENOMEM.
int tls_name_make(const char *name, char *out);

// The same for a name that a server has a certificate for, which may begin with "*.". [any]
int tls_name_make_pattern(const char *name, char *out);

// Say whether it is a numeric host, for which there is no SNI, and another field in certificates.
// [any]
int tls_name_is_address(const char *name);

#endif
