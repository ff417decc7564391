// SPDX-License-Identifier: MIT
// The program's file. See program.h.
#include "core/program.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define TREE "/lua/" LUA_VERSION_MAJOR "." LUA_VERSION_MINOR

int program_path(char path[PROGRAM_PATH_MAX]) {
#ifdef __linux__
  strcpy(path, "/proc/self/exe");  // also when the file was moved or replaced
  return 0;
#else
  size_t size = PROGRAM_PATH_MAX;
  int rc = uv_exepath(path, &size);
  errno = rc < 0 ? -rc : 0;
  return rc < 0 ? -1 : 0;
#endif
}

// Find PREFIX of PREFIX/bin/NAME. Answers whether there is one that can stand in a path of Lua's.
static int find_prefix(char path[PROGRAM_PATH_MAX]) {
  size_t size = PROGRAM_PATH_MAX;
  if (uv_exepath(path, &size) < 0 || strpbrk(path, ";?")) return 0;
  char *name = strrchr(path, '/');
  if (!name || name - path < 5 || memcmp(name - 4, "/bin", 4) != 0) return 0;
  name[-4] = '\0';
  return 1;
}

// Put the templates, each ended by a semicolon, before the standard ones in a field of the table on
// top of the stack, unless these are among them.
static void add(lua_State *L, const char *field, const char *standard, const char *templates) {
  lua_getfield(L, -1, field);
  const char *path = lua_tostring(L, -1);
  const char *at = path && !strstr(standard, templates) ? strstr(path, standard) : NULL;
  if (at) {
    lua_pushlstring(L, path, (size_t)(at - path));
    lua_pushstring(L, templates);
    lua_pushstring(L, at);
    lua_concat(L, 3);
    lua_setfield(L, -3, field);
  }
  lua_pop(L, 1);
}

void program_add_trees(lua_State *L) {
  char prefix[PROGRAM_PATH_MAX];
  if (!find_prefix(prefix)) return;
  lua_getglobal(L, "package");
  const char *share = lua_pushfstring(L, "%s/share" TREE "/?.lua;", prefix);
  const char *both = lua_pushfstring(L, "%s%s/share" TREE "/?/init.lua;", share, prefix);
  const char *lib = lua_pushfstring(L, "%s/" CORUN_LIBDIR TREE "/?.so;", prefix);
  lua_pushvalue(L, -4);
  add(L, "path", LUA_PATH_DEFAULT, both);
  add(L, "cpath", LUA_CPATH_DEFAULT, lib);
  lua_pop(L, 5);
}
