// SPDX-License-Identifier: MIT
// OpenSSL, loaded late. See openssl.h.
#include "base/openssl.h"

#include <pthread.h>
#include <stdio.h>

#include "base/library.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct {
  pthread_once_t once;
  openssl table;
  int is_loaded;
  char error[256];
} state = {.once = PTHREAD_ONCE_INIT};

#define ENTRY(name) {#name, offsetof(openssl, name)},
static const library_entry crypto[] = {OPENSSL_CRYPTO(ENTRY)};

static void load(void) {
  const char *why = library_fill(&state.table, LIBRARY_FILE("crypto", "3"), crypto, COUNT(crypto));
  if (why) snprintf(state.error, sizeof state.error, "OpenSSL 3 is needed: %s", why);
  state.is_loaded = !why;
}

const openssl *openssl_load(void) {
  pthread_once(&state.once, load);
  return state.is_loaded ? &state.table : NULL;
}

const char *openssl_error(void) {
  return state.error;
}
