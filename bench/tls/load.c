// SPDX-License-Identifier: MIT
// The load generator of the TLS echo benchmark: as that of the plain one, but over TLS 1.3 with
// OpenSSL. Handshakes are over before the measured window begins. Short messages (one record each)
// are sealed ahead and what comes back is opened after the window, all of it, so that the server is
// measured: a generator that has its share of the TLS work is as busy as the server. Long ones
// would take too much memory; they go through OpenSSL's own sockets.
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../closed_loop.h"

#define SHORT 128           // bytes; the longest message that is sealed ahead
#define MOST_RATE 300000    // echoes a second for which records are sealed ahead
#define MORE ((size_t)256)  // records that are sealed when those are sent
#define HEAD ((size_t)5)    // bytes of a record's header (RFC 8446, section 5.1)
#define EXTRA ((size_t)17)  // bytes of a record that are no data: its type and the tag

typedef struct clients {
  closed_loop base;
  SSL_CTX *context;
} clients;

typedef struct sealed {
  SSL *ssl;
  const char *out;  // records, in the memory of the connection's BIO
  size_t out_size, sent;
  unsigned char *in;  // all that came after the handshake
  size_t room, received;
  size_t seen, data;  // bytes in whole records, and of data in those
} sealed;

static _Noreturn void die(const char *what) {
  ERR_print_errors_fp(stderr);
  closed_loop_die(what);
}

static SSL *shake_hands(closed_loop *l, connection *c, int number) {
  closed_loop_greet(l, c, number);
  SSL *ssl = SSL_new(((clients *)l)->context);
  if (!ssl || !SSL_set_fd(ssl, c->fd) || SSL_connect(ssl) != 1) die("handshake");
  return ssl;
}

static void greet_live(closed_loop *l, connection *c, int number) {
  c->secret = shake_hands(l, c, number);
}

static ssize_t answer(SSL *ssl, int n) {
  if (n > 0) return n;
  int e = SSL_get_error(ssl, n);
  if (e == SSL_ERROR_ZERO_RETURN) return 0;
  if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) die("TLS");
  errno = EAGAIN;
  return -1;
}

static ssize_t read_live(connection *c, void *p, size_t n) {
  return answer(c->secret, SSL_read(c->secret, p, (int)n));
}

static ssize_t write_live(connection *c, const void *p, size_t n) {
  return answer(c->secret, SSL_write(c->secret, p, (int)n));
}

// Read so many bytes of data, which must be one echo after the other.
static void receive_echoes(SSL *ssl, const connection *c, size_t size) {
  char got[SHORT];
  for (size_t at = 0; at < size;) {
    size_t left = size - at, rest = c->echo_size - at % c->echo_size;
    int n = SSL_read(ssl, got, (int)(left < rest ? left : rest));
    if (n <= 0) die("TLS");
    if (memcmp(got, c->echo + at % c->echo_size, (size_t)n))
      closed_loop_complain("the server did not echo what it was sent");
    at += (size_t)n;
  }
}

// Seal so many messages in the place of those that were sent.
static void seal(connection *c, size_t count) {
  sealed *s = c->secret;
  BIO *out = SSL_get_wbio(s->ssl);
  (void)BIO_reset(out);
  for (size_t i = 0; i < count; i++)
    if (SSL_write(s->ssl, c->echo, (int)c->echo_size) != (int)c->echo_size) die("TLS");
  s->out_size = (size_t)BIO_get_mem_data(out, &s->out);
  if (s->out_size != count * c->message_size) die("records of another size than expected");
  s->sent = 0;
  c->message = s->out;
}

// Pages that nobody has touched would cost their faults in the window.
static void make_room(sealed *s, size_t n) {
  s->in = realloc(s->in, s->room + n);
  if (!s->in) closed_loop_die("malloc");
  memset(s->in + s->room, 1, n);
  s->room += n;
}

// The echo of one message goes before: the session tickets come with it.
static void greet_sealed(closed_loop *l, connection *c, int number) {
  size_t count = (size_t)(l->seconds * MOST_RATE) / (size_t)l->conns + 1;
  sealed *s = closed_loop_alloc(sizeof *s);
  s->ssl = shake_hands(l, c, number);
  c->secret = s;
  if (SSL_write(s->ssl, c->echo, (int)c->echo_size) != (int)c->echo_size) die("TLS");
  receive_echoes(s->ssl, c, c->echo_size);
  BIO *out = BIO_new(BIO_s_mem());
  if (!out) die("start");
  SSL_set0_wbio(s->ssl, out);
  c->message_size = HEAD + l->size + EXTRA;
  seal(c, count);
  make_room(s, s->out_size);
}

static ssize_t write_sealed(connection *c, const void *p, size_t n) {
  sealed *s = c->secret;
  (void)p;
  if (s->sent == s->out_size) seal(c, MORE);
  ssize_t k = send(c->fd, s->out + s->sent, n, MSG_NOSIGNAL);
  if (k > 0) s->sent += (size_t)k;
  return k;
}

// The bytes of data in the records that have become whole.
static size_t look_at_records(sealed *s) {
  size_t before = s->data;
  while (s->received - s->seen >= HEAD) {
    const unsigned char *head = s->in + s->seen;
    size_t n = (size_t)head[3] << 8 | head[4];
    if (n <= EXTRA) closed_loop_complain("the server sent a record without data");
    if (s->received - s->seen < HEAD + n) break;
    s->data += n - EXTRA;
    s->seen += HEAD + n;
  }
  return s->data - before;
}

static ssize_t read_sealed(connection *c, void *p, size_t n) {
  sealed *s = c->secret;
  (void)p;
  if (s->room - s->received < c->message_size) make_room(s, s->room / 8 + c->message_size);
  ssize_t k = recv(c->fd, s->in + s->received, s->room - s->received, 0);
  if (k <= 0) return k;
  s->received += (size_t)k;
  size_t data = look_at_records(s);
  if (data > n) closed_loop_complain("the server sent more than it was sent");
  if (data) return (ssize_t)data;
  errno = EAGAIN;
  return -1;
}

static void check_sealed(connection *c) {
  sealed *s = c->secret;
  BIO *in = BIO_new_mem_buf(s->in, (int)s->seen);
  if (!in) die("check");
  SSL_set0_rbio(s->ssl, in);
  receive_echoes(s->ssl, c, s->data);
}

static void start(closed_loop *l) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context) die("start");
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");  // the same for all servers
  SSL_CTX_set_read_ahead(context, 1);  // one call into the system for a record, not two
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ((clients *)l)->context = context;
  if (l->size > SHORT) return;
  l->greet = greet_sealed;
  l->read = read_sealed;
  l->write = write_sealed;
  l->check = check_sealed;
}

int main(int argc, char **argv) {
  clients k = {
    .base = {.start = start, .greet = greet_live, .read = read_live, .write = write_live}};
  return closed_loop_run(&k.base, argc, argv);
}
