// SPDX-License-Identifier: MIT
// The values for the parameters of a statement: read from the stack by the loop, bound by the
// thread. Texts are not copied: they stay where Lua keeps them while the operation is awaited.
#ifndef PARAMS_H
#define PARAMS_H

#include <corun.h>
#include <sqlite3.h>

#include "fault.h"

#define BLOB_CLASS "corun.sqlite.blob"

typedef struct value {
  int type;          // as in sqlite3_column_type
  const char *name;  // of the parameter; NULL: by position
  union {
    sqlite3_int64 integer;
    double number;
    struct {
      const char *p;
      size_t n;
    } text;
  };
} value;

typedef struct params {
  int n, first;  // how many, and where they begin on the stack
  int is_named;  // a name and a value each
} params;

// Look at the arguments from `first` on: values in order, or one table with values by name and by
// number, which is replaced by its contents. Raises on what cannot be stored. [loop]
params params_check(lua_State *L, const char *op, int first);

void params_read(lua_State *L, const params *p, value *values);

// Bind them to `count` parameters; texts with `keep` (SQLITE_STATIC, SQLITE_TRANSIENT). [thread]
void params_bind(const value *values, int n, int is_named, sqlite3_stmt *s, int count,
                 sqlite3_destructor_type keep, fault *f);

#endif
