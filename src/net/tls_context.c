// SPDX-License-Identifier: MIT
// What TLS connections share. See tls_context.h.
#include "net/tls_context.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <uv.h>

#include "net/tls.h"
#include "net/tls_name.h"
#include "net/trust.h"

#define LARGEST ((size_t)16 << 20)  // bytes of a file of certificates

struct tls_named {
  tls_named *next;
  tls_context *ctx;
  char name[];
};

// What is under way while a context is made.
typedef struct making {
  const openssl_tls *f;
  const tls_settings *set;
  SSL_CTX *ctx;
  X509_STORE *own;  // trust that is not the system's
  char *why;
  size_t n;
} making;

static int fail(making *m, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(m->why, m->n, fmt, ap);
  va_end(ap);
  return 0;
}

// --- PEM -------------------------------------------------------------------------------------

// What a setting is called in messages: its text may be long, or secret.
static const char *shown(const char *source) {
  return strstr(source, "-----BEGIN") ? "the text given" : source;
}

static int read_file(making *m, const char *what, const char *path, buffer *out) {
  FILE *file = fopen(path, "rb");
  int rc = file ? 0 : errno;
  while (!rc) {
    if (buffer_len(out) > LARGEST) rc = EFBIG;
    if (!rc && buffer_reserve(out, 4096) < 0) rc = ENOMEM;
    if (rc) break;
    size_t n = fread(out->data + out->end, 1, 4096, file);
    out->end += n;
    if (n < 4096) {
      if (ferror(file)) rc = errno;
      break;
    }
  }
  if (file) fclose(file);
  if (!rc) return 1;
  return fail(m, "%s cannot be read from %s: %s", what, path,
              uv_strerror(uv_translate_sys_error(rc)));
}

// Open what the setting names, or the text that it is. The memory is in `held`.
static BIO *open_pem(making *m, const char *what, const char *source, buffer *held) {
  const char *p = source;
  size_t len = strlen(source);
  buffer_init(held);
  if (!strstr(source, "-----BEGIN")) {
    if (!read_file(m, what, source, held)) {
      buffer_fini(held);
      return NULL;
    }
    p = buffer_bytes(held);
    len = buffer_len(held);
  }
  BIO *bio = m->f->BIO_new_mem_buf(len ? p : "", (int)len);
  if (bio) return bio;
  buffer_fini(held);
  fail(m, "not enough memory");
  return NULL;
}

static void close_pem(making *m, BIO *bio, buffer *held) {
  m->f->BIO_free(bio);
  buffer_fini(held);
  m->f->ERR_clear_error();  // of the attempt to read one more
}

// The reason why the last call failed.
static const char *reason(making *m) {
  const char *text = m->f->ERR_reason_error_string(m->f->ERR_peek_last_error());
  return text ? text : "unknown error";
}

// --- Our own certificate -----------------------------------------------------------------------

static int load_certificates(making *m) {
  const openssl_tls *f = m->f;
  const char *source = m->set->text[TLS_CERT];
  buffer held;
  BIO *bio = open_pem(m, "the certificate", source, &held);
  if (!bio) return 0;
  int count = 0, ok = 1;
  for (X509 *x; ok && (x = f->PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++) {
    if (count == 0) {
      ok = f->SSL_CTX_use_certificate(m->ctx, x);
      f->X509_free(x);
    } else {
      ok = f->SSL_CTX_ctrl(m->ctx, SSL_CTRL_CHAIN_CERT, 0, x) == 1;
      if (!ok) f->X509_free(x);
    }
  }
  if (!ok)
    fail(m, "the certificate in %s cannot be used: %s", shown(source), reason(m));
  else if (!count)
    ok = fail(m, "there is no certificate (PEM) in %s", shown(source));
  close_pem(m, bio, &held);
  return ok;
}

typedef struct lock {
  const char *passphrase;
  int was_asked;
} lock;

// Never ask at the terminal.
static int on_passphrase(char *buf, int size, int writing, void *arg) {
  lock *k = arg;
  (void)writing;
  k->was_asked = 1;
  if (!k->passphrase || (int)strlen(k->passphrase) > size) return -1;
  memcpy(buf, k->passphrase, strlen(k->passphrase));
  return (int)strlen(k->passphrase);
}

static int load_key(making *m) {
  const openssl_tls *f = m->f;
  lock k = {.passphrase = m->set->text[TLS_PASSPHRASE]};
  const char *source = m->set->text[TLS_KEY] ? m->set->text[TLS_KEY] : m->set->text[TLS_CERT];
  buffer held;
  BIO *bio = open_pem(m, "the key", source, &held);
  if (!bio) return 0;
  EVP_PKEY *key = f->PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &k);
  int ok = 1;
  if (!key && k.was_asked && k.passphrase)
    ok = fail(m, "the key in %s cannot be read with this passphrase", shown(source));
  else if (!key && k.was_asked)
    ok = fail(m, "the key in %s is encrypted: it needs a passphrase", shown(source));
  else if (!key)
    ok = fail(m, "there is no key (PEM) in %s", shown(source));
  else if (!f->SSL_CTX_use_PrivateKey(m->ctx, key) || !f->SSL_CTX_check_private_key(m->ctx))
    ok = fail(m, "the key in %s does not belong to the certificate", shown(source));
  if (key) f->EVP_PKEY_free(key);
  close_pem(m, bio, &held);
  return ok;
}

