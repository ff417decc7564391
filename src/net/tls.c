// SPDX-License-Identifier: MIT
// TLS on a stream: life, handshake and reading. See tls.h. Writing stands in tls_write.c.
#include "net/tls.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "net/tls_buffers.h"
#include "net/tls_close.h"
#include "net/tls_error.h"
#include "net/tls_name.h"
#include "net/tls_write.h"

#define CHATTER ((size_t)64 << 10)  // bytes of its own that OpenSSL may leave to a peer that stalls

static const stream_transport tls_transport;

static uv_stream_t *uv_of(const tls *x) {
  return ((stream_uv *)(void *)x->s)->uv;
}

tls *tls_of(const stream *s) {
  return s->t == &tls_transport ? (tls *)(void *)s->layer : NULL;
}

int tls_is_possible(const stream *s) {
  return stream_base(s)->start == stream_uv_start_socket;
}

// Which gets what comes from the network.
static tls *outermost(tls *x) {
  return x->outer ? x->outer : x;
}

// The connection below has ended, without a word of the peer's own. It may not the next time.
static void note_cut(tls *x, const char *why) {
  if (x->why) return;
  x->why = strdup(why);
  x->cut = 1;
}

// --- OpenSSL's other side --------------------------------------------------------------------

// Read what has been encrypted for us. What others have left in OpenSSL's queue of errors must not
// matter, and emptying that costs: so it is only asked once there was an alert, which emptied it. A
// number of bytes; 0: more must arrive first; UV_EOF: the peer has sent all; UV_EPROTO: see the
// last error.
static int read_plain(tls *x, char *p, int n) {
  x->starved = x->no_memory = 0;
  int rc = x->f->SSL_read(x->ssl, p, n);
  if (rc > 0) return rc;
  if (x->starved) return 0;
  int is_end = x->alerted && x->f->SSL_get_error(x->ssl, rc) == SSL_ERROR_ZERO_RETURN;
  return is_end ? UV_EOF : UV_EPROTO;
}

// OpenSSL is in the inner connection while it is entered for the outer one, so what went wrong
// there goes to `why`.
static void note_outer_failure(tls *x) {
  tls_note_failure(x, x->outer, x->f->ERR_peek_last_error());
}

// What the outer connection has had in it; answers as read_plain.
static int read_outer(tls *x, char *p, int n) {
  x->outer->output = x->output;  // for its own answers, to be sent in their order
  int rc = read_plain(x->outer, p, n);
  if (rc == UV_EOF) note_cut(x, "the connection around this one has ended");
  if (rc == UV_EPROTO) note_outer_failure(x);
  return rc;
}

// What has come from the network: a number of bytes, 0: none.
static int read_input(tls *x, char *p, int n) {
  size_t take = (size_t)n < x->input_left ? (size_t)n : x->input_left;
  if (!take) return 0;
  memcpy(p, x->input, take);
  x->input += take;
  x->input_left -= take;
  return (int)take;
}

static int on_bio_read(BIO *bio, char *p, int n) {
  const openssl_tls *f = openssl_tls_load();
  tls *x = f->BIO_get_data(bio);
  f->BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
  int rc = x->outer ? read_outer(x, p, n) : read_input(x, p, n);
  if (rc > 0) return rc;
  x->starved = rc == 0;
  if (x->starved) f->BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
  return -1;
}

static int write_outer(tls *x, const char *p, int n) {
  x->outer->output = x->output;
  x->outer->no_memory = 0;
  int rc = x->f->SSL_write(x->outer->ssl, p, n);
  if (rc != n) note_outer_failure(x);
  return rc == n ? n : -1;
}

static int on_bio_write(BIO *bio, const char *p, int n) {
  const openssl_tls *f = openssl_tls_load();
  tls *x = f->BIO_get_data(bio);
  f->BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
  if (x->outer) return write_outer(x, p, n);
  x->no_memory = buffer_append(x->output, p, (size_t)n) < 0;
  return x->no_memory ? -1 : n;
}

