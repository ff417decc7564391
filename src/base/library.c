// SPDX-License-Identifier: MIT
// Functions of libraries loaded late. See library.h.
#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

const char *library_fill(void *table, const char *file, const library_entry *entries, size_t n) {
  void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return dlerror();
  for (size_t i = 0; i < n; i++) {
    void *f = dlsym(handle, entries[i].name);
    if (!f) return dlerror();
    // A pointer to a function goes through memory: ISO C has no conversion.
    memcpy((char *)table + entries[i].at, &f, sizeof f);
  }
  return NULL;
}

int library_load(library *l, const char *what, const char *(*fill)(void)) {
  if (atomic_load_explicit(&l->is_loaded, memory_order_acquire)) return 1;
  pthread_mutex_lock(&l->lock);
  int is_loaded = atomic_load_explicit(&l->is_loaded, memory_order_relaxed);
  if (!is_loaded) {
    const char *why = fill();
    if (why) snprintf(l->error, sizeof l->error, "%s is needed: %s", what, why);
    is_loaded = !why;
    atomic_store_explicit(&l->is_loaded, is_loaded, memory_order_release);
  }
  pthread_mutex_unlock(&l->lock);
  return is_loaded;
}

void library_keep(const void *code) {
  Dl_info in;
  if (!dladdr(code, &in)) return;
  void *handle = dlopen(in.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  if (handle) dlclose(handle);
}