// --- Trust -------------------------------------------------------------------------------------

static int add_authorities(making *m, const char *source) {
  const openssl_tls *f = m->f;
  buffer held;
  BIO *bio = open_pem(m, "the trusted certificates (ca)", source, &held);
  if (!bio) return 0;
  int count = 0, ok = 1;
  for (X509 *x; ok && (x = f->PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++) {
    ok = f->X509_STORE_add_cert(m->own, x);
    if (ok && m->set->is_server) ok = f->SSL_CTX_add_client_CA(m->ctx, x);
    f->X509_free(x);
  }
  if (!ok)
    fail(m, "the trusted certificates (ca) in %s cannot be used: %s", shown(source), reason(m));
  else if (!count)
    ok = fail(m, "there is no certificate (PEM) to trust in %s", shown(source));
  close_pem(m, bio, &held);
  return ok;
}

static int add_revocations(making *m, const char *source) {
  const openssl_tls *f = m->f;
  buffer held;
  BIO *bio = open_pem(m, "the list of revoked certificates (crl)", source, &held);
  if (!bio) return 0;
  int count = 0, ok = 1;
  for (X509_CRL *x; ok && (x = f->PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)); count++) {
    ok = f->X509_STORE_add_crl(m->own, x);
    f->X509_CRL_free(x);
  }
  if (!ok)
    fail(m, "the list of revoked certificates in %s cannot be used: %s", shown(source), reason(m));
  else if (!count)
    ok = fail(m, "there is no list of revoked certificates (PEM) in %s", shown(source));
  close_pem(m, bio, &held);
  return ok && f->X509_STORE_set_flags(m->own, X509_V_FLAG_CRL_CHECK);
}

static int load_trust(making *m) {
  const openssl_tls *f = m->f;
  const char *ca = m->set->text[TLS_CA], *crl = m->set->text[TLS_CRL];
  struct stat st;
  if (m->set->verify == TLS_VERIFY_NONE) return 1;
  if (!ca) {
    X509_STORE *system = trust_store(f, m->why, m->n);
    if (system) f->SSL_CTX_set1_cert_store(m->ctx, system);
    return system != NULL;
  }
  m->own = f->X509_STORE_new();
  if (!m->own) return fail(m, "not enough memory");
  // Whoever names a certificate trusts it, be it a root or not.
  f->X509_STORE_set_flags(m->own, X509_V_FLAG_PARTIAL_CHAIN);
  int ok;
  if (!strstr(ca, "-----BEGIN") && stat(ca, &st) == 0 && S_ISDIR(st.st_mode))
    ok = f->X509_STORE_load_path(m->own, ca);
  else
    ok = add_authorities(m, ca);
  if (ok && crl) ok = add_revocations(m, crl);
  if (ok) f->SSL_CTX_set1_cert_store(m->ctx, m->own);
  return ok;
}

// --- What a server chooses -----------------------------------------------------------------------

