// SPDX-License-Identifier: MIT
// Text to Lua values. simdjson parses the whole text onto its tape first; this file turns the tape
// into values, with tables made in their final size. Owns the decoder: the parser and a cache of
// key strings, which saves hashing and interning the keys that documents of one kind repeat. Runs
// on the thread of its lua_State. No C++ frame is alive when Lua may raise; a raise leaves the
// decoder busy, so that it is never used again and its memory goes with the userdata.
#include <lauxlib.h>
#include <string.h>

#include "data/json.h"

#define CACHED_KEYS 256
#define CACHED_LENGTH 28

#define TAPE_PAYLOAD 0x00FFFFFFFFFFFFFFull
#define TAPE_COUNT 0xFFFFFF  // as much as the tape can say; a larger container grows

typedef struct key {
  uint32_t len;
  char text[CACHED_LENGTH];
} key;

// User value i + 1 is the Lua string of keys[i].
typedef struct decoder {
  json_parser *parser;
  int busy;
  key keys[CACHED_KEYS];
} decoder;

typedef struct build {
  lua_State *L;
  decoder *d;
  int decoder;  // its index
  int null;
  int depth;
  json_tape tape;
} build;

static const char registry_key;

static int on_collect(lua_State *L) {
  decoder *d = lua_touserdata(L, 1);
  json_parser_free(d->parser);
  d->parser = NULL;
  return 0;
}

static int raise_memory(lua_State *L) {
  lua_pushliteral(L, "not enough memory");
  return lua_error(L);
}

