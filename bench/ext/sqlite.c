// SPDX-License-Identifier: MIT
// The floor of sqlite.lua: the same selects by SQLite's own functions, in one thread that does
// nothing else. Usage: sqlite MODE N WARM
#define _GNU_SOURCE
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS 10000

static sqlite3 *db;

static void check(int ok) {
  if (ok) return;
  fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(db));
  exit(1);
}

static void run(const char *sql) {
  check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static sqlite3_stmt *prepare(const char *sql) {
  sqlite3_stmt *s;
  check(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) == SQLITE_OK);
  return s;
}

static void fill(void) {
  run(
    "pragma journal_mode = wal; pragma synchronous = normal;"
    "create table item (id integer primary key, name text, price real); begin");
  sqlite3_stmt *s = prepare("insert into item values (?, ?, ?)");
  for (int i = 1; i <= ROWS; i++) {
    char name[40];
    snprintf(name, sizeof name, "the item number %d", i);
    sqlite3_bind_int64(s, 1, i);
    sqlite3_bind_text(s, 2, name, -1, SQLITE_TRANSIENT);
    sqlite3_bind_double(s, 3, i / 100.0);
    check(sqlite3_step(s) == SQLITE_DONE);
    sqlite3_reset(s);
  }
  sqlite3_finalize(s);
  run("commit");
}

static double query(sqlite3_stmt *s, long n) {
  double total = 0;
  for (long i = 1; i <= n; i++) {
    sqlite3_bind_int64(s, 1, i * 7919 % ROWS + 1);
    check(sqlite3_step(s) == SQLITE_ROW);
    char name[64];  // the row is the caller's, as in the other program
    int length = sqlite3_column_bytes(s, 1);
    memcpy(name, sqlite3_column_text(s, 1), (size_t)length);
    total += (double)sqlite3_column_int64(s, 0) + length + sqlite3_column_double(s, 2);
    sqlite3_reset(s);
  }
  return total;
}

int main(int argc, char **argv) {
  char dir[] = "/tmp/corun-bench-XXXXXX", path[64];
  if (argc < 4 || !mkdtemp(dir)) return 2;
  snprintf(path, sizeof path, "%s/bench.db", dir);
  check(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK);
  fill();
  sqlite3_stmt *s = prepare("select id, name, price from item where id = ?");
  query(s, atol(argv[3]));
  puts("begin");
  fflush(stdout);
  double total = query(s, atol(argv[2]));
  puts("end");
  printf("%.2f\n", total);
  sqlite3_finalize(s);
  sqlite3_close(db);
  unlink(path);
  rmdir(dir);
  return 0;
}
