// SPDX-License-Identifier: MIT
// TLS on a stream: sending. See tls.h. What a task writes is encrypted and handed to the system at
// once when nothing is under way. If the system does not take all of it, the ciphertext is libuv's,
// and the stream is told that the last byte has not gone: so it has something to wait for. Runs on
// the loop thread. Invariant: while `busy`, libuv has `sending`; `out` then holds at most what
// OpenSSL has made of its own accord.
#include "net/tls_write.h"

#include <stdlib.h>
#include <string.h>

#include "core/runtime.h"
#include "net/tls_buffers.h"
#include "net/tls_error.h"

#define BATCH ((size_t)64 << 10)  // plaintext that is encrypted before the system gets it

static uv_stream_t *uv_of(const tls *x) {
  return ((stream_uv *)(void *)x->s)->uv;
}

// --- Failures --------------------------------------------------------------------------------

void tls_note_failure(tls *x, const tls *failed, unsigned long error) {
  char text[256] = "not enough memory";
  if (x->why) return;
  if (!failed->no_memory)
    tls_explain_failure(x->f, error, failed->state == TLS_SHAKING, text, sizeof text);
  x->why = strdup(text);
}

void tls_fail(tls *x, unsigned long error) {
  tls_note_failure(x, x, error);
  x->f->ERR_clear_error();
  x->state = TLS_FAILED;
  tls_send(x);  // the alert
  stream_ended(x->s, UV_EPROTO);
  tls_advance(x);
}

// Nothing can be sent any more. What the peer has sent may still be read.
static void lose(tls *x, int rc) {
  x->out_rc = rc;
  buffer_fini(&x->out);
}

// --- Ciphertext ------------------------------------------------------------------------------

static void on_sent(uv_write_t *req, int status) {
  tls *x = list_entry(req, tls, req);
  x->busy = 0;
  buffer_fini(&x->sending);
  if (x->s->gone) return;
  if (status < 0) lose(x, status);
  tls_send(x);
  tls_advance(x);
}

// Hand `out` to libuv.
static void post(tls *x) {
  x->sending = x->out;
  buffer_init(&x->out);
  uv_buf_t b = uv_buf_init(buffer_bytes(&x->sending), (unsigned)buffer_len(&x->sending));
  int rc = uv_write(&x->req, uv_of(x), &b, 1, on_sent);
  if (rc == 0) {
    x->busy = 1;
  } else {
    buffer_fini(&x->sending);
    lose(x, rc);
  }
}

void tls_send(tls *x) {
  size_t n = buffer_len(&x->out);
  if (x->busy || !n) return;
  uv_buf_t b = uv_buf_init(buffer_bytes(&x->out), (unsigned)n);
  int rc = x->out_rc ? x->out_rc : x->layer.under->try_write(x->s, &b, 1);
  if (rc < 0 && rc != UV_EAGAIN) {
    lose(x, rc);
    return;
  }
  if (rc > 0) buffer_consume(&x->out, (size_t)rc);
  if (buffer_len(&x->out))
    post(x);
  else
    buffer_trim(&x->out, 0);
}

// --- Plaintext -------------------------------------------------------------------------------

// Encrypt `n` bytes into `to`. 0 or an error.
static int encrypt(tls *x, const char *p, size_t n, buffer *to) {
  if (buffer_reserve(to, n + (n / TLS_RECORD + 1) * 64) < 0) return UV_ENOMEM;
  tls_buffers_use(x);
  x->output = to;
  x->no_memory = 0;
  int rc = x->f->SSL_write(x->ssl, p, (int)n);
  x->output = &x->out;
  if (rc == (int)n) return 0;  // what others have left in the queue of errors is before this one's
  tls_fail(x, x->f->ERR_peek_last_error());
  return UV_EPROTO;
}

// Where the pieces of a write have been read to.
typedef struct cursor {
  const uv_buf_t *bufs;
  unsigned n;
  size_t at;  // in the first of them
} cursor;

static int is_at_end(cursor *c) {
  while (c->n && c->at == c->bufs->len) {
    c->bufs++;
    c->n--;
    c->at = 0;
  }
  return !c->n;
}