// Push the state's decoder, or a new one when that is busy.
static decoder *acquire(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TUSERDATA) {
    decoder *kept = lua_touserdata(L, -1);
    if (!kept->busy) return kept;
  }
  lua_pop(L, 1);
  decoder *d = lua_newuserdatauv(L, sizeof *d, CACHED_KEYS);
  memset(d, 0, sizeof *d);
  if (luaL_newmetatable(L, "corun.json.decoder")) {
    lua_pushcfunction(L, on_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  d->parser = json_parser_new();
  if (!d->parser) raise_memory(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return d;
}

// The slot of a key: its ends and its length tell the keys of one kind of document apart.
static unsigned slot_of(const char *s, uint32_t n) {
  uint32_t head, tail;
  if (n >= 4) {
    memcpy(&head, s, 4);
    memcpy(&tail, s + n - 4, 4);
  } else {
    head = (unsigned char)s[0];
    tail = (uint32_t)(unsigned char)s[n / 2] << 8 | (unsigned char)s[n - 1];
  }
  uint64_t both = (uint64_t)head << 32 | tail;
  return (unsigned)(((both + n) * 0x9E3779B97F4A7C15u) >> 56);
}

// Compare keys by overlapping words: a call of memcmp costs more than all of this.
static int same_key(const key *k, const char *s, uint32_t n) {
  if (k->len != n) return 0;
  const char *t = k->text;
  if (n < 4) return s[0] == t[0] && s[n / 2] == t[n / 2] && s[n - 1] == t[n - 1];
  if (n < 8) return memcmp(s, t, 4) == 0 && memcmp(s + n - 4, t + n - 4, 4) == 0;
  for (uint32_t i = 0; i + 8 < n; i += 8)
    if (memcmp(s + i, t + i, 8) != 0) return 0;
  return memcmp(s + n - 8, t + n - 8, 8) == 0;
}

static const char *string_at(const build *b, uint64_t word, uint32_t *len) {
  const char *s = b->tape.strings + (word & TAPE_PAYLOAD);
  memcpy(len, s, sizeof *len);
  return s + sizeof *len;
}

static void push_key(build *b, uint64_t word) {
  uint32_t n;
  const char *s = string_at(b, word, &n);
  if (n - 1 >= CACHED_LENGTH) {  // also the empty key
    lua_pushlstring(b->L, s, n);
    return;
  }
  unsigned i = slot_of(s, n);
  key *k = &b->d->keys[i];
  if (same_key(k, s, n)) {
    lua_getiuservalue(b->L, b->decoder, (int)i + 1);
    return;
  }
  lua_pushlstring(b->L, s, n);
  lua_pushvalue(b->L, -1);
  lua_setiuservalue(b->L, b->decoder, (int)i + 1);
  k->len = n;
  memcpy(k->text, s, n);
}

static size_t push_value(build *b, size_t at);

// Push the container that begins at `at`; answer where it ends, 0 when it is nested too deep.
static size_t push_array(build *b, size_t at) {
  lua_State *L = b->L;
  uint32_t count = (uint32_t)(b->tape.words[at] >> 32) & TAPE_COUNT;
  lua_createtable(L, (int)count, 0);
  if (!count) luaL_setmetatable(L, JSON_ARRAY_MT);
  lua_Integer i = 0;
  for (at++; b->tape.words[at] >> 56 != ']';) {
    at = push_value(b, at);
    if (!at) return 0;
    lua_rawseti(L, -2, ++i);
  }
  return at + 1;
}

static size_t push_object(build *b, size_t at) {
  lua_State *L = b->L;
  uint32_t count = (uint32_t)(b->tape.words[at] >> 32) & TAPE_COUNT;
  lua_createtable(L, 0, (int)count);
  for (at++; b->tape.words[at] >> 56 != '}';) {
    push_key(b, b->tape.words[at]);
    at = push_value(b, at + 1);
    if (!at) return 0;
    lua_rawset(L, -3);
  }
  return at + 1;
}

static size_t push_container(build *b, size_t at, int is_array) {
  if (b->depth == JSON_MAX_DEPTH) return 0;  // an empty one: simdjson does not count those
  luaL_checkstack(b->L, 6, "JSON text nested too deep");
  b->depth++;
  at = is_array ? push_array(b, at) : push_object(b, at);
  b->depth--;
  return at;
}

static size_t push_value(build *b, size_t at) {
  lua_State *L = b->L;
  const uint64_t *w = b->tape.words + at;
  double x;
  uint32_t n;
  switch (*w >> 56) {
    case '"': {
      const char *s = string_at(b, *w, &n);
      lua_pushlstring(L, s, n);
      return at + 1;
    }
    case 'l': lua_pushinteger(L, (lua_Integer)w[1]); return at + 2;
    case 'u': lua_pushnumber(L, (lua_Number)w[1]); return at + 2;
    case 'd':
      memcpy(&x, &w[1], sizeof x);
      lua_pushnumber(L, x);
      return at + 2;
    case 't': lua_pushboolean(L, 1); return at + 1;
    case 'f': lua_pushboolean(L, 0); return at + 1;
    case 'n':
      if (b->null)
        lua_pushvalue(L, b->null);
      else
        lua_pushlightuserdata(L, NULL);
      return at + 1;
    case '[': return push_container(b, at, 1);
    default: return push_container(b, at, 0);
  }
}

static json_status run(decoder *d, const char *text, size_t len, json_tape *tape) {
  char *room;
  json_status status = json_parser_input(d->parser, len, &room);
  if (status != JSON_PARSED) return status;
  memcpy(room, text, len);
  return json_parser_run(d->parser, len, tape);
}

// Explain what the parser refused, or parse it again with its large integers written as floats. The
// rewritten text is a userdata, so that a raise does not leak it.
static json_status run_again(build *b, const char *text, size_t len, json_fault *fault) {
  ptrdiff_t large = json_scan(b->d->parser, text, len, NULL, fault);
  if (large <= 0) return JSON_REFUSED;
  size_t size = len + 2 * (size_t)large;
  char *copy = lua_newuserdatauv(b->L, size, 0);
  json_scan(b->d->parser, text, len, copy, fault);
  json_status status = run(b->d, copy, size, &b->tape);
  lua_pop(b->L, 1);
  return status;
}

int json_decode(lua_State *L, const char *text, size_t len, int null, json_fault *fault) {
  static const char mark[] = "\xEF\xBB\xBF";  // a byte order mark may be ignored, says RFC 8259
  size_t skipped = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
  luaL_checkstack(L, 8, NULL);
  int top = lua_gettop(L);
  build b = {.L = L, .d = acquire(L), .decoder = top + 1, .null = null};
  b.d->busy = 1;
  text += skipped;
  len -= skipped;
  *fault = (json_fault){"not JSON", 0};
  json_status status = run(b.d, text, len, &b.tape);
  if (status == JSON_REFUSED) status = run_again(&b, text, len, fault);
  if (status == JSON_NO_MEMORY) raise_memory(L);
  if (status == JSON_TOO_LONG) fault->reason = "text of more than 4 GiB";
  int pushed = status == JSON_PARSED;
  if (pushed && !push_value(&b, 1)) {
    json_scan(b.d->parser, text, len, NULL, fault);
    pushed = 0;
  }
  fault->offset += skipped;
  json_parser_trim(b.d->parser);
  b.d->busy = 0;
  if (pushed) lua_replace(L, b.decoder);
  lua_settop(L, top + pushed);
  return pushed;
}
