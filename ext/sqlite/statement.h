// SPDX-License-Identifier: MIT
// Compiled statements, and those that are kept for the next time that the same text comes. All of
// it belongs to the thread of one connection, but shapes, which only count who holds them.
#ifndef STATEMENT_H
#define STATEMENT_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define BUCKETS 128
#define PLACES 64

// The names of a statement's columns. Never changed: when the schema does, another one is made.
typedef struct shape {
  atomic_int refs;
  int64_t id;  // another one for each shape of a connection
  int n;
  const char *names[];  // in the same block
} shape;

typedef struct statement {
  struct statement *chain;          // in its bucket, while it is kept
  struct statement *newer, *older;  // among those kept, or those in use
  sqlite3_stmt *s;                  // NULL once the connection was closed
  shape *columns;
  int prepared;  // how often SQLite had compiled it when `columns` was made
  int is_readonly, is_kept;
  int nparams;
  unsigned at;  // in `near`
  uint32_t hash;
  size_t n;
  char sql[];
} statement;

typedef struct cache {
  statement *buckets[BUCKETS];  // by their texts
  statement *near[PLACES];      // by where the text was in memory the last time
  statement *newest, *oldest;   // kept
  statement *used;              // in use, by `older`
  unsigned kept, most;
  int64_t shapes;  // made so far
} cache;

void cache_init(cache *k, unsigned most);

// Finalise all statements, also those in use.
void cache_fini(cache *k);

// Take out the statement of this text, which ends with a zero byte, or compile it: NULL and an
// SQLite code in `rc` if that failed, SQLITE_OK where there is no statement in it. `rest`: where
// the next statement of the text begins, NULL when there is none; only a text of one is kept later.
statement *cache_take(cache *k, sqlite3 *db, const char *sql, size_t n, const char **rest, int *rc);

// The same for the rest of a text: compiled in any case, and not kept.
statement *cache_take_next(cache *k, sqlite3 *db, const char *sql, size_t n, const char **rest,
                           int *rc);

// Give it back.
void cache_put(cache *k, statement *st);

// The shape of its rows now; NULL when there is no memory.
shape *statement_shape(cache *k, statement *st);

void shape_unref(shape *columns);

#endif
