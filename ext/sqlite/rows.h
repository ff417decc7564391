// SPDX-License-Identifier: MIT
// Rows on their way from the thread to the loop: one buffer for many rows, in which each value is a
// byte for its type and then its bytes.
#ifndef ROWS_H
#define ROWS_H

#include <corun.h>
#include <sqlite3.h>
#include <stddef.h>

#include "statement.h"

typedef struct rows {
  char *p;  // `small` or on the heap
  size_t used, size, at;
  int n;  // rows that were not read yet
  char small[160];
} rows;

void rows_init(rows *r);
void rows_fini(rows *r);

// Forget what is in it.
void rows_clear(rows *r);

// Append the row that the statement stands at. [thread] Answers 0 when there is no memory.
int rows_add(rows *r, sqlite3_stmt *s, int columns);

// Push the next row, as a table by the names at the index `names` of the stack. [loop]
void rows_push(lua_State *L, rows *r, int names, int columns);

// Push the first value of the next row. [loop]
void rows_push_first(lua_State *L, rows *r);

// Push the table of names for the shape, which is kept in the table at `shapes`. [loop]
void rows_push_names(lua_State *L, int shapes, const shape *columns);

#endif
