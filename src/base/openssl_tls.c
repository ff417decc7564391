// SPDX-License-Identifier: MIT
// The functions of OpenSSL for TLS, loaded late. See openssl_tls.h.
#include "base/openssl_tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/library.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct {
  pthread_mutex_t lock;
  atomic_int is_loaded;
  openssl_tls table;
  char error[256];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define ENTRY(name) {#name, offsetof(openssl_tls, name)},
static const library_entry crypto[] = {OPENSSL_TLS_CRYPTO(ENTRY)};
static const library_entry ssl[] = {OPENSSL_TLS_SSL(ENTRY)};

static void load(void) {
  openssl_tls *t = &state.table;
  const char *why = library_fill(t, LIBRARY_FILE("crypto", "3"), crypto, COUNT(crypto));
  if (!why) why = library_fill(t, LIBRARY_FILE("ssl", "3"), ssl, COUNT(ssl));
  // At exit a thread may still be at work with it: what OpenSSL holds is left to the system.
  if (!why && t->OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
    why = "the library could not be set up";
  if (why) snprintf(state.error, sizeof state.error, "OpenSSL 3 is needed: %s", why);
  atomic_store_explicit(&state.is_loaded, !why, memory_order_release);
}

const openssl_tls *openssl_tls_load(void) {
  if (atomic_load_explicit(&state.is_loaded, memory_order_acquire)) return &state.table;
  pthread_mutex_lock(&state.lock);
  int is_loaded = atomic_load_explicit(&state.is_loaded, memory_order_relaxed);
  if (!is_loaded) load();  // again, if it was descriptors that were missing
  is_loaded = atomic_load_explicit(&state.is_loaded, memory_order_relaxed);
  pthread_mutex_unlock(&state.lock);
  return is_loaded ? &state.table : NULL;
}

const char *openssl_tls_error(void) {
  return state.error;
}
