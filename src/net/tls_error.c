// SPDX-License-Identifier: MIT
// Failures of TLS in plain words. See tls_error.h.
#include "net/tls_error.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#define NAMES 3  // names of a certificate that a message lists

// --- What stands in a certificate ----------------------------------------------------------------

long long tls_time_of(const openssl_tls *f, const ASN1_TIME *t) {
  struct tm tm;
  return t && f->ASN1_TIME_to_tm(t, &tm) ? (long long)timegm(&tm) : -1;
}

static void put_date(const openssl_tls *f, const ASN1_TIME *t, char *buf, size_t n) {
  struct tm tm;
  if (!t || !f->ASN1_TIME_to_tm(t, &tm) || !strftime(buf, n, "%Y-%m-%d", &tm))
    snprintf(buf, n, "?");
}

void tls_name_text(const openssl_tls *f, const X509_NAME *name, char *buf, size_t n) {
  BIO *bio = name ? f->BIO_new(f->BIO_s_mem()) : NULL;
  int len = 0;
  if (bio) {
    f->X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
    len = f->BIO_read(bio, buf, (int)n - 1);
    f->BIO_free(bio);
  }
  buf[len > 0 ? len : 0] = 0;
}

// A peer chose the bytes: what cannot be printed must not reach a terminal, and what would end or
// divide a name in a list must not make another one of it.
static void put_host(const unsigned char *p, int len, char *buf, size_t n) {
  size_t i = 0;
  for (; len > 0 && i < (size_t)len && i + 1 < n; i++)
    buf[i] = p[i] > ' ' && p[i] < 127 && p[i] != ',' ? (char)p[i] : '?';
  buf[i] = 0;
}

// Write one name; answers whether it is of a kind that hosts are checked against.
static int put_name(const openssl_tls *f, const GENERAL_NAME *g, char *buf, size_t n) {
  const unsigned char *p;
  switch (g->type) {
    case GEN_DNS:
      p = f->ASN1_STRING_get0_data(g->d.dNSName);
      put_host(p, f->ASN1_STRING_length(g->d.dNSName), buf, n);
      return 1;
    case GEN_IPADD:
      p = f->ASN1_STRING_get0_data(g->d.iPAddress);
      switch (f->ASN1_STRING_length(g->d.iPAddress)) {
        case 4: return uv_inet_ntop(AF_INET, p, buf, n) == 0;
        case 16: return uv_inet_ntop(AF_INET6, p, buf, n) == 0;
        default: return 0;
      }
    default: return 0;
  }
}

int tls_names_of(const openssl_tls *f, const X509 *x, int most, char *buf, size_t n) {
  GENERAL_NAMES *all = f->X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
  const OPENSSL_STACK *stack = (const OPENSSL_STACK *)all;
  int found = 0, written = 0;
  size_t at = 0;
  buf[0] = 0;
  for (int i = 0, end = all ? f->OPENSSL_sk_num(stack) : 0; i < end; i++) {
    char name[260];
    if (!put_name(f, f->OPENSSL_sk_value(stack, i), name, sizeof name)) continue;
    found++;
    // None is cut off: what is left of it could be another's.
    if ((most && written == most) || strlen(name) + 3 > n - at) continue;
    at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? ", " : "", name);
    written++;
  }
  if (found > written && most) snprintf(buf + at, n - at, " and %d more", found - written);
  f->GENERAL_NAMES_free(all);
  return found;
}

// --- Certificates that are refused
// -----------------------------------------------------------------

static void explain_name(const openssl_tls *f, const X509 *x, const char *name, char *buf,
                         size_t n) {
  char names[600];
  if (tls_names_of(f, x, NAMES, names, sizeof names))
    snprintf(buf, n, "the certificate is for %s, not for %s", names, name ? name : "this host");
  else
    snprintf(buf, n, "the certificate names no host (subjectAltName), so it is not for %s",
             name ? name : "this host");
}

// The certificate that an error is about: the peer's own, or one of its chain.
static void put_holder(const openssl_tls *f, const X509 *x, int depth, int of_client, char *buf,
                       size_t n) {
  char name[200];
  if (depth == 0 || !x) {
    snprintf(buf, n, of_client ? "the client's certificate" : "the certificate");
    return;
  }
  tls_name_text(f, f->X509_get_subject_name(x), name, sizeof name);
  snprintf(buf, n, "the certificate of its issuer (%s)", name);
}

