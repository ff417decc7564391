// SPDX-License-Identifier: MIT
// The program's file. See program.h.
#include "core/program.h"

#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
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

// Make the folder of a file's path. Answers whether it has one.
static int cut_name(char *path) {
  char *name = strrchr(path, '/');
  if (name) *name = '\0';
  return name != NULL;
}

// Find the folder of the program. Answers whether there is one that can stand in a path of Lua's.
static int find_folder(char path[PROGRAM_PATH_MAX]) {
  size_t size = PROGRAM_PATH_MAX;
  return uv_exepath(path, &size) == 0 && !strpbrk(path, ";?") && cut_name(path);
}

// Make PREFIX of PREFIX and `end`. Answers whether it was that.
static int cut(char *folder, const char *end) {
  size_t n = strlen(folder), n_end = strlen(end);
  if (n < n_end || strcmp(folder + n - n_end, end) != 0) return 0;
  folder[n - n_end] = '\0';
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

// The folder has become a prefix, or is that of a build tree.
static void add_all(lua_State *L, const char *folder, int is_prefix) {
  lua_getglobal(L, "package");
  if (is_prefix) {
    add_trees(L, folder);
    add_last(L, folder, "/" CORUN_LIBDIR "/corun");
  } else {
    add_last(L, folder, "/ext");
  }
  lua_pop(L, 1);
}

void program_add_trees(lua_State *L) {
  char folder[PROGRAM_PATH_MAX];
  if (!find_folder(folder)) return;
  int is_prefix = cut(folder, "/bin");
  add_all(L, folder, is_prefix);
}

void program_add_library_trees(lua_State *L) {
  Dl_info own;
  char path[PATH_MAX];
  if (!dladdr((void *)(uintptr_t)program_add_library_trees, &own) || !own.dli_fname) return;
  if (!realpath(own.dli_fname, path) || strpbrk(path, ";?") || !cut_name(path)) return;
  int is_prefix = cut(path, "/" CORUN_LIBDIR);
  add_all(L, path, is_prefix);
}