static long on_bio_ctrl(BIO *bio, int command, long n, void *p) {
  (void)bio;
  (void)n;
  (void)p;
  return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_new(const openssl_tls *f) {
  BIO_METHOD *m = f->BIO_meth_new(BIO_TYPE_SOURCE_SINK, "corun");
  if (!m) return NULL;
  f->BIO_meth_set_read(m, on_bio_read);
  f->BIO_meth_set_write(m, on_bio_write);
  f->BIO_meth_set_ctrl(m, on_bio_ctrl);
  return m;
}

int tls_on_verify(int ok, X509_STORE_CTX *v) {
  if (ok) return 1;
  const openssl_tls *f = openssl_tls_load();
  SSL *ssl = f->X509_STORE_CTX_get_ex_data(v, f->SSL_get_ex_data_X509_STORE_CTX_idx());
  tls *x = f->SSL_get_ex_data(ssl, 0);
  char text[512];
  tls_explain_certificate(f, v, x->name, x->ctx->is_server, text, sizeof text);
  if (!x->why) x->why = strdup(text);
  return 0;
}

void tls_on_info(const SSL *ssl, int where, int value) {
  const openssl_tls *f = openssl_tls_load();
  tls *x = f->SSL_get_ex_data(ssl, 0);
  (void)value;
  x->stirred = 1;
  if (where != SSL_CB_READ_ALERT) return;
  x->alerted = 1;
  f->ERR_clear_error();  // what OpenSSL makes of the alert comes after this
}

int tls_on_session(SSL *ssl, SSL_SESSION *session) {
  tls *x = openssl_tls_load()->SSL_get_ex_data(ssl, 0);
  return x->key ? tls_session_put(x->ctx, x->key, session) : 0;
}

// --- Reading ---------------------------------------------------------------------------------

static void shake(tls *x) {
  x->no_memory = 0;
  x->f->ERR_clear_error();
  int rc = x->f->SSL_do_handshake(x->ssl);
  if (rc == 1) {
    x->state = TLS_READY;
    stream_wake(x->s);
    return;
  }
  int what = x->f->SSL_get_error(x->ssl, rc);
  if (what == SSL_ERROR_WANT_READ) return;
  if (what == SSL_ERROR_ZERO_RETURN)
    note_cut(x, "the peer closed the connection during the handshake");
  tls_fail(x, x->f->ERR_peek_error());
}

// Stop reading until the stream asks for more.
static void rest(tls *x) {
  x->full = 1;
  while (x->s->reading) stream_refused(x->s);
}

// Whether a further call may find something. What an outer connection has decrypted and not given
// out yet shows when it is asked.
static int may_have_more(const tls *x) {
  return x->outer || x->input_left || x->f->SSL_has_pending(x->ssl);
}

// Let OpenSSL take short input at once, and not the head of each record first. Of longer input it
// would move to and fro the begin of a record that its buffer does not hold.
static void set_pace(tls *x) {
  x = outermost(x);
  unsigned is_short = x->input_left <= TLS_RECORD;
  if (x->takes_all == is_short) return;
  x->takes_all = is_short;
  x->f->SSL_set_read_ahead(x->ssl, (int)is_short);
}

static void decrypt(tls *x) {
  stream *s = x->s;
  set_pace(x);
  tls_buffers_use(x);
  while (!s->in_rc) {
    uv_buf_t room;
    stream_room(s, &room);
    if (!room.len) {
      rest(x);
      return;
    }
    int n = read_plain(x, room.base, room.len < INT_MAX ? (int)room.len : INT_MAX);
    if (n > 0) {
      x->heard = 1;
      stream_fed(s, room.base, (size_t)n);
      if (may_have_more(x)) continue;
    }
    if (n == UV_EPROTO) {
      tls_fail(x, x->f->ERR_peek_last_error());
      return;
    }
    if (n < 0) stream_ended(s, n);
    tls_buffers_release(x);
    return;
  }
}

// Give OpenSSL ciphertext, as far as there is room for what is in it; answers how much it took.
static size_t digest(tls *x, const char *base, size_t n) {
  int was_ready = x->state == TLS_READY;
  tls *first = outermost(x);
  first->input = base;
  first->input_left = n;
  x->output = &x->out;
  if (x->state == TLS_SHAKING) shake(x);
  if (x->state == TLS_READY) decrypt(x);
  size_t left = first->input_left;
  first->input = NULL;
  first->input_left = 0;
  tls_send(x);
  if (!was_ready && x->state == TLS_READY) tls_advance(x);
  if (buffer_len(&x->out) > CHATTER && x->state != TLS_FAILED) {
    if (!x->why) x->why = strdup("the peer asks for answers that it does not take");
    tls_fail(x, 0);
  }
  return n - left;
}

// Nothing will arrive any more, and OpenSSL was not told so by the peer.
static void cut(tls *x, int rc) {
  if (rc == UV_EOF) {
    note_cut(x, x->state == TLS_SHAKING ? "the peer closed the connection during the handshake"
                                        : "the connection was cut without close_notify");
    rc = UV_EPROTO;
  }
  stream_ended(x->s, rc);
  if (x->state == TLS_READY) return;
  x->state = TLS_FAILED;
  tls_advance(x);
}

// Read what has come, once, and deliver what is in it.
static void pull(stream *s) {
  tls *x = tls_of(s);
  char *block = io_raw_block(s->io);
  ssize_t n = block ? x->layer.under->read_now(s, block, IO_RAW) : UV_ENOMEM;
  if (n == UV_EAGAIN) return;
  if (n < 0) {
    cut(x, (int)n);
    return;
  }
  size_t taken = digest(x, block, (size_t)n);
  if (taken < (size_t)n && !s->in_rc && !s->closed &&
      buffer_append(&x->in, block + taken, (size_t)n - taken) < 0)
    stream_ended(s, UV_ENOMEM);
}

// The ciphertext is read from here: to libuv there is never room.
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  (void)h;
  (void)suggested;
  *buf = uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf) {
  stream *s = h->data;
  (void)buf;
  if (n == UV_ENOBUFS)
    pull(s);
  else if (n < 0)
    cut(tls_of(s), (int)n);
}

