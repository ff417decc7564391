// SPDX-License-Identifier: MIT
// OpenSSL 3, loaded when it is first needed: linking it would cost more at each start than all the
// rest (0.76 ms). One table of the functions that corun calls, filled once in the process and
// read-only after that (S39); the types come from OpenSSL's own headers. Any thread.
#ifndef BASE_OPENSSL_H
#define BASE_OPENSSL_H

#include <openssl/evp.h>
#include <openssl/hmac.h>

// The functions of libcrypto, by their own names.
#define OPENSSL_CRYPTO(X) \
  X(EVP_DigestFinal_ex)   \
  X(EVP_DigestInit_ex)    \
  X(EVP_DigestUpdate)     \
  X(EVP_MD_CTX_copy_ex)   \
  X(EVP_MD_CTX_free)      \
  X(EVP_MD_CTX_new)       \
  X(EVP_get_digestbyname) \
  X(HMAC)

typedef struct openssl {
#define OPENSSL_FIELD(name) __typeof__(&name) name;
  OPENSSL_CRYPTO(OPENSSL_FIELD)
#undef OPENSSL_FIELD
} openssl;

// The table, filled at the first call, which takes some milliseconds. [any] NULL when the library
// cannot be loaded: then openssl_error says why.
const openssl *openssl_load(void);

// One sentence: why openssl_load answered NULL. [any]
const char *openssl_error(void);

#endif
