// SPDX-License-Identifier: MIT
// Blocks. See block.h.
#include "io/block.h"

#include <lauxlib.h>

#define CLASS "corun.block"

static const char tag = 0;  // its address is in every block

block *block_test(lua_State *L, int idx) {
  block *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) < sizeof *b || b->tag != &tag) return NULL;
  return b;
}

const char *block_bytes(lua_State *L, int idx, size_t *n) {
  const block *b = block_test(L, idx);
  if (!b) return lua_tolstring(L, idx, n);
  *n = b->n;
  return b->data;
}

static int l_len(lua_State *L) {
  const block *b = block_test(L, 1);
  lua_pushinteger(L, b ? (lua_Integer)b->n : 0);
  return 1;
}

static int l_tostring(lua_State *L) {
  const block *b = block_test(L, 1);
  lua_pushfstring(L, "block %p (%I bytes)", (const void *)b, b ? (LUAI_UACINT)b->n : 0);
  return 1;
}

block *block_new(lua_State *L, size_t capacity) {
  static const luaL_Reg meta[] = {{"__len", l_len}, {"__tostring", l_tostring}, {NULL, NULL}};
  block *b = lua_newuserdatauv(L, sizeof *b + capacity, 0);
  b->tag = &tag;
  b->n = 0;
  b->capacity = capacity;
  if (luaL_newmetatable(L, CLASS)) luaL_setfuncs(L, meta, 0);
  lua_setmetatable(L, -2);
  return b;
}
