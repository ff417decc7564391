// SPDX-License-Identifier: MIT
// OpenSSL, loaded late. See openssl.h.
#include "base/openssl.h"

#include "base/library.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ENTRY(name) {#name, offsetof(openssl, name)},

static library state = LIBRARY_INIT;
static openssl table;

static const library_entry crypto[] = {OPENSSL_CRYPTO(ENTRY)};

static const char *fill(void) {
  return library_fill(&table, LIBRARY_FILE("crypto", "3"), crypto, COUNT(crypto));
}

const openssl *openssl_load(void) {
  return library_load(&state, "OpenSSL 3", fill) ? &table : NULL;
}

const char *openssl_error(void) {
  return state.error;
}
