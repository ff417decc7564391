// SPDX-License-Identifier: MIT
// Failures of TLS in plain words. Owns nothing; runs on the loop thread.
#ifndef NET_TLS_ERROR_H
#define NET_TLS_ERROR_H

#include <stddef.h>

#include "base/openssl_tls.h"

// Say why the peer's certificate was refused. `name` is whom it should be for, NULL when no name
// was asked for. [loop]
void tls_explain_certificate(const openssl_tls *f, X509_STORE_CTX *v, const char *name,
                             int of_client, char *buf, size_t n);

// Say why a call failed, from the error that OpenSSL has put into its queue. [loop]
void tls_explain_failure(const openssl_tls *f, unsigned long error, int in_handshake, char *buf,
                         size_t n);

// Write the names that a certificate is for into `buf`, separated by commas; at most `most`, 0:
// all, and only as many as there is room for. [loop] Answers how many it has.
int tls_names_of(const openssl_tls *f, const X509 *x, int most, char *buf, size_t n);

// Write a subject or an issuer as one line ("CN = example.org"). [loop]
void tls_name_text(const openssl_tls *f, const X509_NAME *name, char *buf, size_t n);

// The instant in seconds since 1970, -1 when it cannot be read. [any]
long long tls_time_of(const openssl_tls *f, const ASN1_TIME *t);

#endif
