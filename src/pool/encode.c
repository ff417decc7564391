// SPDX-License-Identifier: MIT
// Lua values to bytes. Tables and closures are objects: where one is met only its number is
// written, and it is queued; its contents follow when those of all before it are written. So depth
// costs no stack, neither C's nor Lua's. All memory is the codec's, so that a raise loses nothing.
#include "pool/encode.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/trace.h"
#include "pool/proxy.h"

#define KEPT_BYTES ((size_t)64 << 10)  // of a buffer, between messages
#define KEPT_PLACES 4096
#define KEPT_QUEUE 64
#define HOLES 32  // nils in an array beside as many as it has items

// --- Places --------------------------------------------------------------------------------------

static size_t place_hash(const void *key) {
  uint64_t h = (uint64_t)(uintptr_t)key * 0x9E3779B97F4A7C15u;
  return (size_t)(h >> 32 ^ h >> 12);
}

static place *find_place(codec *c, const void *key) {
  size_t i = place_hash(key) & (c->capacity - 1);
  while (c->places[i].turn == c->turn && c->places[i].key != key) i = (i + 1) & (c->capacity - 1);
  return &c->places[i];
}

static void grow_places(lua_State *L, codec *c) {
  place *old = c->places;
  size_t n = c->capacity, capacity = n ? 4 * n : 64;
  place *places = calloc(capacity, sizeof *places);
  if (!places) err_no_memory(L);
  c->places = places;
  c->capacity = capacity;
  for (size_t i = 0; i < n; i++)
    if (old[i].turn == c->turn) *find_place(c, old[i].key) = old[i];
  free(old);
}

place *writer_place(writer *w, const void *key) {
  codec *c = w->c;
  if (2 * c->nplaces >= c->capacity) grow_places(w->L, c);
  place *p = find_place(c, key);
  if (p->turn != c->turn) {
    *p = (place){key, 0, c->turn};
    c->nplaces++;
  }
  return p;
}

// --- Scalars -------------------------------------------------------------------------------------

static unsigned char *room(writer *w, size_t n) {
  return bytes_room(w->L, &w->c->out, n);
}

static void put_byte(writer *w, int byte) {
  *room(w, 1) = (unsigned char)byte;
  w->c->out.len++;
}

static void put_tag_count(writer *w, int tag, uint64_t n) {
  unsigned char *p = room(w, 1 + CODEC_COUNT_MAX);
  *p = (unsigned char)tag;
  w->c->out.len += 1 + codec_store_count(p + 1, n);
}

static void put_fixed(writer *w, int tag, uint64_t x, int n) {
  unsigned char *p = room(w, 9);
  *p = (unsigned char)tag;
  codec_store(p + 1, x, 8);  // all eight, as that is one instruction
  w->c->out.len += 1 + (size_t)n;
}

static inline void put_integer(writer *w, lua_Integer i) {
  if (i >= CODEC_LEAST && i < CODEC_LEAST + 0x100 - TAG_SMALL)
    put_byte(w, (int)(i - CODEC_LEAST) + TAG_SMALL);
  else if (i >= INT16_MIN && i <= INT16_MAX)
    put_fixed(w, TAG_INT16, (uint64_t)i, 2);
  else if (i >= INT32_MIN && i <= INT32_MAX)
    put_fixed(w, TAG_INT32, (uint64_t)i, 4);
  else
    put_fixed(w, TAG_INT64, (uint64_t)i, 8);
}

static void put_number(writer *w) {
  if (lua_isinteger(w->L, -1)) {
    put_integer(w, lua_tointeger(w->L, -1));
    return;
  }
  uint64_t bits;
  lua_Number x = lua_tonumber(w->L, -1);
  memcpy(&bits, &x, sizeof bits);
  put_fixed(w, TAG_FLOAT, bits, 8);
}

