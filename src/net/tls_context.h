// SPDX-License-Identifier: MIT
// What TLS connections share: certificates, trust, versions, and for clients the sessions that can
// be resumed. Made from settings on a thread for blocking work, since it reads files; after that
// used on the loop thread of one runtime. Counted: one reference belongs to the userdata, one to
// each connection.
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/openssl_tls.h"

#define TLS_RECORD 16384  // bytes of plaintext that a record carries at most

// The settings that are texts. Certificates, keys and lists of revoked certificates are PEM, or the
// path of a file of it; `ca` may be a hashed directory too.
enum {
  TLS_CA,          // whom to trust instead of the system's certificates
  TLS_CERT,        // our certificate and the intermediate ones
  TLS_KEY,         // its key
  TLS_PASSPHRASE,  // of the key
  TLS_CRL,         // revoked certificates
  TLS_CIPHERS,     // of TLS 1.2
  TLS_SUITES,      // of TLS 1.3
  TLS_TEXTS
};

enum { TLS_VERIFY_NONE, TLS_VERIFY_GIVEN, TLS_VERIFY_DEMAND };

typedef struct tls_settings {
  char *text[TLS_TEXTS];  // NULL where not given
  char *alpn;             // as it is sent: each name after its length
  size_t alpn_len;
  int is_server;
  int verify;       // the peer's certificate
  int min, max;     // TLS1_2_VERSION ...; 0: OpenSSL's choice
  int has_resumed;  // resume sessions
} tls_settings;

typedef struct tls_named tls_named;
typedef struct tls_kept tls_kept;

typedef struct tls_context {
  unsigned refs;
  const openssl_tls *f;
  SSL_CTX *ctx;
  BIO_METHOD *bio;  // made by tls.c for the first connection
  int is_server;
  char *alpn;
  size_t alpn_len;
  tls_named *names;    // contexts for the names that clients ask for
  tls_kept *sessions;  // the latest first
  buffer scratch;      // where what is written at once is encrypted
  char *record;        // where small pieces are joined
} tls_context;

// Make a context; the reference is the caller's. [pool] NULL on failure: `why` gets a sentence.
tls_context *tls_context_new(const tls_settings *s, char *why, size_t n);

// Release what the settings hold. [any]
void tls_settings_fini(tls_settings *s);

// Use `other` for clients that ask for `name`, which may begin with "*."; counts a reference.
// [loop] Answers 0, UV_EINVAL when no host can have this name, or UV_ENOMEM.
int tls_context_add_name(tls_context *c, const char *name, tls_context *other);

tls_context *tls_context_ref(tls_context *c);

// Let go of a reference. [loop]
void tls_context_unref(tls_context *c);

// --- Sessions of clients (tls_session.c) -----------------------------------------------------

// Keep a session for the peer `key`; takes it over. [loop] Answers whether it did.
int tls_session_put(tls_context *c, const char *key, SSL_SESSION *session);

// A session for that peer, NULL when there is none; the caller's. One of TLS 1.3 is given once.
// [loop]
SSL_SESSION *tls_session_take(tls_context *c, const char *key);

// Forget all. [loop]
void tls_session_clear(tls_context *c);

#endif
