// SPDX-License-Identifier: MIT
// Hashes for scripts. See hash.h.
#include "data/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/error.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"
#include "data/codec_text.h"

#define AT_ONCE ((size_t)512 << 10)  // what takes about a millisecond
#define SLICE ((size_t)256 << 10)    // after which a thread looks whether it is still wanted

static const char *const names[] = {"md5", "sha1", "sha256", "sha384", "sha512"};

const EVP_MD *hash_algorithm(lua_State *L, const char *name, const char **constant) {
  size_t i = 0;
  while (i < sizeof names / sizeof *names && strcmp(names[i], name) != 0) i++;
  if (i == sizeof names / sizeof *names) return NULL;
  *constant = names[i];
  const openssl *ssl = openssl_load();
  if (!ssl) {
    err_raise(L, "ENOSYS", "hash", name, "%s", openssl_error());
    return NULL;
  }
  const EVP_MD *md = ssl->EVP_get_digestbyname(name);
  if (!md) err_raise(L, "ENOSYS", "hash", name, "OpenSSL does not have it");
  return md;
}

// --- Digests ---------------------------------------------------------------------------------

void hash_unref(hash *h) {
  if (--h->refs) return;
  if (h->digest) h->ssl->EVP_MD_CTX_free(h->digest);
  free(h);
}

hash *hash_new(lua_State *L, const EVP_MD *md, const char *name) {
  hash **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, HASH_CLASS);
  hash *h = *box = calloc(1, sizeof *h);
  if (!h) luaL_error(L, "not enough memory");
  h->ssl = openssl_load();
  h->name = name;
  h->refs = 1;
  h->digest = h->ssl->EVP_MD_CTX_new();
  if (!h->digest) luaL_error(L, "not enough memory");
  if (!h->ssl->EVP_DigestInit_ex(h->digest, md, NULL))
    err_raise(L, "ENOSYS", "hash", name, "this OpenSSL refuses it");
  return h;
}

static void check(lua_State *L, const hash *h) {
  if (h->busy && !h->busy->is_withdrawn)
    err_raise(L, "EBUSY", "hash", h->name, "another task's update is under way");
  if (h->is_broken) err_raise(L, "ECANCELED", "hash", h->name, "an update was given up");
}

void hash_value(lua_State *L, hash *h, unsigned char out[EVP_MAX_MD_SIZE], unsigned *len) {
  check(L, h);
  EVP_MD_CTX *copy = h->ssl->EVP_MD_CTX_new();
  int ok = copy && h->ssl->EVP_MD_CTX_copy_ex(copy, h->digest) &&
           h->ssl->EVP_DigestFinal_ex(copy, out, len);
  if (copy) h->ssl->EVP_MD_CTX_free(copy);
  if (!ok) luaL_error(L, "not enough memory");
}

typedef struct update_work {
  work base;
  hash *h;
  const char *in;
  size_t len;
} update_work;

static void run_update(work *w) {
  update_work *u = (update_work *)(void *)w;
  while (u->len && !work_is_cancelled(w)) {
    size_t n = u->len < SLICE ? u->len : SLICE;
    u->h->ssl->EVP_DigestUpdate(u->h->digest, u->in, n);
    u->in += n;
    u->len -= n;
  }
}

static int done_update(lua_State *L, work *w, int rc) {
  update_work *u = (update_work *)(void *)w;
  u->h->busy = NULL;
  u->h->is_broken = u->len > 0;
  if (rc < 0) return work_fail(L, "hash", u->h->name);
  if (u->len) task_checkpoint(L);
  lua_settop(L, 1);
  return 1;
}

static void drop_update(work *w) {
  hash *h = ((update_work *)(void *)w)->h;
  if (!h) return;
  if (h->busy == w) h->busy = NULL;
  hash_unref(h);
}

static const work_type update_type = {
  .op = "hash", .run = run_update, .done = done_update, .drop = drop_update};

int hash_update(lua_State *L, hash *h, const char *in, size_t len) {
  check(L, h);
  if (len > AT_ONCE) {
    wait_check(L);
    work *w = work_new(L, &update_type, sizeof(update_work));
    update_work *u = (update_work *)(void *)w;
    w->target = h->name;
    u->h = h;
    u->in = in;
    u->len = len;
    h->refs++;
    h->busy = w;
    return work_begin(L, w, TIMER_NEVER);
  }
  h->ssl->EVP_DigestUpdate(h->digest, in, len);
  wait_count(L, len * WAIT_MILLISECOND / AT_ONCE);
  lua_settop(L, 1);
  return 1;
}

// --- Files -----------------------------------------------------------------------------------

// A task that is cancelled does not wait for the file, which may be a pipe or on a dead server.
typedef struct file_work {
  work base;
  const openssl *ssl;
  const EVP_MD *md;
  EVP_MD_CTX *digest;
  char *block;
  int rc;
  unsigned len;
  unsigned char value[EVP_MAX_MD_SIZE];
  char path[];
} file_work;

