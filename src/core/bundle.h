// SPDX-License-Identifier: MIT
// The script and the Lua modules that `corun build` (lua/corun/build.lua) has appended to a copy of
// the program. A slot among the program's constants says where they are: in a plain corun it is
// empty, and looking costs nothing. What was read never changes, so any thread may use it.
//
// Behind the program, from the slot's `at` on, are entries of three texts, each a size of 32 bits
// (little end first) and as many bytes: the name for require, empty for the script, which comes
// first; the name of the chunk; the source.
#ifndef CORE_BUNDLE_H
#define CORE_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#define BUNDLE_MARK 16  // bytes by which the slot is found in a program's file

typedef struct bundle_slot {
  unsigned char mark[BUNDLE_MARK];
  uint64_t at, size, sum;  // all 0 while nothing is appended
} bundle_slot;

typedef struct bundle {
  const char *data;
  size_t size;
} bundle;

typedef struct bundle_text {
  const char *data;  // no 0 follows
  size_t size;
} bundle_text;

typedef struct bundle_entry {
  bundle_text name, chunk, source;
} bundle_entry;

// The slot of this program. [any]
const bundle_slot *bundle_slot_own(void);

// The sum by which damage is noticed. [any]
uint64_t bundle_sum(const char *data, size_t size);

// Map what is appended to this program, for as long as the process lives. Answers NULL, or what is
// wrong (a static text or strerror's). [any]
const char *bundle_map(bundle *b);

// Find the entry called `name`. Answers whether there is one. [any]
int bundle_find(const bundle *b, const char *name, bundle_entry *out);

#endif
