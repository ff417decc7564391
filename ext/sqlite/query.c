// SPDX-License-Identifier: MIT
// Jobs with statements. See query.h.
#include "query.h"

#include <stdlib.h>
#include <string.h>

static query *query_of(job *j) {
  return (query *)(void *)j;  // its first member
}

// What the operation is woken with: one that failed because it was stopped has not come to its end.
static int result_of(const query *q) {
  return fault_is_set(&q->fault) ? atomic_load(&q->job.stopped) : 0;
}

static void note(connection *c, query *q, int rc) {
  fault_note(&q->fault, c->db, rc);
}

// --- Statements taken and given back ---------------------------------------------------------

// The statement of the query, ready to be run; NULL and a fault, or NULL alone for an empty text.
static statement *take(connection *c, query *q, const char **rest) {
  prepared *p = q->given;
  int rc;
  *rest = NULL;
  if (p && p->st && !p->is_busy) {
    p->is_busy = 1;
    return p->st;
  }
  statement *st = cache_take(&c->statements, c->db, q->sql, q->nsql, rest, &rc);
  if (rc != SQLITE_OK) note(c, q, rc);
  return st;
}

static void give(connection *c, query *q, statement *st) {
  prepared *p = q->given;
  if (!p || p->st != st) {
    cache_put(&c->statements, st);
    return;
  }
  sqlite3_reset(st->s);
  p->is_busy = 0;
}

// Look whether the query may begin, and tell what has ended before it if it may take long.
static int begin(connection *c, query *q, const statement *st) {
  if (q->is_in_transaction && sqlite3_get_autocommit(c->db)) {
    fault_say(&q->fault, SQLITE_ABORT_ROLLBACK, 0,
              "the transaction is over: SQLite rolled it back after an error, or a statement "
              "ended it");
    return 0;
  }
  if (q->is_control || (!st->is_readonly && !q->is_in_transaction)) connection_flush(c);
  return 1;
}

// No statement leaves a transaction open in which those of other tasks would run.
static void check_end(connection *c, query *q) {
  if (q->is_in_transaction || q->is_control || sqlite3_get_autocommit(c->db)) return;
  sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
  if (fault_is_set(&q->fault)) return;
  fault_say(&q->fault, SQLITE_MISUSE, 1,
            "the statement began a transaction and did not end it; use begin or transaction, "
            "which keep the statements of other tasks out of it");
}

// The statement of a query that takes one alone.
static statement *take_one(connection *c, query *q) {
  const char *rest;
  statement *st = take(c, q, &rest);
  if (!st && !fault_is_set(&q->fault))
    fault_say(&q->fault, SQLITE_MISUSE, 1, "there is no statement in the text");
  if (st && rest) fault_say(&q->fault, SQLITE_MISUSE, 1, "only exec takes several statements");
  if (st && !fault_is_set(&q->fault)) begin(c, q, st);
  if (!st || !fault_is_set(&q->fault)) return st;
  give(c, q, st);
  return NULL;
}

static void bind(query *q, statement *st, sqlite3_destructor_type keep) {
  if (q->nvalues || st->nparams)
    params_bind(q->values, q->nvalues, q->is_named, st->s, st->nparams, keep, &q->fault);
}

// Run it to its end, without its rows.
static void finish(connection *c, query *q, statement *st) {
  int rc = sqlite3_step(st->s);
  while (rc == SQLITE_ROW) rc = sqlite3_step(st->s);
  if (rc != SQLITE_DONE) note(c, q, rc);
}

// --- All statements of a text ----------------------------------------------------------------

static void run_one(connection *c, query *q, statement *st) {
  if (!begin(c, q, st)) return;
  bind(q, st, SQLITE_STATIC);
  if (!fault_is_set(&q->fault)) finish(c, q, st);
}

static void run_rest(connection *c, query *q, const char *sql) {
  const char *end = q->sql + q->nsql;
  int rc = SQLITE_OK;
  connection_flush(c);
  while (sql && !fault_is_set(&q->fault)) {
    if (connection_is_stopped(c)) {
      note(c, q, SQLITE_INTERRUPT);
      return;
    }
    const char *rest;
    statement *st = cache_take_next(&c->statements, c->db, sql, (size_t)(end - sql), &rest, &rc);
    if (rc != SQLITE_OK) note(c, q, rc);
    if (fault_is_set(&q->fault) && q->fault.offset >= 0) q->fault.offset += (int)(sql - q->sql);
    if (st) {
      run_one(c, q, st);
      give(c, q, st);
    }
    sql = rest;
  }
}