// The sentences that need nothing but the certificate they are about; NULL for others.
static const char *complaint(int error) {
  switch (error) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return "is self-signed and not trusted";
    case X509_V_ERR_CERT_REVOKED: return "was revoked";
    case X509_V_ERR_UNABLE_TO_GET_CRL: return "has an issuer without a list of revoked ones (CRL)";
    case X509_V_ERR_CRL_HAS_EXPIRED: return "has an issuer whose CRL has expired";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL: return "has a key that is too weak";
    case X509_V_ERR_CA_MD_TOO_WEAK: return "is signed with a hash that is too weak";
    case X509_V_ERR_INVALID_PURPOSE: return "may not be used for this purpose";
    case X509_V_ERR_INVALID_CA: return "is not one of an authority (CA)";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: return "has a wrong signature";
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED: return "is not trusted for this purpose";
    default: return NULL;
  }
}

static int is_without_issuer(int error) {
  return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
         error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
         error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

void tls_explain_certificate(const openssl_tls *f, X509_STORE_CTX *v, const char *name,
                             int of_client, char *buf, size_t n) {
  const X509 *x = f->X509_STORE_CTX_get_current_cert(v);
  int error = f->X509_STORE_CTX_get_error(v), depth = f->X509_STORE_CTX_get_error_depth(v);
  char holder[260], detail[200];
  put_holder(f, x, depth, of_client, holder, sizeof holder);
  if (x && error == X509_V_ERR_CERT_HAS_EXPIRED) {
    put_date(f, f->X509_get0_notAfter(x), detail, sizeof detail);
    snprintf(buf, n, "%s has expired (on %s)", holder, detail);
  } else if (x && error == X509_V_ERR_CERT_NOT_YET_VALID) {
    put_date(f, f->X509_get0_notBefore(x), detail, sizeof detail);
    snprintf(buf, n, "%s is not valid yet (before %s)", holder, detail);
  } else if (x &&
             (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)) {
    explain_name(f, x, name, buf, n);
  } else if (x && is_without_issuer(error)) {
    tls_name_text(f, f->X509_get_issuer_name(x), detail, sizeof detail);
    snprintf(buf, n, "the issuer of %s (%s) is not trusted, or an intermediate one is missing",
             holder, detail);
  } else if (x && error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN) {
    tls_name_text(f, f->X509_get_subject_name(x), detail, sizeof detail);
    snprintf(buf, n, "the root (%s) of %s is not trusted", detail,
             of_client ? "the client's certificate" : "the certificate");
  } else if (complaint(error)) {
    snprintf(buf, n, "%s %s", holder, complaint(error));
  } else {
    snprintf(buf, n, "%s was refused: %s", holder, f->X509_verify_cert_error_string(error));
  }
}

// --- Other failures
// --------------------------------------------------------------------------------

// What the peer said before it closed: OpenSSL's texts are "tlsv1 alert unknown ca" and the like.
static void explain_alert(const char *text, char *buf, size_t n) {
  const char *alert = text ? strstr(text, "alert ") : NULL;
  snprintf(buf, n, "the peer refused it with the alert \"%s\"",
           alert  ? alert + 6
           : text ? text
                  : "unknown");
}

static const char *common(int reason, int in_handshake) {
  switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return "the peer speaks no version of TLS that is allowed";
    case SSL_R_NO_SHARED_CIPHER: return "there is no cipher in common with the peer";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return "there is no protocol (ALPN) in common with the peer";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "the client gave no certificate";
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: return "a record was damaged on its way";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_RECORD_TOO_SMALL:
    case SSL_R_BAD_RECORD_TYPE: return in_handshake ? "the peer does not speak TLS" : NULL;
    default: return NULL;
  }
}

void tls_explain_failure(const openssl_tls *f, unsigned long e, int in_handshake, char *buf,
                         size_t n) {
  const char *text = f->ERR_reason_error_string(e);
  int is_ssl = ERR_GET_LIB(e) == ERR_LIB_SSL, reason = ERR_GET_REASON(e);
  if (is_ssl && reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
    explain_alert(text, buf, n);
  else if (is_ssl && common(reason, in_handshake))
    snprintf(buf, n, "%s", common(reason, in_handshake));
  else
    snprintf(buf, n, "%s failed: %s", in_handshake ? "the handshake" : "TLS",
             text ? text : "unknown error");
}
