// SPDX-License-Identifier: MIT
// Rows. See rows.h.
#include "rows.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WORD (1 + sizeof(uint64_t))
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

// Make room for `n` more bytes, of which there are not enough.
static int grow(rows *r, size_t n) {
  size_t size = r->size * 2;
  if (size < r->used + n) size = r->used + n;
  char *p = r->p == r->small ? malloc(size) : realloc(r->p, size);
  if (!p) return 0;
  if (r->p == r->small) memcpy(p, r->small, r->used);
  r->p = p;
  r->size = size;
  return 1;
}

static int add_bytes(rows *r, const void *bytes, size_t n) {
  size_t needed = 1 + sizeof n + n;
  if (r->size - r->used < needed && !grow(r, needed)) return 0;
  char *p = r->p + r->used;
  *p = SQLITE_TEXT;
  memcpy(p + 1, &n, sizeof n);
  if (n) memcpy(p + 1 + sizeof n, bytes, n);
  r->used += needed;
  return 1;
}

// A value of eight bytes, or none. There is room for it.
static void add_word(rows *r, int type, uint64_t word) {
  char *p = r->p + r->used;
  *p = (char)type;
  memcpy(p + 1, &word, sizeof word);
  r->used += type == SQLITE_NULL ? 1 : WORD;
}

// The value is taken from the statement once: its functions cost less than those of the column. It
// may be used since this thread alone uses the connection.
static int add_column(rows *r, sqlite3_stmt *s, int i) {
  uint64_t word = 0;
  double number;
  const void *bytes;
  sqlite3_value *v = sqlite3_column_value(s, i);
  int type = sqlite3_value_type(v);
  if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
    bytes = type == SQLITE_TEXT ? sqlite3_value_text(v) : sqlite3_value_blob(v);
    size_t n = (size_t)sqlite3_value_bytes(v);
    if (!bytes && (n || type == SQLITE_TEXT)) return 0;
    return add_bytes(r, bytes, n);
  }
  if (r->size - r->used < WORD && !grow(r, WORD)) return 0;
  if (type == SQLITE_INTEGER) {
    word = (uint64_t)sqlite3_value_int64(v);
  } else if (type == SQLITE_FLOAT) {
    number = sqlite3_value_double(v);
    memcpy(&word, &number, sizeof word);
  }
  add_word(r, type, word);
  return 1;
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
