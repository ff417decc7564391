// SPDX-License-Identifier: MIT
// The memory of the codec, and the metatables that cross by name. See codec.h.
#include "pool/codec.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/weak.h"
#include "data/json.h"
#include "pool/message.h"

static const char registry_key;

// Metatables of corun's own that are registered from the start, by their names in the registry.
static const char *const built_in[] = {ERR_MT, ERR_CANCEL_MT, JSON_ARRAY_MT, NULL};

void *codec_realloc(lua_State *L, void *old, size_t n) {
  void *p = realloc(old, n);
  if (!p) err_no_memory(L);
  return p;
}

void bytes_grow(lua_State *L, bytes *b, size_t n) {
  size_t room = b->room ? 2 * b->room : 256;
  if (n > SIZE_MAX / 4 - b->len) err_no_memory(L);
  if (room < b->len + n) room = b->len + n + n / 16;
  b->p = codec_realloc(L, b->p, room);
  b->room = room;
}

uint64_t codec_hash(const unsigned char *p, size_t n) {
  uint64_t h = 0x9E3779B97F4A7C15u ^ n, x;
  for (; n >= 8; p += 8, n -= 8) {
    x = codec_load(p, 8);
    h = (h ^ x) * 0xFF51AFD7ED558CCDu;
    h ^= h >> 32;
  }
  h = (h ^ codec_load(p, n)) * 0xC4CEB9FE1A85EC53u;
  return h ^ h >> 29;
}

static int on_collect(lua_State *L) {
  codec *c = lua_touserdata(L, 1);
  free(c->out.p);
  free(c->objects.p);
  free(c->scratch.p);
  free(c->best.p);
  free(c->places);
  free(c->parents);
  for (int i = 0; i < CODEC_SLOTS; i++) free(c->loaded[i].dump);
  memset(c, 0, sizeof *c);
  return 0;
}

// Give the codec on top of the stack a table with the given mode as user value `n`.
static void give_table(lua_State *L, int n, const char *mode) {
  weak_newtable(L, mode);
  lua_setiuservalue(L, -2, n);
}

// Put the names of the metatables built in into the classes, as entering them may not make strings:
// the collector could run finalisers, which change what is being encoded.
static void name_built_in(lua_State *L) {
  lua_getiuservalue(L, -1, CODEC_CLASSES);
  for (lua_Integer i = 0; built_in[i]; i++) {
    lua_pushstring(L, built_in[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pop(L, 1);
}

static codec *make(lua_State *L) {
  codec *c = lua_newuserdatauv(L, sizeof *c, CODEC_LAST);
  memset(c, 0, sizeof *c);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, on_collect);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  give_table(L, CODEC_QUEUE, NULL);
  give_table(L, CODEC_RECORDS, "k");
  give_table(L, CODEC_CLOSURES, NULL);
  give_table(L, CODEC_CLASSES, NULL);
  name_built_in(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return c;
}

codec *codec_push(lua_State *L) {
  luaL_checkstack(L, 8, NULL);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  return make(L);
}

// With the classes on top of the stack: enter those built in that exist by now.
static void enter_built_in(lua_State *L) {
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
    lua_pushvalue(L, -1);
    if (lua_rawget(L, LUA_REGISTRYINDEX) != LUA_TTABLE) {
      lua_pop(L, 2);
      continue;
    }
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);  // name -> metatable
    lua_insert(L, -2);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

int codec_class(lua_State *L, int at) {
  lua_getiuservalue(L, at, CODEC_CLASSES);
  lua_pushvalue(L, -2);
  int type = lua_rawget(L, -2);
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    enter_built_in(L);
    lua_pushvalue(L, -2);
    type = lua_rawget(L, -2);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  return type;
}

void message_register(lua_State *L, const char *name) {
  int mt = lua_gettop(L);
  codec_push(L);
  lua_pushvalue(L, mt);
  if (codec_class(L, mt + 1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), name) != 0)
    err_misuse(L, "the metatable is registered as '%s' already", lua_tostring(L, -1));
  lua_pushstring(L, name);
  if (codec_class(L, mt + 1) != LUA_TNIL && !lua_rawequal(L, -1, mt))
    err_misuse(L, "another metatable is registered as '%s' already", name);
  lua_getiuservalue(L, mt + 1, CODEC_CLASSES);
  lua_pushvalue(L, mt);
  lua_setfield(L, -2, name);
  lua_pushvalue(L, mt);
  lua_pushstring(L, name);
  lua_rawset(L, -3);
  lua_settop(L, mt - 1);
}

void message_adopt(message *m, unsigned char *p, size_t len) {
  uint64_t n = len < CODEC_HEAD ? 0 : codec_load(p + 4, 4);
  m->bytes = p;
  m->len = len;
  m->n = n < INT_MAX / 2 ? (int)n : 0;
  m->nnames = len;  // unknown
}

void message_fini(message *m) {
  for (size_t i = 0; i < m->nrefs; i++) shared_unref(m->refs[i]);
  free(m->refs);
  for (size_t i = 0; i < m->nblocks; i++) free(m->blocks[i].p);
  free(m->blocks);
  free(m->bytes);
  memset(m, 0, sizeof *m);
}