// The next bytes, at most `most`: a piece as it is when it fills a record or is the last one, else
// several joined in the memory at `record`.
static const char *next_bytes(cursor *c, char *record, size_t most, size_t *n) {
  const char *p = c->bufs->base + c->at;
  size_t left = c->bufs->len - c->at;
  if (left >= TLS_RECORD || c->n == 1) {
    *n = left < most ? left : most;
    c->at += *n;
    return p;
  }
  size_t len = 0;
  while (len < TLS_RECORD && !is_at_end(c)) {
    size_t take = c->bufs->len - c->at;
    if (take > TLS_RECORD - len) take = TLS_RECORD - len;
    memcpy(record + len, c->bufs->base + c->at, take);
    c->at += take;
    len += take;
  }
  *n = len;
  return record;
}

// Encrypt up to a batch into the scratch buffer; `n` is how much that was. 0 or an error.
static int encrypt_batch(tls *x, cursor *c, size_t *n) {
  buffer *to = &x->ctx->scratch;
  to->start = to->end = 0;
  if (!x->ctx->record && !(x->ctx->record = malloc(TLS_RECORD))) return UV_ENOMEM;
  *n = 0;
  while (*n < BATCH && !is_at_end(c)) {
    size_t len;
    const char *p = next_bytes(c, x->ctx->record, BATCH - *n, &len);
    int rc = encrypt(x, p, len, to);
    if (rc < 0) return rc;
    *n += len;
  }
  return 0;
}

int tls_try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  tls *x = tls_of(s);
  cursor c = {bufs, n, 0};
  size_t done = 0, batch;
  if (x->state == TLS_FAILED) return UV_EPROTO;
  if (x->out_rc) return x->out_rc;
  if (x->ahead) return UV_ENOMEM;  // the queue could not be made: nobody knows what was sent
  if (x->state != TLS_READY || x->busy || buffer_len(&x->out)) return UV_EAGAIN;
  buffer *b = &x->ctx->scratch;
  while (!is_at_end(&c) && done < INT32_MAX / 2) {
    int rc = encrypt_batch(x, &c, &batch);
    if (rc < 0) {
      x->state = TLS_FAILED;
      return rc;
    }
    done += batch;
    uv_buf_t raw = uv_buf_init(buffer_bytes(b), (unsigned)buffer_len(b));
    rc = x->layer.under->try_write(s, &raw, 1);
    if (rc < 0 && rc != UV_EAGAIN) {
      lose(x, rc);
      return rc;
    }
    if (rc > 0) buffer_consume(b, (size_t)rc);
    if (!buffer_len(b)) continue;
    if (buffer_append(&x->out, buffer_bytes(b), buffer_len(b)) < 0)
      lose(x, UV_ENOMEM);
    else
      post(x);
    if (x->out_rc) return x->out_rc;
    x->ahead = 1;
    return done > 1 ? (int)(done - 1) : UV_EAGAIN;
  }
  return (int)done;
}

// Encrypt more of what the stream writes, for libuv. 0 or an error.
static int go_on(tls *x) {
  size_t n = x->slice_left < BATCH ? x->slice_left : BATCH;
  int rc = encrypt(x, x->slice, n, &x->out);
  if (rc < 0) return rc;
  x->slice += n;
  x->slice_left -= n;
  post(x);
  return x->out_rc;
}

int tls_write(stream *s, uv_write_t *req, uv_buf_t buf) {
  tls *x = tls_of(s);
  (void)req;
  if (x->state == TLS_FAILED) return UV_EPROTO;
  if (x->out_rc) return x->out_rc;
  x->slice = buf.base + x->ahead;
  x->slice_left = buf.len - x->ahead;
  x->ahead = 0;
  if (x->state == TLS_READY && !x->busy) {
    int rc = go_on(x);
    if (rc < 0) return rc;
  }
  x->writing = 1;
  return 0;
}

static void end_writing(tls *x, int rc) {
  x->writing = 0;
  stream_written(x->s, rc);
}

// --- The end of the write side ---------------------------------------------------------------

static void on_shutdown(uv_shutdown_t *req, int status) {
  stream_shut(req->handle->data, status);
}

