// SPDX-License-Identifier: MIT
// The functions of OpenSSL for TLS, loaded late. See openssl_tls.h.
#include "base/openssl_tls.h"

#include "base/library.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ENTRY(name) {#name, offsetof(openssl_tls, name)},

static library state = LIBRARY_INIT;
static openssl_tls table;

static const library_entry crypto[] = {OPENSSL_TLS_CRYPTO(ENTRY)};
static const library_entry ssl[] = {OPENSSL_TLS_SSL(ENTRY)};

static const char *fill(void) {
  const char *why = library_fill(&table, LIBRARY_FILE("crypto", "3"), crypto, COUNT(crypto));
  if (!why) why = library_fill(&table, LIBRARY_FILE("ssl", "3"), ssl, COUNT(ssl));
  // At exit a thread may still be at work with it: what OpenSSL holds is left to the system.
  if (!why && table.OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
    why = "the library could not be set up";
  return why;
}

const openssl_tls *openssl_tls_load(void) {
  return library_load(&state, "OpenSSL 3", fill) ? &table : NULL;
}

const char *openssl_tls_error(void) {
  return state.error;
}
