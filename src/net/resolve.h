// SPDX-License-Identifier: MIT
// Host names to addresses: the names a runtime has asked for, with those that wait for an answer.
// A name is asked for once, however many tasks want it, and kept for as long as the answer says,
// within bounds. Runs on the loop thread.
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <lua.h>

#include "core/wait.h"
#include "net/address.h"

#define RESOLVE_ALL 256  // addresses of a name that are kept
#define RESOLVE_MOST 16  // of them, that are tried: of both families if it has both

typedef struct address_list {
  int n;
  address a[RESOLVE_MOST];
} address_list;

// Give the addresses of a numeric host or of "" (all interfaces, IPv6 first). [any] Answers 0, or
// an error: then resolve_begin takes over, also to fail.
int resolve_numeric(const endpoint *e, address_list *out);

// Put the form of a host name that is asked for into `out`: what is not ASCII as RFC 5891 has it.
// [any] Answers 0 or an error.
int resolve_to_ascii(const char *host, char *out, size_t size);

// Suspend until the name is resolved or the instant `when`. `ops` has resolve_cancel; its done
// function gets 0 and calls resolve_take with its argument, or UV_ETIMEDOUT and must not. To be
// returned in tail position. [loop] Raises on out of memory.
int resolve_begin(lua_State *L, const endpoint *e, uint64_t when, const wait_ops *ops);

// Take the result: the addresses, with a port. [loop] Answers 0 or an error.
int resolve_take(void *arg, uint16_t port, address_list *out);

// The same, but all addresses, without a port, into an array of RESOLVE_ALL. [loop] Answers how
// many, or an error.
int resolve_take_all(void *arg, address *out);

// Push nil and the error for what resolve_take answered; answer 2. [loop]
int resolve_fail(lua_State *L, int rc, const char *op, const char *target);

wait_answer resolve_cancel(task *t, void *arg);
void resolve_describe(const task *t, const void *arg, char *buf, size_t n);

#endif
