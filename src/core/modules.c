// SPDX-License-Identifier: MIT
// Modules that are part of the program. See modules.h.
#include "core/modules.h"

#include <string.h>

#include "core/args.h"
#include "core/bundle.h"
#include "core/embedded.h"
#include "core/runtime.h"

#define KEPT "corun.modules"

void modules_push_loaded(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, KEPT);
}

// Upvalue 1: the module's own loader.
static int load_once(lua_State *L) {
  lua_settop(L, 2);
  modules_push_loaded(L);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 3) != LUA_TNIL) return 1;
  lua_pop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 1);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  lua_rawset(L, 3);
  return 1;
}

// Push the loader of a module, or nothing; answer whether it was found.
static int find(lua_State *L, const char *name, const luaL_Reg *modules) {
  for (const luaL_Reg *m = modules; m->name; m++) {
    if (strcmp(name, m->name) != 0) continue;
    lua_pushcfunction(L, m->func);
    return 1;
  }
  for (const struct embedded *e = corun_embedded; e->name; e++) {
    if (strcmp(name, e->name) != 0) continue;
    if (luaL_loadbufferx(L, (const char *)e->data, e->size, name, "b") != LUA_OK) lua_error(L);
    return 1;
  }
  return 0;
}

int modules_push_appended(lua_State *L, const char *name) {
  bundle_entry e;
  const bundle *b = rt_of(L)->opts.bundle;
  if (!b || !bundle_find(b, name, &e)) return 0;
  const char *chunk = lua_pushlstring(L, e.chunk.data, e.chunk.size);
  if (luaL_loadbufferx(L, e.source.data, e.source.size, chunk, "t") != LUA_OK) lua_error(L);
  lua_remove(L, -2);
  return 1;
}

// Upvalue 1: the modules of C; upvalue 2: Lua's own searcher of package.preload, which goes first.
static int search(lua_State *L) {
  const char *name = arg_string(L, 1);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, 1);
  lua_call(L, 1, LUA_MULTRET);
  if (lua_isfunction(L, 2)) return lua_gettop(L) - 1;
  if (find(L, name, lua_touserdata(L, lua_upvalueindex(1)))) {
    lua_pushcclosure(L, load_once, 1);
    lua_pushliteral(L, ":corun:");
  } else if (*name && modules_push_appended(L, name)) {
    lua_pushliteral(L, ":app:");
  } else {
    return lua_gettop(L) - 1;
  }
  return 2;
}

void modules_open(lua_State *L, const luaL_Reg *modules) {
  rt_of(L)->modules = modules;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_pushlightuserdata(L, (void *)(uintptr_t)modules);
  lua_rawgeti(L, -2, 1);
  lua_pushcclosure(L, search, 2);
  lua_rawseti(L, -2, 1);
  lua_pop(L, 2);
}
