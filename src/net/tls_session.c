// SPDX-License-Identifier: MIT
// The sessions that a client can resume: a short list, the latest first. See tls_context.h. Runs on
// the loop thread.
#include <stdlib.h>
#include <string.h>

#include "net/tls_context.h"

#define MOST 128     // sessions of a context
#define MOST_EACH 4  // of one peer: connections that are opened side by side

struct tls_kept {
  tls_kept *next;
  SSL_SESSION *session;
  char key[];
};

// Take out and free the session to which `at` leads.
static void drop(tls_context *c, tls_kept **at) {
  tls_kept *k = *at;
  *at = k->next;
  c->f->SSL_SESSION_free(k->session);
  free(k);
}

// Make room for one more session of this peer: the oldest of it goes, or the oldest of all.
static void make_room(tls_context *c, const char *key) {
  tls_kept **oldest = NULL, **last = NULL;
  int same = 0, all = 0;
  for (tls_kept **at = &c->sessions; *at; at = &(*at)->next, all++) {
    last = at;
    if (strcmp((*at)->key, key) != 0) continue;
    oldest = at;
    same++;
  }
  if (same >= MOST_EACH)
    drop(c, oldest);
  else if (all >= MOST)
    drop(c, last);
}

int tls_session_put(tls_context *c, const char *key, SSL_SESSION *session) {
  size_t len = strlen(key) + 1;
  tls_kept *k = malloc(sizeof *k + len);
  if (!k) return 0;
  make_room(c, key);
  k->session = session;
  memcpy(k->key, key, len);
  k->next = c->sessions;
  c->sessions = k;
  return 1;
}

SSL_SESSION *tls_session_take(tls_context *c, const char *key) {
  const openssl_tls *f = c->f;
  tls_kept **at = &c->sessions;
  while (*at) {
    SSL_SESSION *session = (*at)->session;
    if (strcmp((*at)->key, key) != 0) {
      at = &(*at)->next;
    } else if (!f->SSL_SESSION_is_resumable(session)) {
      drop(c, at);
    } else {
      f->SSL_SESSION_up_ref(session);
      // A ticket of TLS 1.3 that is sent twice lets onlookers tell that it is the same client.
      if (f->SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) drop(c, at);
      return session;
    }
  }
  return NULL;
}

void tls_session_clear(tls_context *c) {
  while (c->sessions) drop(c, &c->sessions);
}