// A text that was written lately is in its slot; texts whose addresses want the same slot take it
// from each other.
static void put_text(writer *w, const char *s, size_t n) {
  codec *c = w->c;
  uintptr_t h = (uintptr_t)s >> 3;
  text_slot *t = &c->texts[(h ^ h >> 8) % CODEC_SLOTS];
  unsigned char *p = room(w, 3 + CODEC_TEXT);
  if (t->turn == c->turn && t->s == s) {
    p[0] = TAG_TEXT_AGAIN;
    p[1] = t->slot;
    c->out.len += 2;
    return;
  }
  if (t->turn != c->turn) t->slot = (uint8_t)w->nslots++;
  t->turn = c->turn;
  t->s = s;
  p[0] = TAG_TEXT;
  p[1] = t->slot;
  p[2] = (unsigned char)n;
  memcpy(p + 3, s, n);
  c->out.len += 3 + n;
}

void writer_again(writer *w, uint64_t value) {
  put_tag_count(w, (value & 3) == PLACE_OBJECT ? TAG_OBJECT : TAG_KEPT, (value >> 2) - 1);
}

// Say whether the value with the given address was written before; then write its number, else it
// is a kept one from now on.
static int put_kept(writer *w, const void *key) {
  place *p = writer_place(w, key);
  if (p->value && p->value != PLACE_MODULE) {
    writer_again(w, p->value);
    return 1;
  }
  p->value = place_value(w->nkept++, PLACE_KEPT);
  return 0;
}

// Write the number of a block with the bytes, which are copied only here: there it is the string.
static void put_block(writer *w, const char *s, size_t n) {
  message *m = w->m;
  size_t head = bytes_head(rt_of(w->L));
  if (!(m->nblocks & (m->nblocks - 1)))  // full at each power of two
    m->blocks =
      codec_realloc(w->L, m->blocks, (m->nblocks ? 2 * m->nblocks : 1) * sizeof(*m->blocks));
  char *p = codec_realloc(w->L, NULL, head + n + BYTES_TAIL);
  memcpy(p + head, s, n);
  m->blocks[m->nblocks++] = (message_block){p, n};
  put_tag_count(w, TAG_BLOCK, m->nblocks - 1);
}

static void put_string(writer *w) {
  size_t n;
  const char *s = lua_tolstring(w->L, -1, &n);
  if (n <= CODEC_TEXT) {
    put_text(w, s, n);
    return;
  }
  if (n >= CODEC_SHARED && put_kept(w, s)) return;
  if (n >= CODEC_BLOCK && w->flags & MESSAGE_ONCE) {
    put_block(w, s, n);
    return;
  }
  put_tag_count(w, n >= CODEC_SHARED ? TAG_LONG : TAG_STRING, n);
  memcpy(room(w, n), s, n);
  w->c->out.len += n;
}

// --- Objects -------------------------------------------------------------------------------------

// Give the table or closure on top of the stack the next number, and queue it.
void writer_add_object(writer *w, place *p) {
  lua_State *L = w->L;
  codec *c = w->c;
  if (w->nobjects == INT32_MAX) err_no_memory(L);
  if (w->nobjects == c->parents_room) {
    size_t more = c->parents_room ? 2 * c->parents_room : 64;
    c->parents = codec_realloc(L, c->parents, more * sizeof *c->parents);
    c->parents_room = more;
  }
  p->value = place_value(w->nobjects, PLACE_OBJECT);
  c->parents[w->nobjects++] = w->at;
  lua_pushvalue(L, -1);
  lua_rawseti(L, w->queue_at, w->nobjects);
  put_byte(w, TAG_NEW);
}

// Say whether the value on top of the stack has a metatable that no name is registered for.
static int is_unregistered(writer *w) {
  if (!lua_getmetatable(w->L, -1)) return 0;
  int type = codec_class(w->L, w->codec_at);
  lua_pop(w->L, 1);
  return type != LUA_TSTRING;
}

