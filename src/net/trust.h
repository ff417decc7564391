// SPDX-License-Identifier: MIT
// The system's trusted certificates (S45): SSL_CERT_FILE and SSL_CERT_DIR if set, else the hashed
// directory, else the bundle. One X509_STORE for the process, made when first asked for and
// read-only after that; it is made on a thread for blocking work, since a bundle takes 20 ms.
#ifndef NET_TRUST_H
#define NET_TRUST_H

#include <stddef.h>

#include "base/openssl_tls.h"

// The store, which the process owns. [pool] NULL when there is none: `why` gets a sentence.
X509_STORE *trust_store(const openssl_tls *f, char *why, size_t n);

#endif
