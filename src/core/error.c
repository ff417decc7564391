// SPDX-License-Identifier: MIT
// Error objects. See error.h.
#include "core/error.h"

#include <ctype.h>
#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "core/args.h"

#define EMBEDDED "=[corun"

// libuv knows the error numbers that it uses itself (EDQUOT is none). Of each other it makes a
// text, which nobody could free.
static int is_known(int rc) {
  char name[32];
  return strncmp(uv_err_name_r(rc, name, sizeof name), "Unknown ", 8) != 0;
}

// What the system itself says of them; NULL where that cannot be asked.
static const char *system_text(int rc, int is_name) {
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 32)
  if (rc < 0 && rc > -4096) return is_name ? strerrorname_np(-rc) : strerrordesc_np(-rc);
#endif
#endif
  (void)rc;
  (void)is_name;
  return NULL;
}

const char *err_code_of(int rc) {
  const char *name = is_known(rc) ? uv_err_name(rc) : system_text(rc, 1);
  return name ? name : "EUNKNOWN";
}

static const char *text_of(int rc) {
  return is_known(rc) ? uv_strerror(rc) : system_text(rc, 0);
}

// Push a text for the number, in small letters as libuv has them.
static void push_reason(lua_State *L, int rc) {
  const char *text = text_of(rc);
  if (text)
    lua_pushfstring(L, "%c%s", tolower((unsigned char)*text), text + 1);
  else
    lua_pushfstring(L, "error number %d", rc);
}

const char *err_reason_of(int rc) {
  const char *text = text_of(rc);
  return text ? text : "unknown error";
}

int err_is_embedded(const char *source) {
  return strncmp(source, EMBEDDED, sizeof EMBEDDED - 1) == 0;
}

void err_where(lua_State *L) {
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline > 0 && !err_is_embedded(ar.source)) {
      lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

int err_misuse(lua_State *L, const char *fmt, ...) {
  va_list ap;
  err_where(L);
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  lua_concat(L, 2);
  return lua_error(L);
}

const char *err_escaped(lua_State *L, int idx) {
  size_t n;
  const char *p = luaL_tolstring(L, idx, &n);
  if (!memchr(p, 0, n)) return p;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < n; i++) {
    if (p[i])
      luaL_addchar(&b, p[i]);
    else
      luaL_addstring(&b, "\\0");
  }
  luaL_pushresult(&b);
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

const char *err_show(lua_State *L, int idx) {
  lua_Number n = lua_tonumber(L, idx);
  switch (lua_type(L, idx)) {
    case LUA_TNUMBER:  // the C library writes "-nan" or "nan", as the sign bit happens to be
      return isnan(n) ? lua_pushliteral(L, "NaN") : luaL_tolstring(L, idx, NULL);
    case LUA_TSTRING:
      lua_pushfstring(L, "\"%s\"", err_escaped(L, idx));
      lua_remove(L, -2);
      return lua_tostring(L, -1);
    default: return lua_pushstring(L, luaL_typename(L, idx));
  }
}

static int is_retryable(const char *code) {
  static const char *const codes[] = {"ECONNREFUSED", "ECONNRESET",  "ECONNABORTED",
                                      "ETIMEDOUT",    "EPIPE",       "EAI_AGAIN",
                                      "EHOSTUNREACH", "ENETUNREACH", NULL};
  for (const char *const *c = codes; *c; c++)
    if (strcmp(code, *c) == 0) return 1;
  return 0;
}

static void set(lua_State *L, const char *key, const char *value) {
  if (!value) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

// Make the object from the message on top of the stack, which is replaced by it.
static void make(lua_State *L, const char *code, const char *op, const char *target) {
  lua_createtable(L, 0, 4);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  set(L, "code", code);
  set(L, "op", op);
  set(L, "target", target);
  if (is_retryable(code)) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "retryable");
  }
  luaL_setmetatable(L, ERR_MT);
}

void err_push(lua_State *L, const char *code, const char *op, const char *target, const char *fmt,
              ...) {
  va_list ap;
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  make(L, code, op, target);
}

_Noreturn void err_no_memory(lua_State *L) {
  lua_pushliteral(L, "not enough memory");
  lua_error(L);
  __builtin_unreachable();
}

int err_return(lua_State *L, const char *code, const char *op, const char *target, const char *fmt,
               ...) {
  va_list ap;
  lua_pushnil(L);
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  make(L, code, op, target);
  return 2;
}

void err_push_uv(lua_State *L, int rc, const char *op, const char *target) {
  push_reason(L, rc);
  make(L, err_code_of(rc), op, target);
}

int err_return_uv(lua_State *L, int rc, const char *op, const char *target) {
  lua_pushnil(L);
  err_push_uv(L, rc, op, target);
  return 2;
}

int err_raise(lua_State *L, const char *code, const char *op, const char *target, const char *fmt,
              ...) {
  va_list ap;
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  make(L, code, op, target);
  err_where(L);
  lua_setfield(L, -2, "where");
  return lua_error(L);
}

