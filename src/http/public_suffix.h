// SPDX-License-Identifier: MIT
// The Public Suffix List (publicsuffix.org) of libpsl, which is loaded with it when the first jar
// of cookies is made: linking it would cost 0.2 ms at each start. The list is read once in the
// process and read-only after that (S39). Any thread.
#ifndef HTTP_PUBLIC_SUFFIX_H
#define HTTP_PUBLIC_SUFFIX_H

#include <libpsl.h>

// Load libpsl and its newest list on this machine, unless that is done. [any] Answers NULL, or one
// sentence about why there is none.
const char *public_suffix_load(void);

// Say whether a domain is a public suffix, such as "com" or "co.uk"; so is a name without a dot.
// The list has been loaded; `domain` is in small letters, its labels as DNS has them. [any]
int public_suffix_is(const char *domain);

// The domain below a public suffix that a host belongs to, such as "example.co.uk": the tail of
// `host`. The list has been loaded. [any] NULL when it has none.
const char *public_suffix_registrable(const char *host);

#endif
