// SPDX-License-Identifier: MIT
// Output: what a runtime inside another program writes, as files over functions of that program.
// Lua's print, io.stdout and io.stderr, and corun's own messages write to these files, the standard
// streams too (sys/stdio.c). Owned by whoever made the runtime; workers of its pools share it, each
// with files of its own. Invariant: no two threads call the functions at the same time.
#ifndef CORE_OUTPUT_H
#define CORE_OUTPUT_H

#include <lua.h>
#include <pthread.h>
#include <stdio.h>

#include "core/types.h"
#include "corun.h"

typedef struct output {
  pthread_mutex_t lock;
  corun_write out, err;  // NULL: the process's own
  void *ud;
} output;

// Open the runtime's files over its output. [its thread] Answers 0 or UV_ENOMEM.
int output_open(rt *r);

// Close them, with what they still hold. [its thread] Lua must be closed.
void output_close(rt *r);

// Let Lua's libraries, which are open, write to them. [loop] Raises on out of memory.
void output_bind(lua_State *L);

// The file that takes the place of the descriptor 1 or 2; NULL if none does. [loop]
FILE *output_file(const rt *r, int fd);

#endif