int query_exec(connection *c, job *j) {
  query *q = query_of(j);
  const char *rest;
  int before = sqlite3_total_changes(c->db);
  statement *st = take(c, q, &rest);
  if (rest && q->nvalues)
    fault_say(&q->fault, SQLITE_MISUSE, 1, "values go with one statement, here are several");
  if (!fault_is_set(&q->fault) && st) run_one(c, q, st);
  if (st) give(c, q, st);
  if (rest && !fault_is_set(&q->fault)) run_rest(c, q, rest);
  check_end(c, q);
  q->changes = sqlite3_total_changes(c->db) == before ? 0
               : rest                                 ? sqlite3_total_changes(c->db) - before
                                                      : sqlite3_changes(c->db);
  q->rowid = sqlite3_last_insert_rowid(c->db);
  return result_of(q);
}

// --- The first row ---------------------------------------------------------------------------

static void read_row(connection *c, query *q, statement *st) {
  int rc = sqlite3_step(st->s);
  if (rc == SQLITE_ROW) {
    q->columns = statement_shape(&c->statements, st);
    if (!q->columns || !rows_add(&q->rows, st->s, q->columns->n)) rc = SQLITE_NOMEM;
    // A statement that only reads need not come to its end, any other has effects there.
    while (rc == SQLITE_ROW && !st->is_readonly) rc = sqlite3_step(st->s);
  }
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) note(c, q, rc);
}

int query_row(connection *c, job *j) {
  query *q = query_of(j);
  statement *st = take_one(c, q);
  if (!st) return result_of(q);
  bind(q, st, SQLITE_STATIC);
  if (!fault_is_set(&q->fault)) read_row(c, q, st);
  give(c, q, st);
  check_end(c, q);
  return result_of(q);
}

// --- Rows in batches -------------------------------------------------------------------------

static void end_cursor(connection *c, cursor *k) {
  if (k->st) cache_put(&c->statements, k->st);
  k->st = NULL;
  k->is_at_end = 1;
}

// Fill the batch; the statement is given back at its end, and when it failed: that is told behind
// the rows which came before.
static void fetch(connection *c, query *q, cursor *k) {
  rows *b = &k->batch;
  sqlite3_stmt *s = k->st->s;
  int rc = SQLITE_ROW;
  rows_clear(b);
  while (b->n < BATCH_ROWS && b->used < BATCH_BYTES) {
    rc = sqlite3_step(s);
    if (rc != SQLITE_ROW) break;
    if (!k->columns) k->columns = statement_shape(&c->statements, k->st);
    if (!k->columns || !rows_add(b, s, k->columns->n)) {
      rc = SQLITE_NOMEM;
      break;
    }
  }
  if (rc == SQLITE_ROW && connection_park(c)) return;
  if (rc == SQLITE_ROW) rc = SQLITE_INTERRUPT;
  if (rc != SQLITE_DONE) fault_note(b->n ? &k->fault : &q->fault, c->db, rc);
  end_cursor(c, k);
}

int query_open_rows(connection *c, job *j) {
  query *q = query_of(j);
  cursor *k = q->cursor;
  k->st = take_one(c, q);
  if (!k->st) return result_of(q);
  bind(q, k->st, SQLITE_TRANSIENT);
  if (fault_is_set(&q->fault))
    end_cursor(c, k);
  else
    fetch(c, q, k);
  if (k->is_at_end) check_end(c, q);
  return result_of(q);
}

int query_fetch(connection *c, job *j) {
  query *q = query_of(j);
  connection_unpark(c);
  fetch(c, q, q->cursor);
  return 0;  // it is always told: others may use the iterator
}

int cursor_release(connection *c, job *j) {
  cursor *k = (cursor *)(void *)j;
  if (k->st) {
    if (k->st->s) sqlite3_clear_bindings(k->st->s);
    connection_unpark(c);
    cache_put(&c->statements, k->st);
  }
  rows_fini(&k->batch);
  shape_unref(k->columns);
  fault_fini(&k->fault);
  free(k);
  return 0;
}

// --- Others ----------------------------------------------------------------------------------

int query_prepare(connection *c, job *j) {
  query *q = query_of(j);
  q->given->st = take_one(c, q);
  return result_of(q);
}

int prepared_release(connection *c, job *j) {
  prepared *p = (prepared *)(void *)j;
  if (p->st) cache_put(&c->statements, p->st);
  free(p);
  return 0;
}

int undo_release(connection *c, job *j) {
  undo *u = (undo *)(void *)j;
  connection_flush(c);
  if (c->db && !sqlite3_get_autocommit(c->db)) sqlite3_exec(c->db, u->sql, NULL, NULL, NULL);
  free(u);
  return 0;
}

int query_nothing(connection *c, job *j) {
  (void)c;
  (void)j;
  return 0;
}

void query_drop(void *op) {
  query *q = op;
  rows_fini(&q->rows);
  shape_unref(q->columns);
  fault_fini(&q->fault);
}
