// SPDX-License-Identifier: MIT
// Which connections keep OpenSSL's buffers. See tls_buffers.h.
#include "net/tls_buffers.h"

#include <string.h>

#include "core/runtime.h"

#define MOST 256      // connections that keep their buffers
#define USES 16       // after which a connection does, without a pause between them
#define PAUSE_MS 100  // after which it may have to make room for another

// OpenSSL takes both buffers for each message of the handshake too, a session ticket for example,
// and keeps the one for writing. Between two records they may go. SSL_free_buffers of older
// releases would also take a record away of which only a part has come, or was read
// (CVE-2024-4741).
void tls_buffers_release(tls *x) {
  const openssl_tls *f = x->f;
  if (x->outer) tls_buffers_release(x->outer);
  if (x->stirred && !x->keeps && strcmp(f->SSL_rstate_string(x->ssl), "RH") == 0 &&
      !f->SSL_has_pending(x->ssl) && f->SSL_free_buffers(x->ssl))
    x->stirred = 0;
}

static void enter(tls *x) {
  io_state *io = x->s->io;
  list_push(&io->keepers, &x->keeping);
  io->nkeepers++;
  x->keeps = 1;
  x->f->SSL_ctrl(x->ssl, SSL_CTRL_CLEAR_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
  x->f->SSL_ctrl(x->ssl, SSL_CTRL_MODE, 0, NULL);  // from OpenSSL 3.2 on only this tells its layers
}

void tls_buffers_forget(tls *x) {
  if (!x->keeps) return;
  list_remove(&x->keeping);
  x->s->io->nkeepers--;
  x->keeps = 0;
}

static void leave(tls *x) {
  tls_buffers_forget(x);
  x->uses = 0;
  x->f->SSL_ctrl(x->ssl, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
  x->stirred = 1;  // in the middle of a record it goes without them after that
  tls_buffers_release(x);
}

// Whether one more may keep its buffers, if need be instead of the one that has paused longest.
static int has_room(const io_state *io, uint64_t now) {
  if (io->nkeepers < MOST) return 1;
  tls *oldest = list_entry(io->keepers.next, tls, keeping);
  if (now - oldest->used_at <= PAUSE_MS) return 0;
  leave(oldest);
  return 1;
}

void tls_buffers_use(tls *x) {
  io_state *io = x->s->io;
  uint64_t now = uv_now(&x->s->h.r->loop);
  if (x->outer) tls_buffers_use(x->outer);
  if (x->keeps) {
    list_remove(&x->keeping);
    list_push(&io->keepers, &x->keeping);
  } else if (now - x->used_at > PAUSE_MS) {
    x->uses = 0;
  } else if (x->uses < USES) {
    x->uses++;
  } else if (has_room(io, now)) {
    enter(x);
  }
  x->used_at = now;
}
