// SPDX-License-Identifier: MIT
// What crosses by name: modules, and the functions of C and of corun itself, under the name by
// which a loaded module exports them. Of several names the one most likely to be good on the other
// side is taken: of Lua's or corun's own modules, then of others, then of the globals.
#include <lauxlib.h>
#include <string.h>

#include "core/modules.h"
#include "pool/encode.h"

#define DEEPEST 2  // names below a module: corun.codec, base64, encode

static void push_loaded(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

void writer_know_modules(writer *w) {
  lua_State *L = w->L;
  w->knows_modules = 1;
  push_loaded(L);
  w->loaded = lua_topointer(L, -1);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (!lua_istable(L, -1) || lua_type(L, -2) != LUA_TSTRING) continue;
    place *p = writer_place(w, lua_topointer(L, -1));
    if (!p->value) p->value = PLACE_MODULE;
  }
  lua_pop(L, 1);
}

// A name: that of the module and those below it, as indices on the stack.
typedef struct name {
  int at[1 + DEEPEST];
  int n;
} name;

static int rank(const char *module) {
  static const char *const of_lua[] = {"string", "table", "math",  "coroutine", "utf8",
                                       "io",     "os",    "debug", "package",   NULL};
  if (strncmp(module, "corun", 5) == 0 && (!module[5] || module[5] == '.')) return 'A';
  for (const char *const *m = of_lua; *m; m++)
    if (strcmp(module, *m) == 0) return 'A';
  return strcmp(module, LUA_GNAME) == 0 ? 'C' : 'B';
}

static void put_part(writer *w, bytes *b, int idx) {
  size_t n;
  const char *s = lua_tolstring(w->L, idx, &n);
  unsigned char *p = bytes_room(w->L, b, n + CODEC_COUNT_MAX);
  size_t head = codec_store_count(p, n);
  memcpy(p + head, s, n);
  b->len += head + n;
}

// Take the name if it is better than the best so far, which is in the scratch bytes: by rank, which
// comes before the value itself, then length, then order.
static void offer(writer *w, const name *each) {
  bytes *best = &w->c->scratch, *b = &w->c->best;
  b->len = 0;
  unsigned char *p = bytes_room(w->L, b, 3);
  p[0] = (unsigned char)rank(lua_tostring(w->L, each->at[0]));
  p[1] = each->n == 1 ? TAG_MODULE : TAG_EXPORT;
  b->len = 2;
  put_part(w, b, each->at[0]);
  if (each->n > 1) {
    *bytes_room(w->L, b, 1) = (unsigned char)(each->n - 1);
    b->len++;
  }
  for (int i = 1; i < each->n; i++) put_part(w, b, each->at[i]);
  if (best->len) {
    int order = b->p[0] - best->p[0];
    if (!order) order = (b->len > best->len) - (b->len < best->len);
    if (!order) order = memcmp(b->p, best->p, b->len);
    if (order >= 0) return;
  }
  bytes other = *best;
  *best = *b;
  *b = other;
}

// Say whether to look into the table on top of the stack, whose name is `at`: not into modules that
// another has as a field, nor into what scripts keep in globals.
static int is_inside(writer *w, const name *at) {
  if (!lua_istable(w->L, -1)) return 0;
  if (at->n == 1) return 1;
  const void *t = lua_topointer(w->L, -1);
  return at->n <= DEEPEST && strcmp(lua_tostring(w->L, at->at[0]), LUA_GNAME) != 0 &&
         t != w->loaded && writer_place(w, t)->value != PLACE_MODULE;
}

// Offer the names of the value at `value` in the table on top of the stack, whose name is `at`.
static void search(writer *w, int value, name *at) {
  lua_State *L = w->L;
  luaL_checkstack(L, 8, NULL);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    at->at[at->n++] = lua_gettop(L) - 1;
    if (lua_rawequal(L, -1, value) && (at->n == 1 || lua_isfunction(L, value)))
      offer(w, at);
    else if (is_inside(w, at))
      search(w, value, at);
    at->n--;
  }
}

int writer_name(writer *w) {
  lua_State *L = w->L;
  int value = lua_gettop(L);
  bytes *b = &w->c->scratch;
  name at = {{0}, 0};
  if (!w->knows_modules) writer_know_modules(w);
  b->len = 0;
  push_loaded(L);
  search(w, value, &at);
  lua_pop(L, 1);
  if (!b->len) {  // a part of corun that scripts do not see
    modules_push_loaded(L);
    search(w, value, &at);
    lua_pop(L, 1);
  }
  if (!b->len) return 0;
  memmove(b->p, b->p + 1, --b->len);
  return 1;
}
