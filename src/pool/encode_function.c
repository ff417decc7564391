// SPDX-License-Identifier: MIT
// Functions to bytes. What stands for a function, its dump or its name, is a record, made once and
// remembered for it: a job comes again and again. New ones are remembered when the message is
// complete, as that makes strings.
#include <lauxlib.h>
#include <string.h>

#include "core/error.h"
#include "pool/encode.h"

static int on_dump(lua_State *L, const void *p, size_t n, void *ud) {
  bytes *b = ud;
  memcpy(bytes_room(L, b, n), p, n);
  b->len += n;
  return 0;
}

static int is_named(lua_State *L) {
  lua_Debug ar;
  if (lua_iscfunction(L, -1)) return 1;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  return err_is_embedded(ar.source);
}

// Put the dump of the function on top of the stack into the scratch bytes: hash, length, bytes.
static void dump(writer *w) {
  lua_State *L = w->L;
  bytes *b = &w->c->scratch;
  const size_t head = 1 + 8 + 4;
  bytes_room(L, b, head);
  b->len = head;
  lua_dump(L, on_dump, b, 0);
  b->p[0] = TAG_FUNCTION;
  codec_store(b->p + 1, codec_hash(b->p + head, b->len - head), 8);
  codec_store(b->p + 9, b->len - head, 4);
}

// The bytes remembered for the function on top of the stack, NULL when there are none.
static const unsigned char *remembered(writer *w, size_t *len) {
  lua_State *L = w->L;
  lua_getiuservalue(L, w->codec_at, CODEC_RECORDS);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  const unsigned char *p = (const unsigned char *)lua_tolstring(L, -1, len);
  lua_pop(L, 2);  // the table keeps it as long as the function lives
  return p;
}

void writer_record(writer *w, bytes *to, const unsigned char *p, size_t n, int is_new) {
  memcpy(bytes_room(w->L, to, n), p, n);
  to->len += n;
  w->m->nnames += *p != TAG_FUNCTION;
  if (!is_new || w->npending == CODEC_PENDING) return;
  pending *each = &w->c->pending[w->npending++];
  *each = (pending){to == &w->c->objects, to->len - n, n};
  lua_pushvalue(w->L, -1);
  lua_rawseti(w->L, w->queue_at, -w->npending);
}

// Remember the new records, now that the message is complete: this makes strings.
void writer_remember(writer *w, size_t objects) {
  lua_State *L = w->L;
  pending all[CODEC_PENDING];  // a finaliser may encode a message of its own
  if (!w->npending) return;
  memcpy(all, w->c->pending, sizeof all);
  lua_getiuservalue(L, w->codec_at, CODEC_RECORDS);
  for (int i = 0; i < w->npending; i++) {
    const pending *each = &all[i];
    lua_rawgeti(L, w->queue_at, -(i + 1));
    lua_pushlstring(L, (char *)w->m->bytes + (each->in_objects ? objects : 0) + each->place,
                    each->len);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

// Say whether the value on top of the stack, an upvalue of that name, stands for the globals: those
// themselves, or an environment that falls back on them, as busted gives one to each spec.
int writer_is_globals(writer *w, const char *name) {
  lua_State *L = w->L;
  if (strcmp(name, "_ENV") != 0) return 0;
  if (lua_topointer(L, -1) == w->globals) return 1;
  if (!lua_istable(L, -1) || !lua_getmetatable(L, -1)) return 0;
  int registered = codec_class(L, w->codec_at) == LUA_TSTRING;
  lua_pop(L, 1);
  return !registered;
}

// Say whether the globals are the only upvalue that the function on top of the stack may have.
static int is_open(writer *w) {
  lua_State *L = w->L;
  const char *name = lua_getupvalue(L, -1, 1);
  if (!name) return 1;
  int is = writer_is_globals(w, name);
  lua_pop(L, 1);
  if (!is || !lua_getupvalue(L, -1, 2)) return is;
  lua_pop(L, 1);
  return 0;
}

// The key under which the place of a dump is known: odd, as no address is.
static const void *dump_key(const unsigned char *record, unsigned variant) {
  return (const void *)(((uintptr_t)codec_load(record + 1, 8) | 1) ^ variant);
}

int writer_function(writer *w) {
  lua_State *L = w->L;
  codec *c = w->c;
  size_t n;
  if (w->flags & MESSAGE_NO_FUNCTIONS) return writer_refuse(w, "function");
  const void *key = lua_topointer(L, -1);
  place *p = writer_place(w, key);
  if (p->value) {
    writer_again(w, p->value);
    return 0;
  }
  const unsigned char *record = remembered(w, &n);
  int is_new = !record, named = record ? record[0] == TAG_EXPORT : is_named(L);
  if (!named && !is_open(w)) {
    writer_add_object(w, p);
    return 0;
  }
  if (is_new) {
    c->scratch.len = 0;
    if (!named)
      dump(w);
    else if (!writer_name(w))
      return writer_stay(w, "function of C or corun that no module exports");
    record = c->scratch.p;
    n = c->scratch.len;
  }
  if (!named) {
    // A second function with one dump is loaded for itself, so that it stays another value.
    place *same = writer_place(w, dump_key(record, 0));
    int is_second = same->value != 0;
    same->value = place_value(0, PLACE_DUMP);
    if (is_second) {
      writer_add_object(w, writer_place(w, key));
      return 0;
    }
  }
  writer_place(w, key)->value = place_value(w->nkept++, PLACE_KEPT);
  writer_record(w, &c->out, record, n, is_new);
  return 0;
}

// Describe the closure on top of the stack: its dump, or where one like it is.
void writer_closure(writer *w, int upvalues) {
  size_t n;
  bytes *b = &w->c->objects;
  const unsigned char *record = remembered(w, &n);
  int is_new = !record;
  if (is_new) {
    w->c->scratch.len = 0;
    dump(w);
    record = w->c->scratch.p;
    n = w->c->scratch.len;
  }
  place *same = writer_place(w, dump_key(record, 2));
  unsigned char *p = bytes_room(w->L, b, 2 + CODEC_COUNT_MAX);
  p[0] = OBJECT_CLOSURE;
  p[1] = (unsigned char)upvalues;
  b->len += 2;
  size_t before = same->value >> 2;  // where it is, and 1
  if (before && before - 1 + n <= b->len && memcmp(b->p + before - 1, record, n) == 0) {
    b->len += codec_store_count(p + 2, before);
    return;
  }
  p[2] = 0;
  b->len++;
  same->value = place_value(b->len, PLACE_DUMP);
  writer_record(w, b, record, n, is_new);
}
