// SPDX-License-Identifier: MIT
// Parameters. See params.h.
#include "params.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// --- On the loop -----------------------------------------------------------------------------

// Why the value at `idx` cannot be stored, NULL when it can.
static const char *flaw_of(lua_State *L, int idx) {
  switch (lua_type(L, idx)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN: return NULL;
    case LUA_TNUMBER:
      return isnan(lua_tonumber(L, idx)) ? "is NaN, which SQLite cannot store" : NULL;
    case LUA_TSTRING: return lua_rawlen(L, idx) > INT_MAX ? "is longer than 2 GiB" : NULL;
    case LUA_TLIGHTUSERDATA:
      if (!lua_touserdata(L, idx)) return NULL;  // json.null
      break;
    case LUA_TUSERDATA:
      if (luaL_testudata(L, idx, BLOB_CLASS)) return NULL;
      break;
    default: break;
  }
  return lua_pushfstring(L, "cannot be stored: it is a %s", luaL_typename(L, idx));
}

// Push a name and a value for each entry of the table on top of the stack; answer their number.
static int flatten(lua_State *L, const char *op) {
  int n = 0, table = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    if (!lua_checkstack(L, 8)) misuse(L, "%s: the table has too many values", op);
    lua_pushvalue(L, -2);  // for the next step; the first becomes a text
    if (lua_type(L, -1) != LUA_TSTRING && !lua_isinteger(L, -1))
      misuse(L, "%s: values have names or numbers, not a %s", op, luaL_typename(L, -1));
    const char *name = lua_tostring(L, -3), *flaw = flaw_of(L, -2);
    if (flaw) misuse(L, "%s: value '%s' %s", op, name, flaw);
    n++;
  }
  return n;
}

params params_check(lua_State *L, const char *op, int first) {
  params p = {.n = lua_gettop(L) - first + 1, .first = first};
  if (p.n < 0) p.n = 0;
  if (p.n == 1 && lua_istable(L, first)) {
    p.is_named = 1;
    p.n = flatten(L, op);
    p.first = first + 1;
    return p;
  }
  for (int i = 0; i < p.n; i++) {
    const char *flaw = flaw_of(L, first + i);
    if (flaw) misuse(L, "%s: value %d %s", op, i + 1, flaw);
  }
  return p;
}

static void read_value(lua_State *L, int idx, value *v) {
  switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN:
      v->type = SQLITE_INTEGER;
      v->integer = lua_toboolean(L, idx);
      return;
    case LUA_TNUMBER:
      v->type = lua_isinteger(L, idx) ? SQLITE_INTEGER : SQLITE_FLOAT;
      if (v->type == SQLITE_INTEGER)
        v->integer = lua_tointeger(L, idx);
      else
        v->number = lua_tonumber(L, idx);
      return;
    case LUA_TSTRING:
      v->type = SQLITE_TEXT;
      v->text.p = lua_tolstring(L, idx, &v->text.n);
      return;
    case LUA_TUSERDATA:
      v->type = SQLITE_BLOB;
      lua_getiuservalue(L, idx, 1);
      v->text.p = lua_tolstring(L, -1, &v->text.n);  // kept by the userdata
      lua_pop(L, 1);
      return;
    default: v->type = SQLITE_NULL;
  }
}

void params_read(lua_State *L, const params *p, value *values) {
  for (int i = 0; i < p->n; i++) {
    int idx = p->first + i;
    values[i].name = NULL;
    if (p->is_named) {
      idx = p->first + 2 * i + 1;
      values[i].name = lua_tostring(L, idx - 1);
    }
    read_value(L, idx, &values[i]);
  }
}

// --- On the thread ---------------------------------------------------------------------------

static int bind(sqlite3_stmt *s, int i, const value *v, sqlite3_destructor_type keep) {
  switch (v->type) {
    case SQLITE_INTEGER: return sqlite3_bind_int64(s, i, v->integer);
    case SQLITE_FLOAT: return sqlite3_bind_double(s, i, v->number);
    case SQLITE_TEXT: return sqlite3_bind_text(s, i, v->text.p, (int)v->text.n, keep);
    case SQLITE_BLOB: return sqlite3_bind_blob(s, i, v->text.p, (int)v->text.n, keep);
    default: return sqlite3_bind_null(s, i);
  }
}

// The number of the parameter that has no name but this number; 0: none.
static int number_of(sqlite3_stmt *s, int count, const char *name) {
  char *end;
  long i = strtol(name, &end, 10);
  if (*end || i < 1 || i > count) return 0;
  const char *parameter = sqlite3_bind_parameter_name(s, (int)i);
  return !parameter || *parameter == '?' ? (int)i : 0;
}

// Bind a value to the parameter that is called so; answers whether there is one, and an SQLite code
// in `rc`.
static int bind_at(sqlite3_stmt *s, const char *parameter, const value *v,
                   sqlite3_destructor_type keep, int *rc) {
  int i = sqlite3_bind_parameter_index(s, parameter);
  if (i) *rc = bind(s, i, v, keep);
  return i != 0;
}

// Bind it to all parameters of its name, with their first characters or without; answers how many.
// Each is asked for, since SQLite has the names in a list which it goes through every time.
static int bind_by_name(sqlite3_stmt *s, const value *v, sqlite3_destructor_type keep, int *rc) {
  int n = *v->name == '?' ? 0 : bind_at(s, v->name, v, keep, rc);
  size_t size = strlen(v->name) + 1;
  char *text = malloc(1 + size);
  if (!text) {
    *rc = SQLITE_NOMEM;
    return n;
  }
  memcpy(text + 1, v->name, size);
  for (const char *first = ":@$"; *first && *rc == SQLITE_OK; first++) {
    *text = *first;
    n += bind_at(s, text, v, keep, rc);
  }
  free(text);
  return n;
}

// The same for a name that may be a number.
static int bind_one(sqlite3_stmt *s, int count, const value *v, sqlite3_destructor_type keep,
                    int *rc) {
  int number = number_of(s, count, v->name);
  if (!number) return bind_by_name(s, v, keep, rc);
  *rc = bind(s, number, v, keep);
  return 1;
}

static void bind_named(const value *values, int n, sqlite3_stmt *s, int count,
                       sqlite3_destructor_type keep, fault *f) {
  int rc = SQLITE_OK;
  sqlite3_clear_bindings(s);
  for (int k = 0; k < n && rc == SQLITE_OK; k++) {
    if (bind_one(s, count, &values[k], keep, &rc) || rc != SQLITE_OK) continue;
    fault_say(f, SQLITE_RANGE, 1, "the statement has no parameter '%s'", values[k].name);
    return;
  }
  if (rc != SQLITE_OK) fault_note(f, sqlite3_db_handle(s), rc);
}

void params_bind(const value *values, int n, int is_by_name, sqlite3_stmt *s, int count,
                 sqlite3_destructor_type keep, fault *f) {
  if (is_by_name) {
    bind_named(values, n, s, count, keep, f);
    return;
  }
  int rc = SQLITE_OK;
  if (count != n) {
    fault_say(f, SQLITE_RANGE, 1, "the statement has %d parameter%s, got %d value%s", count,
              count == 1 ? "" : "s", n, n == 1 ? "" : "s");
    return;
  }
  for (int i = 0; i < n && rc == SQLITE_OK; i++) rc = bind(s, i + 1, &values[i], keep);
  if (rc != SQLITE_OK) fault_note(f, sqlite3_db_handle(s), rc);
}
