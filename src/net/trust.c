// SPDX-License-Identifier: MIT
// The system's trusted certificates. See trust.h.
#include "net/trust.h"

#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
  pthread_mutex_t lock;
  X509_STORE *store;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

// A file's name in a directory of certificates: the hash of the subject and a number
// ("1ab2c3d4.0").
static int is_hashed(const char *name) {
  for (int i = 0; i < 8; i++)
    if (!isxdigit((unsigned char)name[i])) return 0;
  return name[8] == '.' && isdigit((unsigned char)name[9]);
}

static int has_hashes(const char *path) {
  DIR *dir = opendir(path);
  int found = 0;
  if (!dir) return 0;
  for (const struct dirent *e; !found && (e = readdir(dir));) found = is_hashed(e->d_name);
  closedir(dir);
  return found;
}

// The bundle of the system, NULL when there is none.
static const char *find_bundle(const openssl_tls *f) {
  const char *paths[] = {f->X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt",
                         "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                         "/etc/ssl/cert.pem"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    if (access(paths[i], R_OK) == 0) return paths[i];
  return NULL;
}

// What the environment names, "" counting as nothing.
static const char *named(const char *variable) {
  const char *value = getenv(variable);
  return value && *value ? value : NULL;
}

static int fill(const openssl_tls *f, X509_STORE *store, char *why, size_t n) {
  const char *file = named("SSL_CERT_FILE"), *dir = named("SSL_CERT_DIR");
  if (file && !f->X509_STORE_load_file(store, file)) {
    snprintf(why, n, "no certificates can be read from %s, which SSL_CERT_FILE names", file);
    return 0;
  }
  if (dir && !f->X509_STORE_load_path(store, dir)) {
    snprintf(why, n, "no certificates can be read from %s, which SSL_CERT_DIR names", dir);
    return 0;
  }
  if (file || dir) return 1;
  dir = f->X509_get_default_cert_dir();
  if (has_hashes(dir) && f->X509_STORE_load_path(store, dir)) return 1;
  file = find_bundle(f);
  if (file && f->X509_STORE_load_file(store, file)) return 1;
  snprintf(why, n, "this system has no trusted certificates (SSL_CERT_FILE can name some)");
  return 0;
}

X509_STORE *trust_store(const openssl_tls *f, char *why, size_t n) {
  pthread_mutex_lock(&state.lock);
  if (!state.store) {
    X509_STORE *store = f->X509_STORE_new();
    if (!store) {
      snprintf(why, n, "not enough memory");
    } else if (fill(f, store, why, n)) {
      state.store = store;
    } else {
      f->X509_STORE_free(store);
    }
    f->ERR_clear_error();
  }
  X509_STORE *store = state.store;
  pthread_mutex_unlock(&state.lock);
  return store;
}
