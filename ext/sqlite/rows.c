// SPDX-License-Identifier: MIT
// Rows. See rows.h.
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define MOST_SHAPES 256  // for which names are kept

void rows_init(rows *r) {
  r->p = r->small;
  r->size = sizeof r->small;
  r->used = r->at = 0;
  r->n = 0;
}

void rows_fini(rows *r) {
  if (r->p != r->small) free(r->p);
  r->p = r->small;
}

void rows_clear(rows *r) {
  r->used = r->at = 0;
  r->n = 0;
}

// --- On the thread ---------------------------------------------------------------------------

// Make room for `n` more bytes.
static int reserve(rows *r, size_t n) {
  if (r->size - r->used >= n) return 1;
  size_t size = r->size * 2;
  if (size < r->used + n) size = r->used + n;
  char *p = r->p == r->small ? malloc(size) : realloc(r->p, size);
  if (!p) return 0;
  if (r->p == r->small) memcpy(p, r->small, r->used);
  r->p = p;
  r->size = size;
  return 1;
}

static int add(rows *r, int type, const void *bytes, size_t n) {
  if (!reserve(r, 1 + n)) return 0;
  r->p[r->used] = (char)type;
  memcpy(r->p + r->used + 1, bytes, n);
  r->used += 1 + n;
  return 1;
}

static int add_bytes(rows *r, const void *bytes, size_t n) {
  if (!reserve(r, 1 + sizeof n + n)) return 0;
  add(r, SQLITE_TEXT, &n, sizeof n);
  if (n) memcpy(r->p + r->used, bytes, n);
  r->used += n;
  return 1;
}

static int add_column(rows *r, sqlite3_stmt *s, int i) {
  sqlite3_int64 integer;
  double number;
  const void *bytes;
  int type = sqlite3_column_type(s, i);
  switch (type) {
    case SQLITE_INTEGER:
      integer = sqlite3_column_int64(s, i);
      return add(r, SQLITE_INTEGER, &integer, sizeof integer);
    case SQLITE_FLOAT:
      number = sqlite3_column_double(s, i);
      return add(r, SQLITE_FLOAT, &number, sizeof number);
    case SQLITE_TEXT: bytes = sqlite3_column_text(s, i); break;
    case SQLITE_BLOB: bytes = sqlite3_column_blob(s, i); break;
    default: return add(r, SQLITE_NULL, "", 0);
  }
  size_t n = (size_t)sqlite3_column_bytes(s, i);
  if (!bytes && (n || type == SQLITE_TEXT)) return 0;
  return add_bytes(r, bytes, n);
}

int rows_add(rows *r, sqlite3_stmt *s, int columns) {
  for (int i = 0; i < columns; i++)
    if (!add_column(r, s, i)) return 0;
  r->n++;
  return 1;
}

// --- On the loop -----------------------------------------------------------------------------

static void push_value(lua_State *L, rows *r) {
  const char *p = r->p + r->at;
  lua_Integer integer;
  double number;
  size_t n;
  switch (*p++) {
    case SQLITE_INTEGER:
      memcpy(&integer, p, sizeof integer);
      p += sizeof integer;
      lua_pushinteger(L, integer);
      break;
    case SQLITE_FLOAT:
      memcpy(&number, p, sizeof number);
      p += sizeof number;
      lua_pushnumber(L, number);
      break;
    case SQLITE_TEXT:
      memcpy(&n, p, sizeof n);
      p += sizeof n + n;
      lua_pushlstring(L, p - n, n);
      break;
    default: lua_pushnil(L);
  }
  r->at = (size_t)(p - r->p);
}

void rows_push(lua_State *L, rows *r, int names, int columns) {
  r->n--;
  lua_createtable(L, 0, columns);
  for (int i = 1; i <= columns; i++) {
    lua_rawgeti(L, names, i);
    push_value(L, r);
    lua_rawset(L, -3);
  }
}

void rows_push_first(lua_State *L, rows *r) {
  r->n--;
  push_value(L, r);
}

void rows_push_names(lua_State *L, int shapes, const shape *columns) {
  if (lua_rawgeti(L, shapes, columns->id) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_createtable(L, columns->n, 0);
  for (int i = 0; i < columns->n; i++) {
    lua_pushstring(L, columns->names[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushnil(L);
  lua_rawseti(L, shapes, columns->id - MOST_SHAPES);
  lua_pushvalue(L, -1);
  lua_rawseti(L, shapes, columns->id);
}
