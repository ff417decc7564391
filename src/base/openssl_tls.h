// SPDX-License-Identifier: MIT
// What TLS needs of OpenSSL 3, loaded at the first use of TLS as openssl.h does for the digests:
// one table of the functions of libssl and libcrypto, filled once in the process and read-only
// after that (S39). What OpenSSL's headers define as macros is called through the functions below
// them. Any thread.
#ifndef BASE_OPENSSL_TLS_H
#define BASE_OPENSSL_TLS_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define OPENSSL_TLS_CRYPTO(X)        \
  X(ASN1_STRING_get0_data)           \
  X(ASN1_STRING_length)              \
  X(ASN1_TIME_to_tm)                 \
  X(BIO_clear_flags)                 \
  X(BIO_free)                        \
  X(BIO_get_data)                    \
  X(BIO_meth_free)                   \
  X(BIO_meth_new)                    \
  X(BIO_meth_set_ctrl)               \
  X(BIO_meth_set_read)               \
  X(BIO_meth_set_write)              \
  X(BIO_new)                         \
  X(BIO_new_mem_buf)                 \
  X(BIO_read)                        \
  X(BIO_s_mem)                       \
  X(BIO_set_data)                    \
  X(BIO_set_flags)                   \
  X(BIO_set_init)                    \
  X(ERR_clear_error)                 \
  X(ERR_peek_error)                  \
  X(ERR_peek_last_error)             \
  X(ERR_reason_error_string)         \
  X(EVP_PKEY_free)                   \
  X(EVP_sha256)                      \
  X(GENERAL_NAMES_free)              \
  X(OPENSSL_sk_num)                  \
  X(OPENSSL_sk_value)                \
  X(PEM_read_bio_PrivateKey)         \
  X(PEM_read_bio_X509)               \
  X(PEM_read_bio_X509_CRL)           \
  X(X509_CRL_free)                   \
  X(X509_NAME_print_ex)              \
  X(X509_STORE_CTX_get_current_cert) \
  X(X509_STORE_CTX_get_error)        \
  X(X509_STORE_CTX_get_error_depth)  \
  X(X509_STORE_CTX_get_ex_data)      \
  X(X509_STORE_add_cert)             \
  X(X509_STORE_add_crl)              \
  X(X509_STORE_free)                 \
  X(X509_STORE_load_file)            \
  X(X509_STORE_load_path)            \
  X(X509_STORE_new)                  \
  X(X509_STORE_set_flags)            \
  X(X509_VERIFY_PARAM_set1_host)     \
  X(X509_VERIFY_PARAM_set1_ip_asc)   \
  X(X509_VERIFY_PARAM_set_hostflags) \
  X(X509_digest)                     \
  X(X509_free)                       \
  X(X509_get0_notAfter)              \
  X(X509_get0_notBefore)             \
  X(X509_get_default_cert_dir)       \
  X(X509_get_default_cert_file)      \
  X(X509_get_ext_d2i)                \
  X(X509_get_issuer_name)            \
  X(X509_get_subject_name)           \
  X(X509_verify_cert_error_string)

#define OPENSSL_TLS_SSL(X)              \
  X(OPENSSL_init_ssl)                   \
  X(SSL_CIPHER_get_name)                \
  X(SSL_CTX_add_client_CA)              \
  X(SSL_CTX_callback_ctrl)              \
  X(SSL_CTX_check_private_key)          \
  X(SSL_CTX_ctrl)                       \
  X(SSL_CTX_free)                       \
  X(SSL_CTX_new)                        \
  X(SSL_CTX_sess_set_new_cb)            \
  X(SSL_CTX_set1_cert_store)            \
  X(SSL_CTX_set_alpn_protos)            \
  X(SSL_CTX_set_alpn_select_cb)         \
  X(SSL_CTX_set_cipher_list)            \
  X(SSL_CTX_set_ciphersuites)           \
  X(SSL_CTX_set_info_callback)          \
  X(SSL_CTX_set_options)                \
  X(SSL_CTX_set_security_level)         \
  X(SSL_CTX_set_session_id_context)     \
  X(SSL_CTX_set_verify)                 \
  X(SSL_CTX_use_PrivateKey)             \
  X(SSL_CTX_use_certificate)            \
  X(SSL_SESSION_free)                   \
  X(SSL_SESSION_get_protocol_version)   \
  X(SSL_SESSION_is_resumable)           \
  X(SSL_SESSION_up_ref)                 \
  X(SSL_ctrl)                           \
  X(SSL_do_handshake)                   \
  X(SSL_free)                           \
  X(SSL_free_buffers)                   \
  X(SSL_get0_alpn_selected)             \
  X(SSL_get0_param)                     \
  X(SSL_get1_peer_certificate)          \
  X(SSL_get_current_cipher)             \
  X(SSL_get_error)                      \
  X(SSL_get_ex_data)                    \
  X(SSL_get_ex_data_X509_STORE_CTX_idx) \
  X(SSL_get_servername)                 \
  X(SSL_get_shutdown)                   \
  X(SSL_get_version)                    \
  X(SSL_has_pending)                    \
  X(SSL_new)                            \
  X(SSL_read)                           \
  X(SSL_rstate_string)                  \
  X(SSL_session_reused)                 \
  X(SSL_set_SSL_CTX)                    \
  X(SSL_set_accept_state)               \
  X(SSL_set_bio)                        \
  X(SSL_set_connect_state)              \
  X(SSL_set_ex_data)                    \
  X(SSL_set_read_ahead)                 \
  X(SSL_set_session)                    \
  X(SSL_shutdown)                       \
  X(SSL_write)                          \
  X(TLS_client_method)                  \
  X(TLS_server_method)

typedef struct openssl_tls {
#define OPENSSL_TLS_FIELD(name) __typeof__(&name) name;
  OPENSSL_TLS_CRYPTO(OPENSSL_TLS_FIELD)
  OPENSSL_TLS_SSL(OPENSSL_TLS_FIELD)
#undef OPENSSL_TLS_FIELD
} openssl_tls;

// The table, filled at the first call, which takes some milliseconds. [any] NULL when a library
// cannot be loaded: then openssl_tls_error says why.
const openssl_tls *openssl_tls_load(void);

// One sentence: why openssl_tls_load answered NULL. [any]
const char *openssl_tls_error(void);

#endif
