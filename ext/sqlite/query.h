// SPDX-License-Identifier: MIT
// What a connection does with statements, as jobs.
#ifndef QUERY_H
#define QUERY_H

#include "connection.h"
#include "fault.h"
#include "params.h"
#include "rows.h"

#define BATCH_ROWS 512     // the most that a batch of rows holds,
#define BATCH_BYTES 65536  // unless one row is longer

// A statement that is kept compiled for one owner.
typedef struct prepared {
  job release;  // posted in the end
  connection *c;
  statement *st;  // [thread]
  int is_busy;    // [thread]
} prepared;

// A statement on its way through its rows. The batch belongs to the thread while a job for it is
// under way, else to the loop.
typedef struct cursor {
  job release;  // posted in the end
  connection *c;
  statement *st;  // [thread]
  rows batch;
  shape *columns;
  fault fault;  // what comes behind the rows of the batch
  int is_at_end;
  void *owner;           // [loop] the iterator: it is there as long as a task waits for rows
  int is_busy, is_left;  // [loop] a task waits for rows; another has closed the iterator
} cursor;

// The undoing of a transaction: made before it begins, so that it cannot fail.
typedef struct undo {
  job release;
  char sql[96];
} undo;

// An operation with one statement, or several.
typedef struct query {
  job job;
  connection *c;
  const char *sql;  // ends with a zero byte
  size_t nsql;
  prepared *given;
  cursor *cursor;
  void *work;             // of a backup
  int is_in_transaction;  // it runs only while there is one
  int is_control;         // begins or ends one
  fault fault;
  sqlite3_int64 changes, rowid;
  rows rows;
  shape *columns;
  int is_prepared;  // its session and text are those of a prepared statement
  int is_named, nvalues;
  value values[];
} query;

// All of them: [thread]
int query_exec(connection *c, job *j);       // all statements of the text: changes, rowid
int query_row(connection *c, job *j);        // the first row: rows, columns
int query_open_rows(connection *c, job *j);  // begin `cursor`, with its first batch
int query_fetch(connection *c, job *j);      // the next batch of `cursor`
int query_prepare(connection *c, job *j);    // compile `given`
int query_nothing(connection *c, job *j);    // what was posted before has been done

// For what is posted: these free the memory too. [thread]
int prepared_release(connection *c, job *j);
int cursor_release(connection *c, job *j);
int undo_release(connection *c, job *j);

void query_drop(void *op);  // [loop]

#endif
