// SPDX-License-Identifier: MIT
// Arguments of functions bound in C. See args.h.
#include "core/args.h"

#include <lauxlib.h>
#include <string.h>

#include "core/error.h"

// --- The name of the function that runs ------------------------------------------------------

// Push the key under which the table on top of the stack, which is popped, has the function at
// `fn`; answer whether it has it, else nothing is pushed.
static int find_key(lua_State *L, int fn) {
  int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (!lua_rawequal(L, -1, fn) || lua_type(L, -2) != LUA_TSTRING) continue;
    lua_pop(L, 1);
    lua_remove(L, table);
    return 1;
  }
  lua_pop(L, 1);
  return 0;
}

// The same for the methods of the class whose metatable is on top of the stack: its __index, or
// the upvalue of that.
static int find_method(lua_State *L, int fn) {
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1)) lua_remove(L, -2);
    if (lua_istable(L, -1)) return find_key(L, fn);
  }
  lua_pop(L, 1);
  return 0;
}

// Whether a module is one of corun's that scripts use; the names in corun.netcore and its like are
// none of theirs.
static int is_public(const char *name) {
  size_t len = strlen(name);
  return strncmp(name, "corun", 5) == 0 && strcmp(name + len - 4, "core") != 0;
}

// Push the name that a module has for the function.
static int find_in_modules(lua_State *L, int fn) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE) == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
      const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
      if (!is_public(name) || !lua_istable(L, -1)) continue;
      lua_pushvalue(L, -1);
      if (find_key(L, fn)) return 1;
    }
  }
  return 0;
}

// Push the name that any class has for the function: those of corun.sync are in its upvalue, the
// others in the registry.
static int find_in_classes(lua_State *L, int fn) {
  if (lua_getupvalue(L, fn, 1) && find_method(L, fn)) return 1;
  lua_pushvalue(L, LUA_REGISTRYINDEX);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    lua_pushvalue(L, -1);
    if (find_method(L, fn)) return 1;
  }
  return 0;
}

// Push the name of the running function; answer whether it is a method, whose first argument is
// its self. `has_self` says whether the first argument is known to be an object.
static int push_name(lua_State *L, int has_self) {
  lua_Debug ar;
  lua_getstack(L, 0, &ar);
  lua_getinfo(L, "nf", &ar);
  int fn = lua_gettop(L), is_object = has_self && lua_isuserdata(L, 1) && lua_getmetatable(L, 1);
  if (is_object && find_method(L, fn)) return 1;
  if (find_in_modules(L, fn)) return 0;
  if (find_in_classes(L, fn)) return 1;
  lua_pushstring(L, ar.name ? ar.name : "?");
  return is_object;  // such as the C part of a method
}

// --- What is wrong ---------------------------------------------------------------------------

int arg_error(lua_State *L, int idx, const char *why) {
  luaL_checkstack(L, 16, NULL);
  int n = idx - push_name(L, idx > 1);
  const char *name = lua_tostring(L, -1);
  if (n == 0) return err_misuse(L, "calling '%s' on bad self (%s)", name, why);
  return err_misuse(L, "bad argument #%d to '%s' (%s)", n, name, why);
}

// Push what was expected and what came.
static const char *push_mismatch(lua_State *L, int idx, const char *expected) {
  idx = lua_absindex(L, idx);
  const char *got = luaL_typename(L, idx);
  if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING)
    got = lua_tostring(L, -1);
  else if (lua_type(L, idx) == LUA_TLIGHTUSERDATA)
    got = "light userdata";
  return lua_pushfstring(L, "%s expected, got %s", expected, got);
}

int arg_type_error(lua_State *L, int idx, const char *expected) {
  return arg_error(L, idx, push_mismatch(L, idx, expected));
}

int arg_self_error(lua_State *L, const char *name, const char *expected) {
  return err_misuse(L, "calling '%s' on bad self (%s)", name, push_mismatch(L, 1, expected));
}

static int refuse_number(lua_State *L, int idx) {
  if (!lua_isnumber(L, idx)) return arg_type_error(L, idx, "number");
  return arg_error(L, idx, "number has no integer representation");
}

// --- Arguments -------------------------------------------------------------------------------

lua_Integer arg_integer(lua_State *L, int idx) {
  int ok;
  lua_Integer n = lua_tointegerx(L, idx, &ok);
  if (!ok) refuse_number(L, idx);
  return n;
}

lua_Integer arg_count(lua_State *L, int idx, lua_Integer least) {
  lua_Integer n = arg_integer(L, idx);
  if (n < least)
    arg_error(
      L, idx,
      lua_pushfstring(L, "%s expected, got %I", least ? "a positive integer" : "0 or more", n));
  return n;
}

lua_Number arg_number(lua_State *L, int idx) {
  int ok;
  lua_Number n = lua_tonumberx(L, idx, &ok);
  if (!ok) refuse_number(L, idx);
  return n;
}

const char *arg_lstring(lua_State *L, int idx, size_t *len) {
  const char *s = lua_tolstring(L, idx, len);
  if (!s) arg_type_error(L, idx, "string");
  return s;
}

const char *arg_string(lua_State *L, int idx) {
  return arg_lstring(L, idx, NULL);
}

void arg_type(lua_State *L, int idx, int type) {
  if (lua_type(L, idx) != type) arg_type_error(L, idx, lua_typename(L, type));
}

void arg_any(lua_State *L, int idx) {
  if (lua_isnone(L, idx)) arg_error(L, idx, "value expected");
}

void *arg_object(lua_State *L, int idx, const char *class) {
  void *p = luaL_testudata(L, idx, class);
  if (p) return p;
  luaL_getmetatable(L, class);
  lua_getfield(L, -1, "__name");
  const char *name = lua_tostring(L, -1);  // the metatable keeps it
  lua_pop(L, 2);
  arg_type_error(L, idx, name);
  return NULL;
}

int arg_option(lua_State *L, int idx, const char *otherwise, const char *const *words) {
  int is_absent = otherwise && lua_isnoneornil(L, idx);
  const char *word = is_absent ? otherwise : arg_string(L, idx);
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], word) == 0) return i;
  return arg_error(L, idx, lua_pushfstring(L, "invalid option '%s'", word));
}

lua_Integer arg_opt_integer(lua_State *L, int idx, lua_Integer otherwise) {
  return lua_isnoneornil(L, idx) ? otherwise : arg_integer(L, idx);
}

lua_Number arg_opt_number(lua_State *L, int idx, lua_Number otherwise) {
  return lua_isnoneornil(L, idx) ? otherwise : arg_number(L, idx);
}

const char *arg_opt_string(lua_State *L, int idx, const char *otherwise) {
  return lua_isnoneornil(L, idx) ? otherwise : arg_string(L, idx);
}
