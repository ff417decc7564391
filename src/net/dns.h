// SPDX-License-Identifier: MIT
// Queries of the domain name system: c-ares on the runtime's loop, with /etc/hosts and
// /etc/resolv.conf as ever, no thread. One per runtime, made when first needed. Callbacks may come
// before dns_query returns. Runs on the loop thread. Invariant: freed when libuv has let go of its
// last handle.
#ifndef NET_DNS_H
#define NET_DNS_H

#include <ares.h>
#include <uv.h>

#include "core/types.h"

#define DNS_SERVERS "CORUN_DNS"  // in the environment: whom to ask, "127.0.0.1:5353,[::1]:53"
#define DNS_MISCONFIGURED UV_EAI_BADHINTS  // they are no such list

typedef struct dns dns;

// `rc` is 0, a libuv code (UV_EAI_NONAME, UV_EAI_AGAIN ...) or DNS_MISCONFIGURED; `info` is valid
// during the call, and may be NULL. Must not run Lua.
typedef void dns_done(void *arg, int rc, const struct ares_addrinfo *info);

// Make one that is not configured yet. [loop] NULL on out of memory.
dns *dns_new(rt *r);

// End all queries (UV_ECANCELED) and close. [loop]
void dns_free(dns *d);

// Ask for the addresses of a name in a family, or AF_UNSPEC; the name must live until the answer.
// [loop]
void dns_query(dns *d, const char *name, int family, dns_done *done, void *arg);

// End all queries: UV_ECANCELED. [loop]
void dns_cancel(dns *d);

#endif