static int start(stream *s) {
  tls *x = tls_of(s);
  int rc = uv_read_start(uv_of(x), on_alloc, on_read);
  if (rc < 0 || !x->full) return rc;
  x->full = 0;
  buffer_consume(&x->in, digest(x, buffer_bytes(&x->in), buffer_len(&x->in)));
  buffer_trim(&x->in, 0);
  return 0;
}

// --- Closing ---------------------------------------------------------------------------------

static void free_tls(tls *x) {
  if (x->outer) free_tls(x->outer);
  tls_buffers_forget(x);
  if (x->ssl) x->f->SSL_free(x->ssl);
  x->f->ERR_clear_error();
  tls_context_unref(x->ctx);
  buffer_fini(&x->in);
  buffer_fini(&x->out);
  buffer_fini(&x->sending);
  free(x->name);
  free(x->key);
  free(x->why);
  free(x);
}

static void on_close(uv_handle_t *h) {
  stream *s = h->data;
  tls *x = tls_of(s);
  s->t = x->layer.under;
  s->layer = NULL;
  free_tls(x);
  stream_closed(s);
}

void tls_let_go(tls *x) {
  uv_close((uv_handle_t *)uv_of(x), on_close);
}

static void describe(const stream *s, char *buf, size_t n) {
  s->layer->under->describe(s, buf, n);
}

static const char *explain(const stream *s, char *buf, size_t n, int *may_pass) {
  const tls *x = tls_of(s);
  if (!x->why) return NULL;
  snprintf(buf, n, "%s", x->why);
  *may_pass = x->cut;
  return "ETLS";
}

static const stream_transport tls_transport = {
  .kind = "tls",
  .start = start,
  .stop = stream_uv_stop,
  .try_write = tls_try_write,
  .write = tls_write,
  .shutdown = tls_shutdown,
  .flush = tls_flush,
  .close = tls_close,
  .hasten = tls_hasten,
  .hold = stream_uv_hold,
  .describe = describe,
  .explain = explain,
  .says_farewell = 1,
};

// --- Attaching -------------------------------------------------------------------------------

