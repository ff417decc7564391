// SPDX-License-Identifier: MIT
// OpenSSL, loaded late. See openssl.h.
#include "base/openssl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/library.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct {
  pthread_mutex_t lock;
  atomic_int is_loaded;
  openssl table;
  char error[256];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define ENTRY(name) {#name, offsetof(openssl, name)},
static const library_entry crypto[] = {OPENSSL_CRYPTO(ENTRY)};

static void load(void) {
  const char *why = library_fill(&state.table, LIBRARY_FILE("crypto", "3"), crypto, COUNT(crypto));
  if (why) snprintf(state.error, sizeof state.error, "OpenSSL 3 is needed: %s", why);
  atomic_store_explicit(&state.is_loaded, !why, memory_order_release);
}

const openssl *openssl_load(void) {
  if (atomic_load_explicit(&state.is_loaded, memory_order_acquire)) return &state.table;
  pthread_mutex_lock(&state.lock);
  int is_loaded = atomic_load_explicit(&state.is_loaded, memory_order_relaxed);
  if (!is_loaded) load();  // again, if it was descriptors that were missing
  is_loaded = atomic_load_explicit(&state.is_loaded, memory_order_relaxed);
  pthread_mutex_unlock(&state.lock);
  return is_loaded ? &state.table : NULL;
}

const char *openssl_error(void) {
  return state.error;
}