// All is sent, close_notify too, or nothing can be. On a stream that is closed nobody cares whether
// that got out.
static void end_side(tls *x) {
  uv_shutdown_t *req = x->end;
  x->end = NULL;
  int rc = x->s->closed ? 0 : x->state == TLS_FAILED ? UV_EPROTO : x->out_rc;
  if (rc == 0 && !x->s->closed) rc = uv_shutdown(req, uv_of(x), on_shutdown);
  if (rc < 0 || x->s->closed) stream_shut(x->s, rc);
}

static void say_farewell(tls *x) {
  x->f->ERR_clear_error();
  x->output = &x->out;
  x->f->SSL_shutdown(x->ssl);
  x->f->ERR_clear_error();
  if (!x->outer) return;
  x->outer->output = &x->out;
  x->f->SSL_shutdown(x->outer->ssl);
  x->f->ERR_clear_error();
}

// Send close_notify, once, and what is before it.
static void advance_end(tls *x) {
  if (x->state == TLS_READY && !(x->f->SSL_get_shutdown(x->ssl) & SSL_SENT_SHUTDOWN)) {
    say_farewell(x);
    tls_send(x);
  }
  if (!x->busy && x->state != TLS_SHAKING) end_side(x);
}

int tls_shutdown(stream *s, uv_shutdown_t *req) {
  tls *x = tls_of(s);
  if (x->state == TLS_SHAKING && s->closed) {
    stream_shut(s, 0);
    return 0;
  }
  if (x->state == TLS_FAILED && !s->closed) return UV_EPROTO;
  x->end = req;
  advance_end(x);  // an alert, perhaps, is under way: then once it is sent
  return 0;
}

void tls_advance(tls *x) {
  if (x->busy) return;
  if (x->writing) {
    if (x->state == TLS_FAILED || x->out_rc)
      end_writing(x, x->out_rc ? x->out_rc : UV_EPROTO);
    else if (x->state == TLS_READY && !x->slice_left)
      end_writing(x, 0);
    else if (x->state == TLS_READY && go_on(x) < 0 && x->writing)
      end_writing(x, x->out_rc ? x->out_rc : UV_EPROTO);
  } else if (x->end) {
    advance_end(x);
  }
}

// --- The end of the runtime ------------------------------------------------------------------

// Write the ciphertext that is there, once.
static int flush_raw(tls *x, uint64_t until) {
  int (*flush)(stream *, uv_buf_t, int, uint64_t) = x->layer.under->flush;
  int rc = x->out_rc;
  if (rc == 0 && x->busy && !x->flushed) {
    uv_buf_t b = uv_buf_init(buffer_bytes(&x->sending), (unsigned)buffer_len(&x->sending));
    rc = flush(x->s, b, 1, until);
  }
  x->flushed = 1;
  if (rc == 0 && buffer_len(&x->out)) {
    uv_buf_t b = uv_buf_init(buffer_bytes(&x->out), (unsigned)buffer_len(&x->out));
    rc = flush(x->s, b, 0, until);
  }
  buffer_fini(&x->out);
  if (rc < 0) x->out_rc = rc;
  return rc;
}

int tls_flush(stream *s, uv_buf_t buf, int under_way, uint64_t until) {
  tls *x = tls_of(s);
  const char *p = buf.base;
  size_t left = buf.len;
  int rc = flush_raw(x, until);
  if (under_way && x->writing) {
    p = x->slice;
    left = x->slice_left;
  }
  if (x->state != TLS_READY && rc == 0) rc = UV_ENOTCONN;
  while (rc == 0 && left) {
    size_t n = left < BATCH ? left : BATCH;
    rc = encrypt(x, p, n, &x->out);
    if (rc == 0) rc = flush_raw(x, until);
    p += n;
    left -= n;
  }
  if (rc < 0) x->broken = 1;
  return rc;
}

int tls_is_clean(const tls *x) {
  return x->state == TLS_READY && !x->out_rc && !x->s->out_rc && !x->ahead && !x->broken &&
         !(x->f->SSL_get_shutdown(x->ssl) & SSL_SENT_SHUTDOWN);
}

void tls_farewell_now(tls *x) {
  const io_state *io = x->s->io;
  if (tls_is_clean(x)) say_farewell(x);
  flush_raw(x, io->flush_until ? io->flush_until : uv_hrtime() + 100000000);
}
