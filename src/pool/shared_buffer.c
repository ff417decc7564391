// SPDX-License-Identifier: MIT
// Buffers and counters. See shared_buffer.h.
#include "pool/shared_buffer.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct shared_buffer {
  shared s;
  shared_buffer *of;  // a slice: the buffer that it is a part of
  size_t at, len;
  pthread_mutex_t lock;  // not of a slice
  char *bytes;           // NULL once it was moved
};

static void free_buffer(shared *s) {
  shared_buffer *b = (shared_buffer *)(void *)s;
  if (b->of) {
    shared_unref(&b->of->s);
  } else {
    pthread_mutex_destroy(&b->lock);
    free(b->bytes);
  }
  free(b);
}

static void free_counter(shared *s) {
  free(s);
}

static size_t weigh(const shared *s) {
  return ((const shared_buffer *)(const void *)s)->len;
}

const shared_type shared_buffer_type = {
  .name = "pool buffer", .free = free_buffer, .weight = weigh};
const shared_type shared_counter_type = {.name = "pool counter", .free = free_counter};

static shared_buffer *make(lua_State *L, size_t len) {
  shared_buffer *b = calloc(1, sizeof *b);
  if (!b) {
    luaL_error(L, "not enough memory");
    return NULL;
  }
  shared_init(&b->s, &shared_buffer_type);
  b->len = len;
  return b;
}

void shared_buffer_push(lua_State *L, const char *bytes, size_t len) {
  shared_buffer *b = make(L, len);
  pthread_mutex_init(&b->lock, NULL);
  b->bytes = calloc(1, len ? len : 1);
  if (!b->bytes) {
    shared_unref(&b->s);
    luaL_error(L, "not enough memory");
    return;
  }
  if (bytes) memcpy(b->bytes, bytes, len);
  shared_adopt(L, &b->s);
}

void shared_buffer_push_slice(lua_State *L, shared_buffer *b, size_t at, size_t len) {
  shared_buffer *slice = make(L, len);
  slice->at = b->at + at;
  slice->of = b->of ? b->of : b;
  shared_ref(&slice->of->s);
  shared_adopt(L, &slice->s);
}

int shared_buffer_push_moved(lua_State *L, shared_buffer *b) {
  shared_buffer_push(L, NULL, 0);
  shared_buffer *to = (shared_buffer *)(void *)shared_of(L, -1);
  pthread_mutex_lock(&b->lock);
  char *bytes = b->bytes;
  b->bytes = NULL;
  pthread_mutex_unlock(&b->lock);
  if (!bytes) return -1;
  free(to->bytes);
  to->bytes = bytes;
  to->len = b->len;
  return 0;
}

size_t shared_buffer_len(const shared_buffer *b) {
  return b->len;
}

int shared_buffer_is_slice(const shared_buffer *b) {
  return b->of != NULL;
}

static int copy(shared_buffer *b, size_t at, char *to, const char *from, size_t len) {
  shared_buffer *whole = b->of ? b->of : b;
  pthread_mutex_lock(&whole->lock);
  char *bytes = whole->bytes ? whole->bytes + b->at + at : NULL;
  if (bytes && to) memcpy(to, bytes, len);
  if (bytes && from) memcpy(bytes, from, len);
  pthread_mutex_unlock(&whole->lock);
  return bytes ? 0 : -1;
}

int shared_buffer_read(shared_buffer *b, size_t at, char *to, size_t len) {
  return copy(b, at, to, NULL, len);
}

int shared_buffer_write(shared_buffer *b, size_t at, const char *from, size_t len) {
  return copy(b, at, NULL, from, len);
}

void shared_counter_push(lua_State *L, lua_Integer value) {
  shared_counter *c = calloc(1, sizeof *c);
  if (!c) {
    luaL_error(L, "not enough memory");
    return;
  }
  shared_init(&c->s, &shared_counter_type);
  atomic_init(&c->value, value);
  shared_adopt(L, &c->s);
}