static int put_table(writer *w) {
  const void *key = lua_topointer(w->L, -1);
  if (!(w->flags & MESSAGE_NO_FUNCTIONS)) {
    if (key == w->globals) {
      put_byte(w, TAG_GLOBALS);
      return 0;
    }
    if (!w->knows_modules) writer_know_modules(w);
  }
  place *p = writer_place(w, key);
  if (!p->value) {
    if (w->flags & MESSAGE_KEEP && is_unregistered(w)) return writer_stay(w, "table");
    writer_add_object(w, p);
  } else if (p->value == PLACE_MODULE) {
    w->c->scratch.len = 0;
    writer_name(w);
    put_kept(w, key);
    writer_record(w, &w->c->out, w->c->scratch.p, w->c->scratch.len, 0);
  } else {
    writer_again(w, p->value);
  }
  return 0;
}

// Write the number of a shared thing and take the reference over.
static void put_ref(writer *w, shared *s) {
  put_tag_count(w, TAG_THING, w->m->nrefs);
  w->m->refs[w->m->nrefs++] = s;
}

// Make room for one more reference and its number.
static void reserve_ref(writer *w) {
  message *m = w->m;
  room(w, 1 + CODEC_COUNT_MAX);
  if (m->nrefs & (m->nrefs - 1)) return;  // full at each power of two
  m->refs = codec_realloc(w->L, m->refs, (m->nrefs ? 2 * m->nrefs : 1) * sizeof *m->refs);
}

int writer_stay(writer *w, const char *what) {
  lua_State *L = w->L;
  if (!(w->flags & MESSAGE_KEEP)) return writer_refuse(w, what);
  if (put_kept(w, lua_topointer(L, -1))) return 0;
  reserve_ref(w);
  shared *s = proxy_find(L);
  if (s) {
    put_ref(w, s);
    return 0;
  }
  s = proxy_new(L, w->m->home);
  if (!s) err_no_memory(L);
  put_ref(w, s);
  proxy_keep(L, s);
  return 0;
}

static int put_thing(writer *w, shared *s) {
  if (w->flags & MESSAGE_NO_SHARED) return writer_refuse(w, "userdata");
  if (!proxy_may_cross(s, w->m->home)) return writer_stay(w, "proxy of another worker");
  if (put_kept(w, lua_touserdata(w->L, -1))) return 0;
  reserve_ref(w);
  put_ref(w, shared_ref(s));
  return 0;
}

static int put_userdata(writer *w) {
  shared *s = shared_of(w->L, -1);
  return s ? put_thing(w, s) : writer_stay(w, "userdata");
}

// Write the value on top of the stack, which stays there. Answers 0, or -1 with the sentence why it
// cannot cross on top of the stack instead.
static int put_value(writer *w) {
  switch (lua_type(w->L, -1)) {
    case LUA_TNIL: put_byte(w, TAG_NIL); return 0;
    case LUA_TBOOLEAN: put_byte(w, lua_toboolean(w->L, -1) ? TAG_TRUE : TAG_FALSE); return 0;
    case LUA_TNUMBER: put_number(w); return 0;
    case LUA_TSTRING: put_string(w); return 0;
    case LUA_TTABLE: return put_table(w);
    case LUA_TFUNCTION: return writer_function(w);
    case LUA_TUSERDATA: return put_userdata(w);
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(w->L, -1)) return writer_refuse(w, "light userdata");
      put_byte(w, TAG_NULL);
      return 0;
    default: return writer_stay(w, "thread");
  }
}

// Write the value on top of the stack and pop it. Tables are integers above all, and in one that is
// large each call into Lua counts.
static inline int put_item(writer *w) {
  if (lua_isinteger(w->L, -1)) {
    put_integer(w, lua_tointeger(w->L, -1));
  } else {
    w->step = STEP_VALUE;
    if (put_value(w) < 0) return -1;
  }
  lua_pop(w->L, 1);
  return 0;
}

// Say whether the integer `k` comes after `n` items of an array in which some may be nil, and write
// those before it.
static int put_holes(writer *w, lua_Integer k, lua_Integer n, lua_Integer *holes) {
  if (k <= n || k - n - 1 > HOLES + n - 2 * *holes) return 0;
  lua_rawgeti(w->L, w->queue_at, w->at + 1);
  int inside = (lua_Unsigned)k <= lua_rawlen(w->L, -1);
  lua_pop(w->L, 1);
  if (!inside) return 0;
  for (; n < k - 1; n++, ++*holes) put_byte(w, TAG_NIL);
  return 1;
}