static int set_name(tls *x) {
  const openssl_tls *f = x->f;
  X509_VERIFY_PARAM *p = f->SSL_get0_param(x->ssl);
  if (tls_name_is_address(x->name)) return f->X509_VERIFY_PARAM_set1_ip_asc(p, x->name);
  f->X509_VERIFY_PARAM_set_hostflags(
    p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return f->X509_VERIFY_PARAM_set1_host(p, x->name, 0) &&
         f->SSL_ctrl(x->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, x->name);
}

static int set_up(tls *x, const char *name, const char *key) {
  const openssl_tls *f = x->f;
  char host[ADDRESS_HOST + 1];
  int rc = name ? tls_name_make(name, host) : 0;
  if (rc < 0) return rc;
  f->ERR_clear_error();
  x->ssl = f->SSL_new(x->ctx->ctx);
  BIO *bio = x->ssl ? f->BIO_new(x->ctx->bio) : NULL;
  if (!bio) return UV_ENOMEM;
  f->BIO_set_data(bio, x);
  f->BIO_set_init(bio, 1);
  f->SSL_set_bio(x->ssl, bio, bio);
  f->SSL_set_ex_data(x->ssl, 0, x);
  if (name && !(x->name = strdup(host))) return UV_ENOMEM;
  if (key && !(x->key = strdup(key))) return UV_ENOMEM;
  if (x->ctx->is_server) {
    f->SSL_set_accept_state(x->ssl);
    return 0;
  }
  f->SSL_set_connect_state(x->ssl);
  if (name && !set_name(x)) return UV_ENOMEM;  // for the name itself is a good one
  SSL_SESSION *session = key ? tls_session_take(x->ctx, key) : NULL;
  if (session) {
    f->SSL_set_session(x->ssl, session);
    f->SSL_SESSION_free(session);
  }
  return 0;
}

// Put the TLS that a stream has around the new one.
static void enclose(tls *x, tls *outer) {
  x->outer = outer;
  x->in = outer->in;  // what was read of the network, and not looked at
  buffer_init(&outer->in);
  x->layer.under = outer->layer.under;
}

int tls_attach(stream *s, tls_context *c, const char *name, const char *key) {
  size_t n;
  const char *early = stream_peek(s, &n);
  tls *x = calloc(1, sizeof *x);
  if (!x) return UV_ENOMEM;
  x->s = s;
  x->f = c->f;
  x->ctx = tls_context_ref(c);
  int rc = set_up(x, name, key);
  if (rc == 0 && buffer_append(&x->in, early, n) < 0) rc = UV_ENOMEM;
  if (rc < 0) {
    free_tls(x);
    return rc;
  }
  stream_consume(s, n);
  x->full = 1;  // there may be something to begin with
  if (s->layer)
    enclose(x, tls_of(s));
  else
    x->layer.under = s->t;
  s->layer = &x->layer;
  s->t = &tls_transport;
  return 0;
}

// --- The handshake ---------------------------------------------------------------------------

wait_answer tls_cancel(task *t, void *arg) {
  stream *s = arg;
  tls *x = tls_of(s);
  (void)t;
  stream_vacate(s);
  x->state = TLS_FAILED;
  stream_close(s, x->site);
  tls_advance(x);  // what others have written will never be sent
  return WAIT_STOPPED;
}

int tls_finish(stream *s, int rc) {
  tls *x = tls_of(s);
  if (rc == UV_ETIMEDOUT) return rc;
  if (s->closed) {
    if (x && x->state == TLS_SHAKING) {  // it will never end
      note_cut(x, "it was closed during the handshake");
      x->state = TLS_FAILED;
      tls_advance(x);
    }
    return STREAM_CLOSED;
  }
  stream_vacate(s);
  return x->state == TLS_READY ? 0 : s->in_rc;
}

int tls_handshake(lua_State *L, stream *s, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  tls *x = tls_of(s);
  x->site = site_here(L, 0);
  if (s->reading) x->layer.under->stop(s);
  stream_occupy(L, s);
  s->reading = 1;
  int rc = start(s);
  if (rc < 0) stream_ended(s, rc);
  return wait_begin_until(L, ops, s, when);
}
