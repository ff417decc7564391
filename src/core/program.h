// SPDX-License-Identifier: MIT
// The file of the program that runs, and the trees of modules beside it.
#ifndef CORE_PROGRAM_H
#define CORE_PROGRAM_H

#include <limits.h>
#include <lua.h>

#define PROGRAM_PATH_MAX PATH_MAX

// Store a path by which the program's own file can be opened and executed, also when another took
// its place since. [any] Answers 0, or -1 with errno if the system does not tell.
int program_path(char path[PROGRAM_PATH_MAX]);

// A program that lies in PREFIX/bin looks for modules below PREFIX too, before it looks where any
// Lua does: change package.path and package.cpath, unless LUA_PATH and the like leave the standard
// places out. Last in package.cpath comes the folder of the extensions that were installed or built
// with the program. [loop] Raises on out of memory.
void program_add_trees(lua_State *L);

// The same where this code is in PREFIX/lib/libcorun.so, which other programs use. [loop]
void program_add_library_trees(lua_State *L);

#endif
