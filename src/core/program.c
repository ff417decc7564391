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

// Put a template below the prefix before the standard ones in a field of the table on top of the
// stack, unless it is among them.
static void add(lua_State *L, const char *field, const char *standard, const char *prefix,
                const char *template) {
  int top = lua_gettop(L);
  const char *added = lua_pushfstring(L, "%s%s;", prefix, template);
  lua_getfield(L, top, field);
  const char *path = lua_tostring(L, -1);
  const char *at = path && !strstr(standard, added) ? strstr(path, standard) : NULL;
  if (at) {
    lua_pushlstring(L, path, (size_t)(at - path));
    lua_pushfstring(L, "%s%s", added, at);
    lua_concat(L, 2);
    lua_setfield(L, top, field);
  }
  lua_settop(L, top);
}

void program_add_trees(lua_State *L) {
  char prefix[PROGRAM_PATH_MAX];
  if (!find_prefix(prefix)) return;
  lua_getglobal(L, "package");
  add(L, "path", LUA_PATH_DEFAULT, prefix, "/share" TREE "/?.lua");
  add(L, "path", LUA_PATH_DEFAULT, prefix, "/share" TREE "/?/init.lua");
  add(L, "cpath", LUA_CPATH_DEFAULT, prefix, "/" CORUN_LIBDIR TREE "/?.so");
  if (strcmp(CORUN_LIBDIR, "lib") != 0)
    add(L, "cpath", LUA_CPATH_DEFAULT, prefix, "/lib" TREE "/?.so");
  lua_pop(L, 1);
}
