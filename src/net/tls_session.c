// SPDX-License-Identifier: MIT
// The sessions that a client can resume: a short list, the latest first. See tls_context.h. Runs on
// the loop thread.
#include <stdlib.h>
#include <string.h>

#include "net/tls_context.h"

#define MOST 128     // sessions of a context
#define MOST_EACH 4  // of one peer: connections that are opened side by side

typedef struct kept {
  list link;
  SSL_SESSION *session;
  char key[];
} kept;

static void drop(tls_context *c, kept *k) {
  list_remove(&k->link);
  c->nsessions--;
  c->f->SSL_SESSION_free(k->session);
  free(k);
}

int tls_session_put(tls_context *c, const char *key, SSL_SESSION *session) {
  size_t len = strlen(key) + 1;
  kept *k = malloc(sizeof *k + len), *oldest = NULL;
  if (!k) return 0;
  int same = 0;
  for (list *l = c->sessions.next; l != &c->sessions; l = l->next) {
    kept *other = list_entry(l, kept, link);
    if (strcmp(other->key, key) != 0) continue;
    same++;
    oldest = other;
  }
  if (same >= MOST_EACH)
    drop(c, oldest);
  else if (c->nsessions >= MOST)
    drop(c, list_entry(c->sessions.prev, kept, link));
  k->session = session;
  memcpy(k->key, key, len);
  list_push(c->sessions.next, &k->link);
  c->nsessions++;
  return 1;
}

SSL_SESSION *tls_session_take(tls_context *c, const char *key) {
  const openssl_tls *f = c->f;
  for (list *l = c->sessions.next, *next; l != &c->sessions; l = next) {
    kept *k = list_entry(l, kept, link);
    next = l->next;
    if (strcmp(k->key, key) != 0) continue;
    if (!f->SSL_SESSION_is_resumable(k->session)) {
      drop(c, k);
      continue;
    }
    SSL_SESSION *session = k->session;
    f->SSL_SESSION_up_ref(session);
    // A ticket of TLS 1.3 that is sent twice lets onlookers tell that it is the same client.
    if (f->SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) drop(c, k);
    return session;
  }
  return NULL;
}

void tls_session_clear(tls_context *c) {
  while (!list_empty(&c->sessions)) drop(c, list_entry(c->sessions.next, kept, link));
}
