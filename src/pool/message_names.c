// SPDX-License-Identifier: MIT
// Which modules a message names that are not loaded here: they are loaded before the message is
// decoded, where a module may suspend (S31). Values are not nested, so they are passed over one
// after the other. What is no message ends the search; decoding says so.
#include <lauxlib.h>
#include <string.h>

#include "pool/codec.h"
#include "pool/message.h"

typedef struct cursor {
  const unsigned char *p, *end;
} cursor;

static int pass(cursor *c, size_t n) {
  if ((size_t)(c->end - c->p) < n) return -1;
  c->p += n;
  return 0;
}

static int pass_count(cursor *c) {
  uint64_t x;
  return codec_load_count(&c->p, c->end, &x);
}

// Pass a count and as many bytes, which are a name.
static int pass_name(cursor *c, const char **name, size_t *n) {
  uint64_t x;
  if (codec_load_count(&c->p, c->end, &x) < 0 || x > (uint64_t)(c->end - c->p)) return -1;
  *name = (const char *)c->p;
  *n = (size_t)x;
  return pass(c, *n);
}

static int pass_string(cursor *c) {
  const char *s;
  size_t n;
  return pass_name(c, &s, &n);
}

// Pass what follows the tag of a value that names no module.
static int pass_value(cursor *c, int tag) {
  switch (tag) {
    case TAG_INT16: return pass(c, 2);
    case TAG_INT32: return pass(c, 4);
    case TAG_INT64:
    case TAG_FLOAT: return pass(c, 8);
    case TAG_TEXT: return c->end - c->p < 2 ? -1 : pass(c, 2 + (size_t)c->p[1]);
    case TAG_TEXT_AGAIN: return pass(c, 1);
    case TAG_STRING:
    case TAG_LONG: return pass_string(c);
    case TAG_FUNCTION:
      return c->end - c->p < 12 ? -1 : pass(c, 12 + (size_t)codec_load(c->p + 8, 4));
    case TAG_THING:
    case TAG_KEPT:
    case TAG_OBJECT:
    case TAG_BLOCK: return pass_count(c);
    case TAG_UPVALUE: return pass_count(c) < 0 ? -1 : pass(c, 1);
    default: return 0;  // a tag alone
  }
}

// Pass the names of what a module exports.
static int pass_export(cursor *c) {
  if (c->p == c->end) return -1;
  for (int left = *c->p++; left; left--)
    if (pass_string(c) < 0) return -1;
  return 0;
}

// Those of corun's own modules never suspend when they are loaded.
static int is_own(const char *name, size_t n) {
  return n >= 5 && memcmp(name, "corun", 5) == 0 && (n == 5 || name[5] == '.');
}

// Append the name to the list on top of the stack, made with the first, unless the module is
// loaded; answer whether there is a list.
static int add_missing(lua_State *L, int has_list, const char *name, size_t n) {
  if (is_own(name, n)) return has_list;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushlstring(L, name, n);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) != LUA_TNIL) {
    lua_pop(L, 3);
    return has_list;
  }
  lua_pop(L, 1);
  lua_remove(L, -2);
  if (!has_list) {
    lua_newtable(L);
    lua_insert(L, -2);
  }
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  return 1;
}

int message_push_missing(lua_State *L, const message *m) {
  int has_list = 0;
  if (!m->nnames || m->len < CODEC_HEAD) return 0;
  uint64_t objects = codec_load(m->bytes + 8, 8);
  if (objects > m->len || objects < CODEC_HEAD) return 0;
  luaL_checkstack(L, 8, NULL);
  cursor c = {m->bytes + CODEC_HEAD, m->bytes + objects};
  for (size_t left = m->nnames; left && c.p < c.end;) {
    const char *name;
    size_t n;
    int tag = *c.p++;
    if (tag != TAG_MODULE && tag != TAG_EXPORT) {
      if (pass_value(&c, tag) < 0) return has_list;
      continue;
    }
    left--;
    if (pass_name(&c, &name, &n) < 0) return has_list;
    has_list = add_missing(L, has_list, name, n);
    if (tag == TAG_EXPORT && pass_export(&c) < 0) return has_list;
  }
  return has_list;
}
