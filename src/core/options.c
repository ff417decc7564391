// SPDX-License-Identifier: MIT
// Option tables. See options.h.
#include "core/options.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"

#define LONGEST 32

// Edit distance with transpositions of two short words (Damerau, optimal string alignment).
static size_t distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b), d[LONGEST + 1][LONGEST + 1];
  if (n > LONGEST || m > LONGEST) return LONGEST;
  for (size_t i = 0; i <= n; i++) d[i][0] = i;
  for (size_t j = 0; j <= m; j++) d[0][j] = j;
  for (size_t i = 1; i <= n; i++) {
    for (size_t j = 1; j <= m; j++) {
      size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
      if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
          d[i - 2][j - 2] + 1 < best)
        best = d[i - 2][j - 2] + 1;
      d[i][j] = best;
    }
  }
  return d[n][m];
}

static int unknown(lua_State *L, const char *key, const char *operation, const char *const *names) {
  const char *best = NULL;
  size_t least = 3;
  for (; *names; names++) {
    size_t d = distance(key, *names);
    if (d < least && d < strlen(*names)) {
      least = d;
      best = *names;
    }
  }
  if (best)
    return err_misuse(L, "unknown option \"%s\" for %s (did you mean \"%s\"?)", key, operation,
                      best);
  return err_misuse(L, "unknown option \"%s\" for %s", key, operation);
}

int opt_check(lua_State *L, int idx, const char *operation, const char *const *names) {
  if (lua_isnoneornil(L, idx)) return 0;
  if (!lua_istable(L, idx))
    err_misuse(L, "options of %s must be a table, got %s", operation, luaL_typename(L, idx));
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      err_misuse(L, "option names of %s must be strings, got %s", operation, luaL_typename(L, -2));
    const char *key = lua_tostring(L, -2);
    const char *const *n = names;
    while (*n && (strcmp(*n, key) != 0 || lua_rawlen(L, -2) != strlen(key))) n++;
    if (!*n) unknown(L, err_escaped(L, -2), operation, names);
  }
  return 1;
}

// The value of the option is at `idx`.
static int wrong(lua_State *L, int idx, const char *operation, const char *name,
                 const char *expected) {
  return err_misuse(L, "option \"%s\" for %s must be %s, got %s", name, operation, expected,
                    err_show(L, idx));
}

// Push the option; answer whether it is there (else nothing was pushed).
static int find(lua_State *L, int idx, const char *name) {
  if (!lua_istable(L, idx)) return 0;
  if (lua_getfield(L, idx, name) != LUA_TNIL) return 1;
  lua_pop(L, 1);
  return 0;
}

double opt_seconds(lua_State *L, int idx, const char *operation, const char *name,
                   double otherwise) {
  if (!find(L, idx, name)) return otherwise;
  double v = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER || !(v >= 0))
    wrong(L, -1, operation, name, "a number of seconds (0 or more)");
  lua_pop(L, 1);
  return v;
}

lua_Integer opt_count(lua_State *L, int idx, const char *operation, const char *name,
                      lua_Integer least, lua_Integer otherwise) {
  if (!find(L, idx, name)) return otherwise;
  int ok = 0;
  lua_Integer v = lua_tointegerx(L, -1, &ok);
  if (!ok || lua_type(L, -1) != LUA_TNUMBER || v < least)
    wrong(L, -1, operation, name, least > 0 ? "a positive integer" : "an integer of 0 or more");
  lua_pop(L, 1);
  return v;
}

lua_Integer opt_range(lua_State *L, int idx, const char *operation, const char *name,
                      lua_Integer least, lua_Integer most, lua_Integer otherwise) {
  if (!find(L, idx, name)) return otherwise;
  int ok = 0;
  lua_Integer v = lua_tointegerx(L, -1, &ok);
  if (!ok || lua_type(L, -1) != LUA_TNUMBER || v < least || v > most)
    wrong(L, -2, operation, name,
          lua_pushfstring(L, "%I to %I", (LUAI_UACINT)least, (LUAI_UACINT)most));
  lua_pop(L, 1);
  return v;
}

int opt_flag(lua_State *L, int idx, const char *operation, const char *name, int otherwise) {
  if (!find(L, idx, name)) return otherwise;
  if (!lua_isboolean(L, -1)) wrong(L, -1, operation, name, "a boolean");
  int v = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return v;
}

const char *opt_string(lua_State *L, int idx, const char *operation, const char *name,
                       size_t *len) {
  if (!find(L, idx, name)) return NULL;
  if (lua_type(L, -1) != LUA_TSTRING) wrong(L, -1, operation, name, "a string");
  const char *s = lua_tolstring(L, -1, len);
  lua_pop(L, 1);
  return s;
}

double opt_duration(lua_State *L, int idx) {
  double s = arg_number(L, idx);
  arg_check(L, !isnan(s), idx, "seconds must not be NaN");
  return s;
}
