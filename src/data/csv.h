// SPDX-License-Identifier: MIT
// Comma-separated values (RFC 4180) to rows: a reader takes a text piece by piece and makes Lua
// tables of the rows that are complete. Owns the part of a field that came in earlier pieces; the
// row under way and the names of the columns are user values of the reader's userdata. Runs on the
// thread of its lua_State. Invariant: a text gives the same rows however it is cut.
#ifndef DATA_CSV_H
#define DATA_CSV_H

#include <lua.h>
#include <stdint.h>

#include "base/buffer.h"

#define CSV_NO_QUOTE (-1)

enum { CSV_ROW = 1, CSV_NAMES };  // user values: the row under way, the names of the columns

typedef enum csv_state {
  CSV_START,   // of a row
  CSV_CR,      // the same behind a CR, to which an LF would belong
  CSV_FIELD,   // at the first byte of a field
  CSV_PLAIN,   // in a field without quotes
  CSV_QUOTED,  // in a field with quotes
  CSV_QUOTE,   // behind a quote in there: the end, or one of two
  CSV_CLOSED,  // behind the last quote
  CSV_FAILED
} csv_state;

typedef struct csv_reader {
  buffer field;  // what came of the field in earlier pieces, or before a doubled quote
  csv_state state;
  int quote;  // or CSV_NO_QUOTE
  char separator;
  int wants_names;        // the next row is the header
  unsigned mark;          // bytes seen of a byte order mark; 3: it cannot come any more
  lua_Integer columns;    // fields of the row under way
  lua_Integer width;      // of the last row, to make tables as large as they will be
  lua_Integer names;      // how many columns have names
  uint64_t line, opened;  // where the next byte stands, and the last opening quote, from 1
  uint64_t offset;        // bytes in the pieces before this one
  size_t size, max;       // bytes of the row under way in the pieces before, and at most
  char ends[256];         // which bytes end a field without quotes
} csv_reader;

// Prepare a reader. [loop]
void csv_init(csv_reader *r, char separator, int quote, size_t max);

void csv_fini(csv_reader *r);

// Take a piece of a text, the last one or not; the userdata is at index 1. Push the list of the
// rows that are complete by now, and the error about what follows them, or nil. [loop] Raises only
// on out of memory; then the reader answers no rows any more.
void csv_feed(lua_State *L, csv_reader *r, const char *s, size_t len, int is_last);

#endif
