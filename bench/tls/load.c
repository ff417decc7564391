// SPDX-License-Identifier: MIT
// The load generator of the TLS echo benchmark: as that of the plain one, but over TLS 1.3 with
// OpenSSL's own sockets. The handshakes are over before the measured window begins.
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "../closed_loop.h"

static SSL_CTX *context;  // of all connections

static _Noreturn void die(const char *what) {
  ERR_print_errors_fp(stderr);
  closed_loop_die(what);
}

static void start(closed_loop *l) {
  (void)l;
  context = SSL_CTX_new(TLS_client_method());
  if (!context) die("start");
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");  // the same for all servers
  SSL_CTX_set_read_ahead(context, 1);  // one call into the system for a record, not two
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void greet(closed_loop *l, connection *c, int number) {
  closed_loop_greet(l, c, number);
  SSL *ssl = SSL_new(context);
  if (!ssl || !SSL_set_fd(ssl, c->fd) || SSL_connect(ssl) != 1) die("handshake");
  c->secret = ssl;
}

static ssize_t answer(SSL *ssl, int n) {
  if (n > 0) return n;
  int e = SSL_get_error(ssl, n);
  if (e == SSL_ERROR_ZERO_RETURN) return 0;
  if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) die("TLS");
  errno = EAGAIN;
  return -1;
}

static ssize_t read_some(connection *c, void *p, size_t n) {
  return answer(c->secret, SSL_read(c->secret, p, (int)n));
}

static ssize_t write_some(connection *c, const void *p, size_t n) {
  return answer(c->secret, SSL_write(c->secret, p, (int)n));
}

int main(int argc, char **argv) {
  closed_loop l = {.start = start, .greet = greet, .read = read_some, .write = write_some};
  return closed_loop_run(&l, argc, argv);
}
