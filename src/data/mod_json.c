// SPDX-License-Identifier: MIT
// corun.json: encode, decode, lines, array, null. Owns the metatable that marks arrays. Runs on the
// thread of its lua_State; only the iterator of `lines` suspends, in what it reads its lines from.
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/options.h"
#include "data/json.h"
#include "data/mods.h"

// Upvalues of the iterators.
enum { UP_NULL = 1, UP_LINE, UP_TEXT, UP_PLACE, UP_NEXT = UP_TEXT, UP_STATE, UP_CONTROL };

// Push the error about a faulty text.
static void push_error(lua_State *L, const json_fault *fault, const char *before) {
  lua_Integer place = (lua_Integer)fault->offset + 1;
  err_push(L, "EJSON", "decode", NULL, "%s%s at byte %I", before, fault->reason,
           (LUAI_UACINT)place);
  lua_pushinteger(L, place);
  lua_setfield(L, -2, "offset");
}

// The index of the option `null`, pushed; 0 when it is absent.
static int null_option(lua_State *L, int idx, const char *operation) {
  static const char *const names[] = {"null", NULL};
  if (!opt_check(L, idx, operation, names) || lua_getfield(L, idx, "null") == LUA_TNIL) return 0;
  return lua_gettop(L);
}

static int l_decode(lua_State *L) {
  size_t len;
  json_fault fault;
  arg_type(L, 1, LUA_TSTRING);
  const char *text = lua_tolstring(L, 1, &len);
  int null = lua_isnoneornil(L, 2) ? 0 : null_option(L, 2, "json.decode");
  if (json_decode(L, text, len, null, &fault)) return 1;
  lua_pushnil(L);
  push_error(L, &fault, "");
  return 2;
}

static int l_encode(lua_State *L) {
  static const char *const names[] = {"pretty", "sort", NULL};
  json_style style = {0, 0};
  arg_any(L, 1);
  if (opt_check(L, 2, "json.encode", names)) {
    style.pretty = opt_flag(L, 2, "json.encode", "pretty", 0);
    style.sort = opt_flag(L, 2, "json.encode", "sort", 0);
  }
  if (json_encode(L, 1, &style)) return 1;
  return err_raise(L, "EJSON", NULL, NULL, "%s", lua_tostring(L, -1));
}

static int l_array(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  arg_type(L, 1, LUA_TTABLE);
  luaL_getmetatable(L, JSON_ARRAY_MT);
  if (lua_getmetatable(L, 1)) {
    if (!lua_rawequal(L, -1, -2))
      err_misuse(L, "json.array cannot mark a table that has a metatable");
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}

// --- lines ---------------------------------------------------------------------------------------

static int is_blank(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!s[i] || !strchr(" \t\r\n", s[i])) return 0;
  return 1;
}

// Push the value of the next line and answer 1, or answer 0 for a blank one; raises for a bad one.
static int decode_line(lua_State *L, const char *line, size_t len) {
  json_fault fault;
  char before[32];
  lua_Integer number = lua_tointeger(L, lua_upvalueindex(UP_LINE)) + 1;
  lua_pushinteger(L, number);
  lua_replace(L, lua_upvalueindex(UP_LINE));
  if (is_blank(line, len)) return 0;
  if (json_decode(L, line, len, lua_upvalueindex(UP_NULL), &fault)) return 1;
  snprintf(before, sizeof before, "line %lld: ", (long long)number);
  push_error(L, &fault, before);
  lua_pushinteger(L, number);
  lua_setfield(L, -2, "line");
  return lua_error(L);
}

static int on_next_in_text(lua_State *L) {
  size_t len, place = (size_t)lua_tointeger(L, lua_upvalueindex(UP_PLACE));
  const char *text = lua_tolstring(L, lua_upvalueindex(UP_TEXT), &len);
  lua_settop(L, 0);
  while (place < len) {
    const char *line = text + place, *end = memchr(line, '\n', len - place);
    size_t n = end ? (size_t)(end - line) : len - place;
    place += n + (end != NULL);
    lua_pushinteger(L, (lua_Integer)place);
    lua_replace(L, lua_upvalueindex(UP_PLACE));
    if (decode_line(L, line, n)) return 1;
  }
  return 0;
}

// Also the continuation after a suspension in the iterator that the lines come from.
static int on_line(lua_State *L, int status, lua_KContext called) {
  (void)status;
  for (;; called = 0) {
    if (!called) {
      lua_settop(L, 0);
      lua_pushvalue(L, lua_upvalueindex(UP_NEXT));
      lua_pushvalue(L, lua_upvalueindex(UP_STATE));
      lua_pushvalue(L, lua_upvalueindex(UP_CONTROL));
      lua_callk(L, 2, 2, 1, on_line);
    }
    if (lua_isnil(L, 1)) {  // an iterator ends with nil alone
      if (lua_isnil(L, 2)) return 1;
      return lua_error(L);
    }
    if (lua_type(L, 1) != LUA_TSTRING)
      return err_misuse(L, "json.lines needs lines that are strings, got %s", luaL_typename(L, 1));
    lua_pushvalue(L, 1);
    lua_replace(L, lua_upvalueindex(UP_CONTROL));
    size_t len;
    const char *line = lua_tolstring(L, 1, &len);
    if (decode_line(L, line, len)) return 1;
  }
}

static int on_next_line(lua_State *L) {
  return on_line(L, LUA_OK, 0);
}

// The iterator's function, state, control and closing value are on top of the stack.
static int push_iterator(lua_State *L, int status, lua_KContext null) {
  (void)status;
  int first = lua_gettop(L) - 3;
  if (null)
    lua_pushvalue(L, (int)null);
  else
    lua_pushlightuserdata(L, NULL);
  lua_pushinteger(L, 0);
  for (int i = 0; i < 3; i++) lua_pushvalue(L, first + i);
  lua_pushcclosure(L, on_next_line, 5);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, first + 3);
  return 4;
}

static int lines_of_text(lua_State *L, int null) {
  if (null)
    lua_pushvalue(L, null);
  else
    lua_pushlightuserdata(L, NULL);
  lua_pushinteger(L, 0);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, on_next_in_text, 4);
  return 1;
}

static int l_lines(lua_State *L) {
  int type = lua_type(L, 1);
  if (type == LUA_TFUNCTION) {  // then what follows belongs to it, as in a `for`
    lua_settop(L, 4);
    return push_iterator(L, LUA_OK, 0);
  }
  if (type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TUSERDATA)
    return arg_type_error(L, 1, "string, stream or function");
  int null = null_option(L, 2, "json.lines");
  if (type == LUA_TSTRING) return lines_of_text(L, null);
  if (lua_getfield(L, 1, "lines") != LUA_TFUNCTION)
    return arg_error(L, 1, "it has no method 'lines'");
  lua_pushvalue(L, 1);
  lua_callk(L, 1, 4, null, push_iterator);
  return push_iterator(L, LUA_OK, null);
}

int luaopen_corun_json(lua_State *L) {
  static const luaL_Reg functions[] = {{"encode", l_encode},
                                       {"decode", l_decode},
                                       {"lines", l_lines},
                                       {"array", l_array},
                                       {NULL, NULL}};
  if (luaL_newmetatable(L, JSON_ARRAY_MT)) {
    lua_pushliteral(L, "json.array");
    lua_setfield(L, -2, "__name");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
