// SPDX-License-Identifier: MIT
// The write side of TLS, as far as tls.c needs to know it. Runs on the loop thread.
#ifndef NET_TLS_WRITE_H
#define NET_TLS_WRITE_H

#include "net/tls.h"

// Send the ciphertext that OpenSSL made of its own accord. [loop] Must not run Lua.
void tls_send(tls *x);

// The state has changed, or libuv has written: go on with what the stream writes. [loop] Must not
// run Lua.
void tls_advance(tls *x);

// Keep for users why OpenSSL has failed, if it is the first failure: in `x` itself, or in the one
// around it, with the error that was in its queue, 0: none. [loop]
void tls_note_failure(tls *x, const tls *failed, unsigned long error);

// OpenSSL has failed with an error that was in its queue, 0: none. Note why, tell the peer, end
// both directions. [loop] Must not run Lua.
void tls_fail(tls *x, unsigned long error);

// Everything that was written has been sent, and the peer may be told that this is all. [loop]
int tls_is_clean(const tls *x);

// The runtime ends: tell the peer that this is all, here and now. [loop]
void tls_farewell_now(tls *x);

// The functions of the transport.
int tls_try_write(stream *s, const uv_buf_t *bufs, unsigned n);
int tls_write(stream *s, uv_write_t *req, uv_buf_t buf);
int tls_shutdown(stream *s, uv_shutdown_t *req);
int tls_flush(stream *s, uv_buf_t buf, int under_way, uint64_t until);

#endif
