// SPDX-License-Identifier: MIT
// TLS on a stream that is open already: the transport of the stream is replaced by one that stands
// on its libuv handle. What arrives goes through OpenSSL, which has a BIO in memory on its other
// side, into the stream's buffer; what is written the other way round. The stream keeps its
// userdata, its reader and writers and its rules; all but the busiest connections hold an SSL
// without buffers (tls_buffers.h).
// Runs on the loop thread. Invariants: OpenSSL is only entered from here, and not trusted to find
// its error queue empty; no callback of it runs Lua or closes the stream; ciphertext leaves in the
// order in which OpenSSL made it.
#ifndef NET_TLS_H
#define NET_TLS_H

#include <lua.h>

#include "core/wait.h"
#include "io/stream_uv.h"
#include "net/tls_context.h"

typedef struct tls tls;

struct tls {
  stream_layer layer;
  stream *s;
  tls *outer;  // in whose records this one's ciphertext travels, NULL; only its SSL is used
  tls_context *ctx;
  const openssl_tls *f;
  SSL *ssl;
  char *name;         // whom the certificate must be for, NULL
  char *key;          // of the sessions to this peer, NULL: none is kept
  char *why;          // what went wrong first, a sentence
  const char *input;  // ciphertext that OpenSSL is to take; that of `outer` where there is one
  size_t input_left;
  buffer *output;      // where its ciphertext goes: `out`, or the context's scratch
  buffer in;           // ciphertext for whose contents there was no room
  buffer out;          // ciphertext to be sent
  buffer sending;      // that of `req`
  uv_write_t req;      // under way while `busy`
  const char *slice;   // what the stream writes, plaintext, while `writing`
  size_t slice_left;   // of it, not encrypted
  uv_shutdown_t *end;  // the stream's, waiting until all is sent
  uint32_t site;       // where the handshake was begun
  int out_rc;          // sending has failed
  int state;
  timer_call give_up;      // ends `lingers`
  list keeping;            // one of the stream's io->keepers, while `keeps`
  uint64_t used_at;        // uv_now at the last use of the SSL for data
  unsigned ahead : 1;      // the first byte of the next slice was sent already
  unsigned busy : 1;       // libuv writes
  unsigned writing : 1;    // the stream waits for stream_written
  unsigned full : 1;       // stopped reading for want of room
  unsigned flushed : 1;    // the runtime ends: `sending` and `out` were written
  unsigned broken : 1;     // what was queued did not get out
  unsigned cut : 1;        // what went wrong is that the connection below has ended
  unsigned heard : 1;      // the peer has sent data
  unsigned takes_all : 1;  // OpenSSL reads as much as it can
  unsigned starved : 1;    // its last read found nothing
  unsigned alerted : 1;    // the peer has sent an alert, and OpenSSL's queue of errors was emptied
  unsigned no_memory : 1;  // for what OpenSSL wrote last; it has no error for that
  unsigned stirred : 1;    // it has sent or read something that is not data, and may hold buffers
  unsigned lingers : 1;    // closing: drops what comes until the peer's end
  unsigned keeps : 1;      // the SSL keeps its buffers
  unsigned uses : 5;       // of the SSL without a pause, while it does not
};

enum { TLS_SHAKING, TLS_READY, TLS_FAILED };

// Put TLS on an open stream over libuv that has nothing queued. Takes bytes that a client has sent
// already as the begin of its handshake; for a client there must be none. A stream that has TLS
// already, and is ready, gets TLS within TLS. [loop] 0; UV_EINVAL when no host can have this name;
// UV_ENOMEM. After an error the stream is as it was.
int tls_attach(stream *s, tls_context *c, const char *name, const char *key);

// Suspend until the handshake has ended, the stream is closed, or the instant `when`. `ops` has
// tls_cancel; its argument is the stream; its done function must first call tls_finish. A handshake
// that is given up closes the stream. To be returned in tail position. [loop]
int tls_handshake(lua_State *L, stream *s, uint64_t when, const wait_ops *ops);

wait_answer tls_cancel(task *t, void *s);

// What became of the handshake: 0, or an error to give to stream_fail. [loop]
int tls_finish(stream *s, int rc);

// The TLS of a stream, NULL when it has none. [loop]
tls *tls_of(const stream *s);

// Say whether TLS can stand on this stream: it is one over libuv, maybe with TLS already. [loop]
int tls_is_possible(const stream *s);

// Close the handle of a stream that has TLS, and free that. [loop]
void tls_let_go(tls *x);

// --- For contexts, called by OpenSSL -----------------------------------------------------------

BIO_METHOD *tls_bio_new(const openssl_tls *f);
int tls_on_verify(int ok, X509_STORE_CTX *v);
void tls_on_info(const SSL *ssl, int where, int value);
int tls_on_session(SSL *ssl, SSL_SESSION *session);

#endif