int err_raise_closed(lua_State *L, const char *op, const char *target, const char *what,
                     const char *site, int by_scope) {
  if (!site) return err_raise(L, "ECLOSED", op, target, "the %s is closed", what);
  return err_raise(L, "ECLOSED", op, target, "the %s was closed at %s%s", what, site,
                   by_scope ? ", where its <close> variable went out of scope; wait for the tasks "
                              "that use it in a corun.scope first"
                            : "");
}

static int has_metatable(lua_State *L, int idx, const char *name) {
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx)) return 0;
  luaL_getmetatable(L, name);
  int same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

int err_is_cancel(lua_State *L, int idx) {
  return has_metatable(L, idx, ERR_CANCEL_MT);
}

int err_is(lua_State *L, int idx) {
  return has_metatable(L, idx, ERR_MT) || err_is_cancel(L, idx);
}

void err_push_cancel(lua_State *L, unsigned long long id, const char *message) {
  lua_createtable(L, 0, 3);
  set(L, "code", "ECANCELED");
  set(L, "message", message);
  lua_pushinteger(L, (lua_Integer)id);
  lua_setfield(L, -2, "scope");
  luaL_setmetatable(L, ERR_CANCEL_MT);
}

unsigned long long err_cancel_scope(lua_State *L, int idx) {
  if (!err_is_cancel(L, idx)) return 0;
  lua_getfield(L, idx, "scope");
  unsigned long long id = (unsigned long long)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return id;
}

void err_push_fields(lua_State *L, const char *code, int message, int fields) {
  lua_pushvalue(L, message);
  make(L, code, NULL, NULL);
  if (!fields) return;
  for (lua_pushnil(L); lua_next(L, fields);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

// Push the shallow copy of the error table at `idx`.
static void push_copy(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, idx);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_getmetatable(L, idx);
  lua_setmetatable(L, -2);
}

// Copy what the error at `from` has in `others` already into the table at `to`; answer how many.
static lua_Integer copy_others(lua_State *L, int from, int to) {
  lua_Integer n = 0;
  if (lua_getfield(L, from, "others") == LUA_TTABLE) n = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, to, i);
  }
  lua_pop(L, 1);
  return n;
}

static int l_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

const char *err_push_text(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_pushvalue(L, idx);
  if (lua_isstring(L, -1)) return lua_tostring(L, -1);
  lua_pushcfunction(L, l_text);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return lua_tostring(L, -1);
  lua_pop(L, 1);
  return lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, idx));
}

void err_push_group(lua_State *L, int n, unsigned omitted) {
  if (n == 1 && !omitted) return;
  int first = lua_gettop(L) - n + 1;
  if (err_is(L, first)) {
    push_copy(L, first);
  } else {
    const char *text = err_push_text(L, first);
    err_push(L, "EGROUP", NULL, NULL, "%d tasks failed; the first: %s", (int)(n + (int)omitted),
             text);
    lua_remove(L, -2);
    lua_pushvalue(L, first);
    lua_setfield(L, -2, "cause");
  }
  lua_insert(L, first);
  lua_createtable(L, n - 1, 0);
  lua_insert(L, first + 1);  // error, others, failure 1 .. n
  lua_Integer known = copy_others(L, first, first + 1);
  for (int i = n; i >= 2; i--) lua_rawseti(L, first + 1, known + i - 1);
  lua_pop(L, 1);
  lua_setfield(L, first, "others");
  if (omitted) {
    lua_getfield(L, first, "omitted");  // of the first failure's own group
    lua_pushinteger(L, lua_tointeger(L, -1) + omitted);
    lua_setfield(L, first, "omitted");
    lua_pop(L, 1);
  }
}

// One full sentence: where, what was done to whom, why, and the code.
static int l_tostring(lua_State *L) {
  arg_type(L, 1, LUA_TTABLE);
  static const char *const keys[] = {"where", "op", "target", "message", "code"};
  static const char *const before[] = {"", "", " ", "", " ("}, *const after[] = {"", "", "", "",
                                                                                 ")"};
  lua_settop(L, 1);
  lua_pushliteral(L, "");
  for (int i = 0; i < 5; i++) {
    lua_pushstring(L, keys[i]);
    if (lua_rawget(L, 1) == LUA_TNIL) {
      lua_pop(L, 1);
      continue;
    }
    const char *text = err_escaped(L, -1);
    int colon = i == 3 && (lua_getfield(L, 1, "op"), !lua_isnil(L, -1));
    if (i == 3) lua_pop(L, 1);
    lua_pushfstring(L, "%s%s%s%s%s", lua_tostring(L, 2), colon ? ": " : "", before[i], text,
                    after[i]);
    lua_replace(L, 2);
    lua_settop(L, 2);
  }
  return 1;
}

static int l_concat(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static void register_class(lua_State *L, const char *name, const char *shown) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, l_tostring);
  lua_setfield(L, -2, "__tostring");
  if (CORUN_CONCAT_IS_SAFE) {  // see cmake/deps.cmake
    lua_pushcfunction(L, l_concat);
    lua_setfield(L, -2, "__concat");
  }
  lua_pushstring(L, shown);
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
}

void err_open(lua_State *L) {
  register_class(L, ERR_MT, "corun error");
  register_class(L, ERR_CANCEL_MT, "corun cancellation");
}
