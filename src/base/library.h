// SPDX-License-Identifier: MIT
// Functions of a shared library that is loaded when they are first needed, instead of linked. Owns
// nothing: a library that was loaded stays until the process ends. Any thread.
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stddef.h>

#ifdef __APPLE__
#define LIBRARY_FILE(name, version) "lib" name "." version ".dylib"
#else
#define LIBRARY_FILE(name, version) "lib" name ".so." version
#endif

// A function's name, and where in a table of pointers it belongs.
typedef struct library_entry {
  const char *name;
  size_t at;
} library_entry;

// Load the library `file` and fill `table` as its `n` entries say. [any] Answers NULL, or the
// loader's sentence about the first that is missing, which must be copied.
const char *library_fill(void *table, const char *file, const library_entry *entries, size_t n);

#endif
