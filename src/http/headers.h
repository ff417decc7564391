// SPDX-License-Identifier: MIT
// The small grammar of HTTP headers: which characters may stand where, whole-list tokens, names in
// lower case. Plain functions over bytes: they own nothing, keep nothing, and run on any thread.
// What the parser accepts and what the serialisers agree to send are judged by the same tables.
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

// Say whether the bytes are a token: a method or header name that may be sent. [any]
bool http_token_valid(const char *s, size_t n);

// Say whether the bytes may be sent as a header value: no control character but the tab, so no CR,
// LF or NUL. The empty value is valid. [any]
bool http_value_valid(const char *s, size_t n);

// Say whether the bytes may be sent as a request target: visible ASCII only, no fragment. [any]
bool http_target_valid(const char *s, size_t n);

// Say whether the bytes may stand in a Host header: a name or address, with its port or without, of
// IPv6 in brackets. The empty value is valid, as for a target that has no authority. [any]
bool http_host_valid(const char *s, size_t n);

// Say whether the comma-separated list `s` has the element `token`, given in lower case; elements
// are compared whole and without regard to case. [any]
bool http_list_has(const char *s, size_t n, const char *token);

// Say whether the bytes are `lower` in any case; `lower` is given in lower case. [any]
bool http_equals(const char *s, size_t n, const char *lower);

// Say whether two texts of `n` bytes are the same in any case. [any]
bool http_alike(const char *a, const char *b, size_t n);

// Turn A to Z into a to z in place. [any]
void http_lower(char *s, size_t n);

#endif
