// SPDX-License-Identifier: MIT
// Hashes for scripts, by OpenSSL, which is loaded at the first use. A hash is a digest under way in
// a userdata; long inputs and files are read on a thread (core/work.h) while the task waits. Runs
// on the loop thread. Invariant: while a thread works, the loop thread leaves the digest alone.
#ifndef DATA_HASH_H
#define DATA_HASH_H

#include <lua.h>
#include <stddef.h>

#include "base/openssl.h"
#include "core/work.h"

#define HASH_CLASS "corun.hash"  // metatable of the userdata; the binding registers it

typedef struct hash {
  const openssl *ssl;
  EVP_MD_CTX *digest;
  const char *name;
  work *busy;     // the work of the update under way
  unsigned refs;  // one of the userdata, one of the work
  int is_broken;  // an update was given up
} hash;

// The algorithm of that name ("sha256"), NULL for any that is not offered; its name as a constant
// goes to `constant`. [loop] Raises when OpenSSL is missing or does not have it.
const EVP_MD *hash_algorithm(lua_State *L, const char *name, const char **constant);

// Make a hash and push its userdata. [loop] Raises on out of memory.
hash *hash_new(lua_State *L, const EVP_MD *md, const char *name);

// Add the `len` bytes, which must stay where they are until the call has ended; gives the value at
// index 1. To be returned in tail position, after task_checkpoint. [loop] Suspends when it takes
// long. Raises when another update is under way.
int hash_update(lua_State *L, hash *h, const char *in, size_t len);

// The digest of what was added so far, of `len` bytes. [loop] Raises as hash_update does.
void hash_value(lua_State *L, hash *h, unsigned char out[EVP_MAX_MD_SIZE], unsigned *len);

// The userdata is collected. [loop]
void hash_unref(hash *h);

// Give the digest of a file in hex, or nil and an error. To be returned in tail position, after
// task_checkpoint. [loop] Suspends. Raises on out of memory.
int hash_file(lua_State *L, const EVP_MD *md, const char *path);

// Give the HMAC (RFC 2104) of the bytes, which must stay where they are. To be returned in tail
// position, after task_checkpoint. [loop] Suspends when it takes long. Raises on out of memory.
int hash_mac(lua_State *L, const EVP_MD *md, const char *key, size_t key_len, const char *in,
             size_t len);

// Say whether two texts of one length are equal, in a time that does not depend on where they
// differ. [any]
int hash_equal(const char *a, const char *b, size_t n);

#endif
