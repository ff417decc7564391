// SPDX-License-Identifier: MIT
// Functions of libraries loaded late. See library.h.
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

const char *library_fill(void *table, const char *file, const library_entry *entries, size_t n) {
  void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library) return dlerror();
  for (size_t i = 0; i < n; i++) {
    void *f = dlsym(library, entries[i].name);
    if (!f) return dlerror();
    // A pointer to a function goes through memory: ISO C has no conversion.
    memcpy((char *)table + entries[i].at, &f, sizeof f);
  }
  return NULL;
}