// Write the key and the value on top of the stack and pop the value.
static int put_pair(writer *w) {
  lua_pushvalue(w->L, -2);
  w->step = STEP_KEY;
  if (put_value(w) < 0) return -1;
  lua_pop(w->L, 1);
  return put_item(w);
}

// Write the contents of the table on top of the stack: its items as long as it gives them in order,
// then pairs.
static int put_contents(writer *w, lua_Integer *nitems, uint64_t *npairs) {
  lua_State *L = w->L;
  lua_Integer n = 0, holes = 0;
  uint64_t pairs = 0;
  lua_pushnil(L);
  int more = lua_next(L, -2);
  while (more && lua_isinteger(L, -2)) {
    lua_Integer k = lua_tointeger(L, -2);
    if (k != n + 1 && !put_holes(w, k, n, &holes)) break;
    if (put_item(w) < 0) return -1;
    n = k;
    more = lua_next(L, -2);
  }
  for (; more; more = lua_next(L, -2), pairs++)
    if (put_pair(w) < 0) return -1;
  *nitems = n;
  *npairs = pairs;
  return 0;
}

// Write what the metatable on top of the stack, which is popped, makes of the table below it: the
// name it is registered under, and the traceback of an error.
static int put_class(writer *w) {
  lua_State *L = w->L;
  lua_pushvalue(L, -1);
  if (codec_class(L, w->codec_at) != LUA_TSTRING) {
    lua_pop(L, 2);
    return writer_refuse(w, "table with an unregistered metatable");
  }
  put_string(w);
  lua_pop(L, 2);
  if (err_is(L, -1)) {
    trace_push(L, -1);
    lua_isstring(L, -1) ? put_string(w) : put_byte(w, TAG_NIL);
    lua_pop(L, 1);
  } else {
    put_byte(w, TAG_NIL);
  }
  return 0;
}

static int put_table_object(writer *w) {
  lua_Integer items;
  uint64_t pairs;
  int kind = OBJECT_TABLE;
  w->step = STEP_SELF;
  if (lua_getmetatable(w->L, -1)) {
    kind = OBJECT_CLASS;
    if (put_class(w) < 0) return -1;
  }
  if (put_contents(w, &items, &pairs) < 0) return -1;
  bytes *b = &w->c->objects;
  unsigned char *p = bytes_room(w->L, b, 1 + 2 * CODEC_COUNT_MAX);
  *p = (unsigned char)kind;
  size_t n = 1 + codec_store_count(p + 1, (uint64_t)items);
  b->len += n + codec_store_count(p + n, pairs);
  return 0;
}

static int put_closure_object(writer *w) {
  lua_State *L = w->L;
  int n = 0;
  const char *name;
  w->step = STEP_UPVALUE;
  for (; (name = lua_getupvalue(L, -1, n + 1)); n++) {
    place *p = writer_place(w, lua_upvalueid(L, -2, n + 1));
    w->upvalue = n + 1;
    if (p->value) {
      put_tag_count(w, TAG_UPVALUE, p->value >> 10);
      put_byte(w, (int)(p->value >> 2 & 0xFF));
    } else {
      p->value = ((uint64_t)w->at << 8 | (unsigned)(n + 1)) << 2 | PLACE_UPVALUE;
      if (writer_is_globals(w, name))
        put_byte(w, TAG_GLOBALS);
      else if (put_value(w) < 0)
        return -1;
    }
    lua_pop(L, 1);
  }
  writer_closure(w, n);
  return 0;
}

// --- Messages ------------------------------------------------------------------------------------

// Give a buffer's memory back when a large message has left it large.
static void trim(bytes *b) {
  b->len = 0;
  if (b->room <= KEPT_BYTES) return;
  free(b->p);
  *b = (bytes){NULL, 0, 0};
}

