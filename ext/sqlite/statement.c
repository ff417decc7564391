// SPDX-License-Identifier: MIT
// Compiled statements. See statement.h.
#include "statement.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NEAR(sql) ((uintptr_t)(sql) / 16 % PLACES)

// --- Shapes ----------------------------------------------------------------------------------

void shape_unref(shape *columns) {
  if (columns && atomic_fetch_sub(&columns->refs, 1) == 1) free(columns);
}

static shape *make_shape(sqlite3_stmt *s, int64_t id) {
  int n = sqlite3_column_count(s);
  size_t size = sizeof(shape) + (size_t)n * sizeof(char *);
  for (int i = 0; i < n; i++) {
    const char *name = sqlite3_column_name(s, i);
    if (!name) return NULL;
    size += strlen(name) + 1;
  }
  shape *columns = malloc(size);
  if (!columns) return NULL;
  atomic_init(&columns->refs, 1);
  columns->id = id;
  columns->n = n;
  char *text = (char *)(columns->names + n);
  for (int i = 0; i < n; i++) {
    columns->names[i] = text;
    text = stpcpy(text, sqlite3_column_name(s, i)) + 1;
  }
  return columns;
}

shape *statement_shape(cache *k, statement *st) {
  int prepared = sqlite3_stmt_status(st->s, SQLITE_STMTSTATUS_REPREPARE, 0);
  if (!st->columns || prepared != st->prepared) {
    shape_unref(st->columns);
    st->columns = make_shape(st->s, ++k->shapes);
    st->prepared = prepared;
  }
  if (st->columns) atomic_fetch_add(&st->columns->refs, 1);
  return st->columns;
}

// --- Those in use ----------------------------------------------------------------------------

static void use(cache *k, statement *st) {
  st->newer = NULL;
  st->older = k->used;
  if (k->used) k->used->newer = st;
  k->used = st;
}

static void unuse(cache *k, statement *st) {
  if (st->newer)
    st->newer->older = st->older;
  else
    k->used = st->older;
  if (st->older) st->older->newer = st->newer;
}

static void destroy(statement *st) {
  sqlite3_finalize(st->s);
  shape_unref(st->columns);
  free(st);
}

// --- Those kept ------------------------------------------------------------------------------

static uint32_t hash_of(const char *sql, size_t n) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)sql[i]) * 16777619u;
  return h;
}

static void forget(cache *k, statement *st) {
  statement **p = &k->buckets[st->hash % BUCKETS];
  while (*p != st) p = &(*p)->chain;
  *p = st->chain;
  if (k->near[st->at] == st) k->near[st->at] = NULL;
  if (st->newer)
    st->newer->older = st->older;
  else
    k->newest = st->older;
  if (st->older)
    st->older->newer = st->newer;
  else
    k->oldest = st->newer;
  k->kept--;
}

static void keep(cache *k, statement *st) {
  statement **bucket = &k->buckets[st->hash % BUCKETS];
  st->chain = *bucket;
  *bucket = st;
  k->near[st->at] = st;
  st->newer = NULL;
  st->older = k->newest;
  if (k->newest)
    k->newest->newer = st;
  else
    k->oldest = st;
  k->newest = st;
  k->kept++;
}

void cache_init(cache *k, unsigned most) {
  memset(k, 0, sizeof *k);
  k->most = most;
}

void cache_fini(cache *k) {
  while (k->oldest) {
    statement *st = k->oldest;
    forget(k, st);
    destroy(st);
  }
  for (statement *st = k->used; st; st = st->older) {
    sqlite3_finalize(st->s);
    st->s = NULL;
  }
}

// Where the comment at `text` ends; `text` where there is none.
static const char *skip_comment(const char *text, const char *end) {
  int is_line = strncmp(text, "--", 2) == 0;
  if (!is_line && strncmp(text, "/*", 2) != 0) return text;
  const char *last = is_line ? strchr(text, '\n') : strstr(text + 2, "*/");
  return last ? last + (is_line ? 1 : 2) : end;
}

// Say whether nothing but blanks and comments is left.
static int is_blank(const char *text, const char *end) {
  const char *before = NULL;
  while (text < end && text != before) {
    before = text;
    while (text < end && strchr(" \t\r\n\f;", *text)) text++;
    text = skip_comment(text, end);
  }
  return text >= end;
}

// Compile the first statement of a text that ends with a zero byte, which spares SQLite a copy.
static statement *compile(sqlite3 *db, const char *sql, size_t n, const char **rest, int *rc) {
  const char *tail = sql + n;
  sqlite3_stmt *s = NULL;
  *rc = SQLITE_TOOBIG;
  if (n > INT_MAX - 1) return NULL;
  *rc = sqlite3_prepare_v3(db, sql, (int)n + 1, SQLITE_PREPARE_PERSISTENT, &s, &tail);
  if (*rc != SQLITE_OK) return NULL;
  if (!is_blank(tail, sql + n)) {
    *rest = tail;
    n = (size_t)(tail - sql);
  }
  if (!s) return NULL;
  statement *st = calloc(1, sizeof *st + n + 1);
  if (!st) {
    sqlite3_finalize(s);
    *rc = SQLITE_NOMEM;
    return NULL;
  }
  st->s = s;
  st->is_readonly = sqlite3_stmt_readonly(s);
  st->nparams = sqlite3_bind_parameter_count(s);
  st->n = n;
  memcpy(st->sql, sql, n);
  return st;
}

static int is_of(const statement *st, const char *sql, size_t n) {
  return st->n == n && memcmp(st->sql, sql, n) == 0;
}

// The statement of this text among those that are kept. A text mostly lies where it did the last
// time, as a constant of the script: so far less is looked at than for its hash.
static statement *find(cache *k, const char *sql, size_t n, uint32_t *hash) {
  statement *st = k->near[NEAR(sql)];
  if (st && is_of(st, sql, n)) return st;
  *hash = hash_of(sql, n);
  st = k->buckets[*hash % BUCKETS];
  while (st && (st->hash != *hash || !is_of(st, sql, n))) st = st->chain;
  return st;
}

statement *cache_take(cache *k, sqlite3 *db, const char *sql, size_t n, const char **rest,
                      int *rc) {
  uint32_t hash = 0;
  statement *st = find(k, sql, n, &hash);
  *rest = NULL;
  *rc = SQLITE_OK;
  if (st) {
    forget(k, st);
  } else {
    st = compile(db, sql, n, rest, rc);
    if (!st) return NULL;
    st->hash = hash;
    st->is_kept = !*rest;
  }
  st->at = NEAR(sql);
  use(k, st);
  return st;
}

statement *cache_take_next(cache *k, sqlite3 *db, const char *sql, size_t n, const char **rest,
                           int *rc) {
  *rest = NULL;
  statement *st = compile(db, sql, n, rest, rc);
  if (st) use(k, st);
  return st;
}

void cache_put(cache *k, statement *st) {
  unuse(k, st);
  if (st->s) sqlite3_reset(st->s);
  if (!st->s || !st->is_kept || !k->most) {
    destroy(st);
    return;
  }
  keep(k, st);
  if (k->kept <= k->most) return;
  st = k->oldest;
  forget(k, st);
  destroy(st);
}
