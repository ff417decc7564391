// SPDX-License-Identifier: MIT
// Files as scripts see them: the classes of open files, and what the bindings share. Runs on the
// loop thread.
#ifndef SYS_FS_LUA_H
#define SYS_FS_LUA_H

#include <lua.h>
#include <uv.h>

#define FILE_CLASS "corun.file"
#define FIFO_CLASS "corun.fifo"

// The path at `idx`; raises when it is none. [loop]
const char *fs_check_path(lua_State *L, int idx);

// The name of a kind (fs_kind_of). [any]
const char *fs_kind_name(char kind);

// Push what is known of a file as a table. [loop] Raises on out of memory.
void fs_push_stat(lua_State *L, const uv_stat_t *st);

// Register the classes of what is open. [loop] Raises on out of memory.
void fs_open_classes(lua_State *L);

// What is known of a descriptor that was opened.
typedef struct fs_opened {
  int *fd;  // -1 once it was taken
  const char *path;
  int waits;      // it is no file but a pipe or a terminal
  int flags;      // as of open(2)
  unsigned mode;  // what it is
  int is_temp;
} fs_opened;

// Push a file, or a pipe stream, for an open descriptor. Answers 0, or an error and nothing pushed;
// the descriptor is the caller's unless it was taken. [loop] Raises on out of memory.
int fs_push_opened(lua_State *L, const fs_opened *o);

// Push a new watch, whose methods are for corun's own modules. A lua_CFunction. [loop]
int fs_l_watch(lua_State *L);

// Register its class. [loop] Raises on out of memory.
void fs_open_watches(lua_State *L);

#endif
