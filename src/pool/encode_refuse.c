// SPDX-License-Identifier: MIT
// The sentence that says what cannot cross, and where it is. Only the object in which each object
// was first met is known; the steps between are looked up now, which nobody waits for.
#include <lauxlib.h>
#include <stdio.h>

#include "core/error.h"
#include "pool/encode.h"

#define SHOWN_PATH 12  // steps of a path that are printed from its beginning
#define SHOWN_KEY 64   // bytes of a key

static int is_name(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char c = s[i], lower = (char)(c | 0x20);
    if (c != '_' && (lower < 'a' || lower > 'z') && (i == 0 || c < '0' || c > '9')) return 0;
  }
  return n > 0;
}

static void add_string_key(luaL_Buffer *b, const char *s, size_t len) {
  char text[SHOWN_KEY];
  size_t n = len < SHOWN_KEY ? len : SHOWN_KEY;
  for (size_t i = 0; i < n; i++) text[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7F ? '?' : s[i];
  int name = is_name(s, len);
  luaL_addstring(b, name ? "." : "[\"");
  luaL_addlstring(b, text, n);
  if (n < len) luaL_addstring(b, "...");
  if (!name) luaL_addstring(b, "\"]");
}

// Push the step to a value under the key at `key`.
static void push_key(lua_State *L, int key) {
  luaL_Buffer b;
  char text[64];
  size_t n;
  key = lua_absindex(L, key);
  if (lua_type(L, key) == LUA_TSTRING) {
    const char *s = lua_tolstring(L, key, &n);
    luaL_buffinit(L, &b);
    add_string_key(&b, s, n);
    luaL_pushresult(&b);
    return;
  }
  if (lua_isinteger(L, key))
    snprintf(text, sizeof text, "[" LUA_INTEGER_FMT "]", lua_tointeger(L, key));
  else if (lua_isnumber(L, key))
    snprintf(text, sizeof text, "[" LUA_NUMBER_FMT "]", lua_tonumber(L, key));
  else if (lua_isboolean(L, key))
    snprintf(text, sizeof text, "[%s]", lua_toboolean(L, key) ? "true" : "false");
  else
    snprintf(text, sizeof text, "[%s]", luaL_typename(L, key));
  lua_pushstring(L, text);
}

static void push_upvalue(lua_State *L, const char *name) {
  lua_pushfstring(L, "(upvalue %s)", name && *name ? name : "?");
}

// Push the step from the object on top of the stack to the one below it.
static void push_step(lua_State *L) {
  int object = lua_gettop(L), wanted = object - 1;
  const char *name;
  if (lua_isfunction(L, object)) {
    for (int i = 1; (name = lua_getupvalue(L, object, i)); i++) {
      if (lua_rawequal(L, -1, wanted)) {
        push_upvalue(L, name);
        return;
      }
      lua_pop(L, 1);
    }
  }
  for (lua_pushnil(L); lua_istable(L, object) && lua_next(L, object); lua_pop(L, 1)) {
    if (lua_rawequal(L, -1, wanted)) {
      push_key(L, -2);
      return;
    }
    if (lua_rawequal(L, -2, wanted)) {
      lua_pushliteral(L, "(key)");
      return;
    }
  }
  lua_pushliteral(L, "[?]");  // a finaliser has taken it out by now
}

// Push the text of the path to the object `at`, and the number of the argument it begins at.
static int push_path(writer *w, int32_t at) {
  lua_State *L = w->L;
  const int32_t *parents = w->c->parents;
  int32_t shown[SHOWN_PATH];
  size_t depth = 0;
  int32_t each = at;
  for (; each >= 0; each = parents[each]) shown[depth++ % SHOWN_PATH] = each;
  int argument = (int)-each;
  lua_pushliteral(L, "");
  // The argument's own object is shown last; from there the path goes down.
  size_t steps = depth > SHOWN_PATH ? SHOWN_PATH : depth;
  for (size_t i = 1; i < steps; i++) {
    int top = lua_gettop(L);
    lua_rawgeti(L, w->queue_at, (lua_Integer)shown[(depth - 1 - i) % SHOWN_PATH] + 1);
    lua_rawgeti(L, w->queue_at, (lua_Integer)shown[(depth - i) % SHOWN_PATH] + 1);
    push_step(L);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    lua_concat(L, 2);
  }
  if (depth > steps) {
    lua_pushliteral(L, "...");
    lua_concat(L, 2);
  }
  return argument;
}

// Push " (name)" of what the metatable of the value at `idx` calls it, or an empty string.
static void push_kind(lua_State *L, int idx) {
  int top = lua_gettop(L);
  if (!lua_getmetatable(L, idx)) {
    lua_pushliteral(L, "");
    return;
  }
  lua_pushliteral(L, "__name");
  lua_rawget(L, -2);
  if (lua_type(L, -1) == LUA_TSTRING)
    lua_pushfstring(L, " (%s)", err_escaped(L, -1));
  else
    lua_pushliteral(L, "");
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

int writer_refuse(writer *w, const char *what) {
  lua_State *L = w->L;
  int value = lua_gettop(L);
  const char *name = NULL;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (w->at < 0) w->step = STEP_SELF;
  if (w->step == STEP_UPVALUE) {
    lua_rawgeti(L, w->queue_at, (lua_Integer)w->at + 1);
    name = lua_getupvalue(L, -1, w->upvalue);
    push_upvalue(L, name);
  } else if (w->step == STEP_KEY) {
    lua_pushliteral(L, "(key)");
  } else if (w->step == STEP_VALUE) {
    push_key(L, value - 1);
  } else {
    lua_pushliteral(L, "");
  }
  int step = lua_gettop(L);
  push_kind(L, value);
  int argument = push_path(w, w->at);
  const char *kind = lua_tostring(L, step + 1), *path = lua_tostring(L, -1),
             *last = lua_tostring(L, step);
  lua_pushfstring(L, "cannot transfer %s%s%s at %s %d%s%s%s", what, kind,
                  w->flags == MESSAGE_NO_SHARED ? " to another process" : "", w->what,
                  argument - w->m->hidden, *path || *last ? " " : "", path, last);
  return -1;
}