// Add the bytes of the file to the digest. Answers 0 or a negative libuv code.
static int read_all(file_work *f, int fd) {
  while (!work_is_cancelled(&f->base)) {
    ssize_t n = read(fd, f->block, SLICE);
    if (n == 0) return 0;
    if (n > 0)
      f->ssl->EVP_DigestUpdate(f->digest, f->block, (size_t)n);
    else if (errno != EINTR)
      return uv_translate_sys_error(errno);
  }
  return UV_ECANCELED;
}

static void run_file(work *w) {
  file_work *f = (file_work *)(void *)w;
  int fd;
  f->rc = UV_ECANCELED;
  if (work_is_cancelled(w)) return;
  do {
    fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  } while (fd < 0 && errno == EINTR && !work_is_cancelled(w));
  f->rc = fd < 0 ? uv_translate_sys_error(errno) : read_all(f, fd);
  if (fd >= 0) close(fd);
  if (f->rc == 0) f->ssl->EVP_DigestFinal_ex(f->digest, f->value, &f->len);
}

static int done_file(lua_State *L, work *w, int rc) {
  const file_work *f = (file_work *)(void *)w;
  if (rc < 0) return work_fail(L, "hash_file", f->path);
  if (f->rc < 0) return err_return_uv(L, f->rc, "hash_file", f->path);
  char text[2 * EVP_MAX_MD_SIZE];
  hex_encode(f->value, f->len, text);
  lua_pushlstring(L, text, 2 * (size_t)f->len);
  return 1;
}

static void drop_file(work *w) {
  file_work *f = (file_work *)(void *)w;
  if (f->digest) f->ssl->EVP_MD_CTX_free(f->digest);
  free(f->block);
}

static const work_type file_type = {
  .op = "hash_file", .run = run_file, .done = done_file, .drop = drop_file, .is_abandoned = 1};

int hash_file(lua_State *L, const EVP_MD *md, const char *path) {
  size_t len = strlen(path);
  file_work *f = (file_work *)(void *)work_new(L, &file_type, sizeof *f + len + 1);
  memcpy(f->path, path, len);
  f->base.target = f->path;
  f->ssl = openssl_load();
  f->digest = f->ssl->EVP_MD_CTX_new();
  f->block = malloc(SLICE);
  if (!f->digest || !f->block) return luaL_error(L, "not enough memory");
  if (!f->ssl->EVP_DigestInit_ex(f->digest, md, NULL))
    return err_raise(L, "ENOSYS", "hash", NULL, "this OpenSSL refuses the algorithm");
  return work_begin(L, &f->base, TIMER_NEVER);
}

// --- HMAC ------------------------------------------------------------------------------------

typedef struct mac {
  const openssl *ssl;
  const EVP_MD *md;
  const char *key, *in;
  size_t key_len, len;
  unsigned value_len;
  int ok;
  unsigned char value[EVP_MAX_MD_SIZE];
} mac;

typedef struct mac_work {
  work base;
  mac m;
} mac_work;

static void make_mac(mac *m) {
  m->ok = m->ssl->HMAC(m->md, m->key, (int)m->key_len, (const unsigned char *)m->in, m->len,
                       m->value, &m->value_len) != NULL;
}

static int push_mac(lua_State *L, const mac *m) {
  if (!m->ok) return err_raise(L, "ENOSYS", "hmac", NULL, "this OpenSSL refuses the algorithm");
  lua_pushlstring(L, (const char *)m->value, m->value_len);
  return 1;
}

static void run_mac(work *w) {
  make_mac(&((mac_work *)(void *)w)->m);
}

static int done_mac(lua_State *L, work *w, int rc) {
  if (rc < 0) return work_fail(L, "hmac", NULL);
  return push_mac(L, &((mac_work *)(void *)w)->m);
}

static const work_type mac_type = {.op = "hmac", .run = run_mac, .done = done_mac};

int hash_mac(lua_State *L, const EVP_MD *md, const char *key, size_t key_len, const char *in,
             size_t len) {
  if (key_len > INT_MAX) return err_misuse(L, "the key of hmac is too long");
  mac m = {.ssl = openssl_load(), .md = md, .key = key, .in = in, .key_len = key_len, .len = len};
  if (len <= AT_ONCE && key_len <= AT_ONCE) {
    make_mac(&m);
    wait_count(L, (key_len + len) * WAIT_MILLISECOND / AT_ONCE);
    return push_mac(L, &m);
  }
  wait_check(L);
  mac_work *w = (mac_work *)(void *)work_new(L, &mac_type, sizeof *w);
  w->m = m;
  return work_begin(L, &w->base, TIMER_NEVER);
}

int hash_equal(const char *a, const char *b, size_t n) {
  volatile unsigned char differ = 0;
  for (size_t i = 0; i < n; i++) differ = differ | (unsigned char)(a[i] ^ b[i]);
  return differ == 0;
}
