// SPDX-License-Identifier: MIT
// What went wrong: kept by the thread of a connection, told to the script by the loop.
#ifndef FAULT_H
#define FAULT_H

#include <corun.h>
#include <sqlite3.h>

typedef struct fault {
  int code;       // SQLite's extended result code, 0 when there is none
  int is_misuse;  // the script is wrong: raised at its line
  int offset;     // of the token in the text of the statement, -1 when that is not known
  char *message;
} fault;

// Note what the handle says about `rc`. [thread]
void fault_note(fault *f, sqlite3 *db, int rc);

// Note a text of one's own, formatted as by sqlite3_mprintf. [thread]
void fault_say(fault *f, int rc, int is_misuse, const char *fmt, ...);

static inline int fault_is_set(const fault *f) {
  return f->code != 0;
}

void fault_fini(fault *f);

// Push nil and the error, answer 2; raise misuse. `sql` at the index of the stack, 0: none. [loop]
int fault_push(lua_State *L, const fault *f, const char *op, const char *target, int sql);

// Raise the text at the line of the script that called into the module, also through the module's
// own Lua. [loop]
int misuse(lua_State *L, const char *fmt, ...);

// Raise the error object on top of the stack, which tells that line too. [loop]
int raise_error(lua_State *L);

#endif
