// SPDX-License-Identifier: MIT
// The functions of OpenSSL for TLS, loaded late. See openssl_tls.h.
#include "base/openssl_tls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifdef __APPLE__
#define LIBRARY(name) "lib" name ".3.dylib"
#else
#define LIBRARY(name) "lib" name ".so.3"
#endif

static struct {
  pthread_once_t once;
  openssl_tls table;
  int is_loaded;
  char error[256];
} state = {.once = PTHREAD_ONCE_INIT};

// Say what is missing, the first time.
static void note(const char *why) {
  if (!state.error[0]) snprintf(state.error, sizeof state.error, "OpenSSL 3 is needed: %s", why);
}

static void *open_library(const char *name) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) note(dlerror());
  return library;
}

static void *find(void *library, const char *name) {
  void *f = library ? dlsym(library, name) : NULL;
  if (library && !f) note(dlerror());
  return f;
}

static void load(void) {
  openssl_tls *t = &state.table;
  void *crypto = open_library(LIBRARY("crypto")), *ssl = open_library(LIBRARY("ssl"));
  int ok = 1;
  // A pointer to a function goes through memory: ISO C has no conversion.
#define LOAD(library, name)         \
  {                                 \
    void *f = find(library, #name); \
    memcpy(&t->name, &f, sizeof f); \
    if (!f) ok = 0;                 \
  }
#define LOAD_CRYPTO(name) LOAD(crypto, name)
#define LOAD_SSL(name) LOAD(ssl, name)
  OPENSSL_TLS_CRYPTO(LOAD_CRYPTO)
  OPENSSL_TLS_SSL(LOAD_SSL)
  // At exit a thread may still be at work with it: what OpenSSL holds is left to the system.
  if (ok && t->OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) != 1) {
    note("the library could not be set up");
    ok = 0;
  }
  state.is_loaded = ok;
}

const openssl_tls *openssl_tls_load(void) {
  pthread_once(&state.once, load);
  return state.is_loaded ? &state.table : NULL;
}

const char *openssl_tls_error(void) {
  return state.error;
}
