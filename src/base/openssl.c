// SPDX-License-Identifier: MIT
// OpenSSL, loaded late. See openssl.h.
#include "base/openssl.h"

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
  openssl table;
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
  openssl *t = &state.table;
  void *crypto = open_library(LIBRARY("crypto"));
  int ok = 1;
  // A pointer to a function goes through memory: ISO C has no conversion.
#define LOAD_CRYPTO(name)           \
  {                                 \
    void *f = find(crypto, #name);  \
    memcpy(&t->name, &f, sizeof f); \
    if (!f) ok = 0;                 \
  }
  OPENSSL_CRYPTO(LOAD_CRYPTO)
  state.is_loaded = ok;
}

const openssl *openssl_load(void) {
  pthread_once(&state.once, load);
  return state.is_loaded ? &state.table : NULL;
}

const char *openssl_error(void) {
  return state.error;
}