static void begin(writer *w) {
  lua_State *L = w->L;
  codec *c = w->c;
  trim(&c->out);
  trim(&c->objects);
  trim(&c->scratch);
  if (c->capacity > KEPT_PLACES) {
    free(c->places);
    c->places = NULL;
    c->capacity = 0;
  }
  c->nplaces = 0;
  if (++c->turn == 0) {  // the marks of all messages before have become ambiguous
    if (c->places) memset(c->places, 0, c->capacity * sizeof *c->places);
    memset(c->texts, 0, sizeof c->texts);
    c->turn = 1;
  }
  if (!c->capacity) grow_places(L, c);
  if (c->parents_room > KEPT_PLACES) {
    free(c->parents);
    c->parents = NULL;
    c->parents_room = 0;
  }
  room(w, CODEC_HEAD);
  c->out.len = CODEC_HEAD;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  w->globals = lua_topointer(L, -1);
  lua_pop(L, 1);
}

// Write the values and then the contents of each object.
static int put_all(writer *w, int first, int n) {
  lua_State *L = w->L;
  int top = lua_gettop(L);
  for (int i = 0; i < n; i++) {
    w->at = -(i + 1);
    w->step = STEP_SELF;
    lua_pushvalue(L, first + i);
    if (put_value(w) < 0) return -1;
    lua_pop(L, 1);
  }
  for (uint32_t i = 0; i < w->nobjects; i++) {
    w->at = (int32_t)i;
    lua_rawgeti(L, w->queue_at, (lua_Integer)i + 1);
    int status = lua_istable(L, -1) ? put_table_object(w) : put_closure_object(w);
    if (status < 0) return -1;
    lua_settop(L, top);
  }
  return 0;
}

// Put header, values and objects together and hand the bytes to the message.
static void finish(writer *w, int n) {
  codec *c = w->c;
  size_t objects = c->out.len, len = objects + c->objects.len;
  if (c->objects.len) memcpy(room(w, c->objects.len), c->objects.p, c->objects.len);
  unsigned char *p = c->out.p;
  memcpy(p, "cor", 3);
  p[3] = CODEC_VERSION;
  codec_store(p + 4, (uint64_t)n, 4);
  codec_store(p + 8, objects, 8);
  codec_store(p + 16, w->nobjects, 4);
  codec_store(p + 20, w->nkept, 4);
  codec_store(p + 24, w->nslots, 8);
  if (c->out.room <= KEPT_BYTES) {
    p = codec_realloc(w->L, NULL, len);
    memcpy(p, c->out.p, len);
  } else {
    c->out = (bytes){NULL, 0, 0};
  }
  w->m->bytes = p;
  w->m->len = len;
  w->m->n = n;
  writer_remember(w, objects);
}

// Begin with another queue the next time.
static void drop_queue(writer *w) {
  lua_newtable(w->L);
  lua_setiuservalue(w->L, w->codec_at, CODEC_QUEUE);
}

// Let go of the objects.
static void empty_queue(writer *w) {
  lua_State *L = w->L;
  for (int i = 1; i <= w->npending; i++) {
    lua_pushnil(L);
    lua_rawseti(L, w->queue_at, -i);
  }
  if (w->nobjects <= KEPT_QUEUE) {
    for (lua_Integer i = w->nobjects; i > 0; i--) {
      lua_pushnil(L);
      lua_rawseti(L, w->queue_at, i);
    }
  } else {
    drop_queue(w);
  }
}

int message_encode(lua_State *L, message *m, int first, int n, const char *what, unsigned flags) {
  int top = lua_gettop(L);
  first = lua_absindex(L, first);
  luaL_checkstack(L, 24, NULL);
  writer w = {.L = L, .c = codec_push(L), .m = m, .what = what, .flags = flags};
  w.codec_at = top + 1;
  w.queue_at = top + 2;
  if (w.c->busy) drop_queue(&w);
  w.c->busy = 1;
  lua_getiuservalue(L, w.codec_at, CODEC_QUEUE);
  begin(&w);
  int status = put_all(&w, first, n);
  if (status == 0)
    finish(&w, n);
  else
    message_fini(m);
  empty_queue(&w);
  w.c->busy = 0;
  if (status < 0) lua_replace(L, top + 1);
  lua_settop(L, status < 0 ? top + 1 : top);
  return status;
}
