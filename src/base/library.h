// SPDX-License-Identifier: MIT
// Functions of a shared library that is loaded when they are first needed, instead of linked. Owns
// nothing: a library that was loaded stays until the process ends. Any thread.
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#ifdef __APPLE__
#define LIBRARY_FILE(name, version) "lib" name "." version ".dylib"
#else
#define LIBRARY_FILE(name, version) "lib" name ".so." version
#endif

// What guards a table that is filled at its first use.
typedef struct library {
  pthread_mutex_t lock;
  atomic_int is_loaded;
  char error[256];  // one sentence: why it is not loaded
} library;

#define LIBRARY_INIT \
  { .lock = PTHREAD_MUTEX_INITIALIZER }

// A function's name, and where in a table of pointers it belongs.
typedef struct library_entry {
  const char *name;
  size_t at;
} library_entry;

// Load the library `file` and fill `table` as its `n` entries say. [any] Answers NULL, or the
// loader's sentence about the first that is missing, which must be copied.
const char *library_fill(void *table, const char *file, const library_entry *entries, size_t n);

// Fill the table by `fill` unless that is done; it answers as library_fill. What failed is tried
// again at the next call, as it may have been for want of descriptors. [any] Answers whether the
// table may be used; `what` begins the sentence in `error`.
int library_load(library *l, const char *what, const char *(*fill)(void));

// Keep the library in which `code` lies until the process ends, whoever closes it. [any]
void library_keep(const void *code);

#endif