// Our first protocol that the client has too.
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned n, void *arg) {
  const tls_context *c = arg;
  const unsigned char *ours = (const unsigned char *)c->alpn;
  (void)ssl;
  for (size_t i = 0; i < c->alpn_len; i += ours[i] + 1u) {
    for (unsigned k = 0; k < n; k += in[k] + 1u) {
      if (k + in[k] + 1u > n || in[k] != ours[i] || memcmp(in + k, ours + i, in[k] + 1u) != 0)
        continue;
      *out = in + k + 1;
      *out_len = in[k];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static tls_context *find_name(const tls_context *c, const char *name) {
  const char *rest = strchr(name, '.');
  tls_context *wild = NULL;
  for (const tls_named *k = c->names; k; k = k->next) {
    if (strcasecmp(k->name, name) == 0) return k->ctx;
    if (rest && k->name[0] == '*' && strcasecmp(k->name + 1, rest) == 0) wild = k->ctx;
  }
  return wild;
}

static int on_server_name(SSL *ssl, int *alert, void *arg) {
  const tls_context *c = arg;
  const char *name = c->f->SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const tls_context *other = name ? find_name(c, name) : NULL;
  *alert = SSL_AD_UNRECOGNIZED_NAME;  // never sent: other names get the first certificate
  if (other) c->f->SSL_set_SSL_CTX(ssl, other->ctx);
  return name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

int tls_context_add_name(tls_context *c, const char *name, tls_context *other) {
  char host[ADDRESS_HOST + 1];  // as clients ask for it
  int rc = tls_name_make_pattern(name, host);
  if (rc < 0) return rc;
  tls_named *k = malloc(sizeof *k + strlen(host) + 1);
  if (!k) return UV_ENOMEM;
  memcpy(k->name, host, strlen(host) + 1);
  k->ctx = tls_context_ref(other);
  k->next = c->names;
  c->names = k;
  c->f->SSL_CTX_callback_ctrl(c->ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                              (void (*)(void))on_server_name);
  c->f->SSL_CTX_ctrl(c->ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, c);
  return 0;
}

// --- Making ------------------------------------------------------------------------------------

static int set_parameters(making *m, tls_context *c) {
  const openssl_tls *f = m->f;
  const tls_settings *set = m->set;
  const char *ciphers = set->text[TLS_CIPHERS], *suites = set->text[TLS_SUITES];
  f->SSL_CTX_set_options(m->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  f->SSL_CTX_ctrl(m->ctx, SSL_CTRL_MODE,
                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, NULL);
  f->SSL_CTX_set_info_callback(m->ctx, tls_on_info);
  f->SSL_CTX_set_security_level(m->ctx, 2);  // 112 bits: RSA from 2048 on, no SHA-1
  f->SSL_CTX_ctrl(m->ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, set->min ? set->min : TLS1_2_VERSION,
                  NULL);
  f->SSL_CTX_ctrl(m->ctx, SSL_CTRL_SET_MAX_PROTO_VERSION, set->max, NULL);
  if (ciphers && !f->SSL_CTX_set_cipher_list(m->ctx, ciphers))
    return fail(m, "there is no cipher for TLS 1.2 in \"%s\"", ciphers);
  if (suites && !f->SSL_CTX_set_ciphersuites(m->ctx, suites))
    return fail(m, "there is an unknown cipher for TLS 1.3 in \"%s\"", suites);
  static const int modes[] = {SSL_VERIFY_NONE, SSL_VERIFY_PEER,
                              SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
  f->SSL_CTX_set_verify(m->ctx, modes[set->verify], set->verify ? tls_on_verify : NULL);
  if (set->is_server) {
    f->SSL_CTX_ctrl(m->ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);  // tickets do
    f->SSL_CTX_set_session_id_context(m->ctx, (const unsigned char *)"corun", 5);
    if (!set->has_resumed) f->SSL_CTX_set_options(m->ctx, SSL_OP_NO_TICKET);
    if (set->alpn) f->SSL_CTX_set_alpn_select_cb(m->ctx, on_alpn, c);
    return 1;
  }
  if (set->has_resumed) {
    f->SSL_CTX_ctrl(m->ctx, SSL_CTRL_SET_SESS_CACHE_MODE,
                    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL, NULL);
    f->SSL_CTX_sess_set_new_cb(m->ctx, tls_on_session);
  }
  if (set->alpn && f->SSL_CTX_set_alpn_protos(m->ctx, (const unsigned char *)set->alpn,
                                              (unsigned)set->alpn_len) != 0)
    return fail(m, "the list of protocols (alpn) cannot be used");
  return 1;
}

tls_context *tls_context_new(const tls_settings *s, char *why, size_t n) {
  const openssl_tls *f = openssl_tls_load();
  making m = {.f = f, .set = s, .why = why, .n = n};
  why[0] = 0;
  if (!f) {
    fail(&m, "%s", openssl_tls_error());
    return NULL;
  }
  f->ERR_clear_error();
  tls_context *c = calloc(1, sizeof *c);
  fail(&m, "not enough memory");
  if (!c) return NULL;
  c->refs = 1;
  c->f = f;
  c->is_server = s->is_server;
  m.ctx = c->ctx = f->SSL_CTX_new(s->is_server ? f->TLS_server_method() : f->TLS_client_method());
  c->bio = m.ctx ? tls_bio_new(f) : NULL;
  c->alpn = s->alpn ? malloc(s->alpn_len) : NULL;
  int ok = c->bio && (c->alpn || !s->alpn);
  if (ok && s->alpn) {
    memcpy(c->alpn, s->alpn, s->alpn_len);
    c->alpn_len = s->alpn_len;
  }
  ok = ok && set_parameters(&m, c) && load_trust(&m);
  if (ok && s->text[TLS_CERT]) ok = load_certificates(&m) && load_key(&m);
  if (m.own) f->X509_STORE_free(m.own);
  f->ERR_clear_error();
  if (ok) return c;
  tls_context_unref(c);
  return NULL;
}

void tls_settings_fini(tls_settings *s) {
  for (int i = 0; i < TLS_TEXTS; i++) free(s->text[i]);
  free(s->alpn);
}

tls_context *tls_context_ref(tls_context *c) {
  c->refs++;
  return c;
}

void tls_context_unref(tls_context *c) {
  if (--c->refs) return;
  tls_session_clear(c);
  for (tls_named *k = c->names, *next; k; k = next) {
    next = k->next;
    tls_context_unref(k->ctx);
    free(k);
  }
  if (c->ctx) c->f->SSL_CTX_free(c->ctx);
  if (c->bio) c->f->BIO_meth_free(c->bio);
  buffer_fini(&c->scratch);
  free(c->record);
  free(c->alpn);
  free(c);
}
