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

// Find the folder of the program. Answers whether there is one that can stand in a path of Lua's.
static int find_folder(char path[PROGRAM_PATH_MAX]) {
  size_t size = PROGRAM_PATH_MAX;
  if (uv_exepath(path, &size) < 0 || strpbrk(path, ";?")) return 0;
  char *name = strrchr(path, '/');
  if (!name) return 0;
  *name = '\0';
  return 1;
}

// Make PREFIX of PREFIX/bin. Answers whether it was that.
static int cut_bin(char *folder) {
  char *name = strrchr(folder, '/');
  if (!name || strcmp(name, "/bin") != 0) return 0;
  *name = '\0';
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

// Put the trees of the prefix before the standard ones in the paths of the table on top of the
// stack.
static void add_trees(lua_State *L, const char *prefix) {
  add(L, "path", LUA_PATH_DEFAULT, prefix, "/share" TREE "/?.lua");
  add(L, "path", LUA_PATH_DEFAULT, prefix, "/share" TREE "/?/init.lua");
  add(L, "cpath", LUA_CPATH_DEFAULT, prefix, "/" CORUN_LIBDIR TREE "/?.so");
  if (strcmp(CORUN_LIBDIR, "lib") != 0)
    add(L, "cpath", LUA_CPATH_DEFAULT, prefix, "/lib" TREE "/?.so");
}

// Put a folder of modules of C behind all others in package.cpath; the table is on top of the
// stack.
static void add_last(lua_State *L, const char *prefix, const char *folder) {
  lua_getfield(L, -1, "cpath");
  const char *path = lua_tostring(L, -1);
  if (path) {
    lua_pushfstring(L, "%s%s%s%s/?.so", path, *path ? ";" : "", prefix, folder);
    lua_setfield(L, -3, "cpath");
  }
  lua_pop(L, 1);
}

void program_add_trees(lua_State *L) {
  char folder[PROGRAM_PATH_MAX];
  if (!find_folder(folder)) return;
  lua_getglobal(L, "package");
  if (cut_bin(folder)) {
    add_trees(L, folder);
    add_last(L, folder, "/" CORUN_LIBDIR "/corun");
  } else {  // as in a build tree
    add_last(L, folder, "/ext");
  }
  lua_pop(L, 1);
}
