// SPDX-License-Identifier: MIT
// Online backup: pages of a database copied to another file, some in each job, while its connection
// goes on with other statements in between. SQLite begins anew when another connection has written
// meanwhile; where that happens too often the rest is copied in one job, of one state. A file that
// was not there before is not there after a failure.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session.h"

#define BACKUP_CLASS "corun.sqlite.backup"
#define MOST_RESTARTS 3
#define SOME_PAGES 64  // between two looks whether it is to end early

typedef struct backup {
  job release;  // posted in the end
  guest guest;  // of the connection; it uses the handle
  connection *c;
  sqlite3 *to;        // [thread]
  sqlite3_backup *b;  // [thread] NULL before and after
  char *path;
  int pages;  // in one job
  int left, all, is_done;
  int restarts, is_new;  // [thread]
} backup;

typedef struct holder {  // User value: the session
  backup *k;             // NULL once it has ended
} holder;

// --- On the thread ---------------------------------------------------------------------------

// Remove the empty file that was made for the copy, unless another connection writes to it.
static void remove_new(const backup *k) {
  struct stat file;
  if (sqlite3_exec(k->to, "BEGIN EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK) return;
  if (stat(k->path, &file) == 0 && S_ISREG(file.st_mode) && file.st_size == 0) unlink(k->path);
}

// What was not copied to the end is rolled back: the file is as it was.
static void leave(guest *g) {
  backup *k = (backup *)(void *)((char *)g - offsetof(backup, guest));
  sqlite3_backup_finish(k->b);
  if (k->is_new && !k->is_done) remove_new(k);
  sqlite3_close(k->to);
  k->b = NULL;
  k->to = NULL;
}

// Look at the file before SQLite makes it. Answers whether it is the database itself.
static int look(connection *c, backup *k) {
  struct stat from, to;
  k->is_new = stat(k->path, &to) != 0;
  const char *name = sqlite3_db_filename(c->db, "main");
  return !k->is_new && name && stat(name, &from) == 0 && from.st_dev == to.st_dev &&
         from.st_ino == to.st_ino;
}

static int run_begin(connection *c, job *j) {
  query *q = (query *)(void *)j;
  backup *k = q->work;
  connection_flush(c);
  if (look(c, k)) {
    fault_say(&q->fault, SQLITE_ERROR, 0, "the copy would be written over the database itself");
    return 0;
  }
  int rc = sqlite3_open_v2(k->path, &k->to,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
  if (rc == SQLITE_OK) {
    k->b = sqlite3_backup_init(k->to, "main", c->db, "main");
    if (!k->b) rc = sqlite3_errcode(k->to);
  }
  if (k->to) guest_enter(c, &k->guest);
  if (rc != SQLITE_OK) fault_note(&q->fault, k->to, rc);
  return 0;
}

// Copy some pages; note whether SQLite has begun anew.
static int step(backup *k, int pages) {
  int before = k->left;
  int rc = sqlite3_backup_step(k->b, pages);
  k->left = sqlite3_backup_remaining(k->b);
  k->all = sqlite3_backup_pagecount(k->b);
  if (before && rc == SQLITE_OK && k->left >= before) k->restarts++;
  return rc;
}

// Copy `pages` pages; all the rest without letting others in between when it is -1.
static int step_many(connection *c, backup *k, int pages) {
  int rc = SQLITE_OK;
  for (int n = pages; rc == SQLITE_OK && n && !connection_is_stopped(c);) {
    int some = n < 0 || n > SOME_PAGES ? SOME_PAGES : n;
    rc = step(k, some);
    if (n > 0) n -= some;
  }
  return rc;
}

// While a transaction to read is open nothing that others write is seen.
static int step_rest(connection *c, backup *k) {
  int is_own = sqlite3_get_autocommit(c->db);
  int rc = is_own ? sqlite3_exec(c->db, "BEGIN", NULL, NULL, NULL) : SQLITE_OK;
  if (rc == SQLITE_OK) rc = sqlite3_exec(c->db, "PRAGMA schema_version", NULL, NULL, NULL);
  if (rc == SQLITE_OK) rc = step_many(c, k, -1);
  if (is_own && !sqlite3_get_autocommit(c->db)) sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL);
  return rc;
}

// Say whether a transaction of the connection has written, with which no copy can be made. An older
// SQLite is asked for one in vain until the time for locks is over.
static int has_written(connection *c) {
#if SQLITE_VERSION_NUMBER >= 3034000
  return sqlite3_txn_state(c->db, "main") == SQLITE_TXN_WRITE;
#else
  (void)c;
  return 0;
#endif
}

static int run_step(connection *c, job *j) {
  query *q = (query *)(void *)j;
  backup *k = q->work;
  connection_flush(c);
  if (has_written(c)) {
    fault_say(&q->fault, SQLITE_LOCKED, 0,
              "a transaction of this connection has written and is not committed");
    return 0;
  }
  int rc = k->restarts < MOST_RESTARTS ? step_many(c, k, k->pages) : step_rest(c, k);
  k->is_done = rc == SQLITE_DONE;
  if (connection_is_stopped(c) && !k->is_done) rc = SQLITE_INTERRUPT;
  if (rc == SQLITE_OK || k->is_done) return 0;
  fault_note(&q->fault, NULL, rc);
  return atomic_load(&j->stopped);
}

static int run_release(connection *c, job *j) {
  backup *k = (backup *)(void *)j;
  connection_flush(c);
  if (k->to) {
    guest_leave(c, &k->guest);
    leave(&k->guest);
  }
  free(k->path);
  free(k);
  return 0;
}

// --- On the loop -----------------------------------------------------------------------------

static int failed(lua_State *L, const query *q, int rc) {
  const backup *k = q->work;
  if (!rc && !fault_is_set(&q->fault)) return 0;
  const char *target = lua_pushfstring(L, "%s to %s", q->c->path, k->path);
  if (rc) return corun_pusherror(L, rc, "backup", target);
  return fault_push(L, &q->fault, "backup", target, 0);
}

static int begin_done(lua_State *L, void *op, int rc) {
  int n = failed(L, op, rc);
  if (n) return n;
  lua_pushvalue(L, 4);
  return 1;
}

// (session, path, pages in one job) -> backup
static int l_begin(lua_State *L) {
  static const corun_optype type = {
    .name = "backup", .done = begin_done, .cancel = query_cancel, .drop = query_drop};
  session *s = session_open_at(L, 1, "backup");
  const char *path = luaL_checkstring(L, 2);
  lua_settop(L, 3);
  holder *h = lua_newuserdatauv(L, sizeof *h, 1);
  h->k = NULL;
  luaL_setmetatable(L, BACKUP_CLASS);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 4, 1);
  backup *k = calloc(1, sizeof *k);
  if (!k) return luaL_error(L, "not enough memory");
  h->k = k;
  k->c = connection_ref(s->c);
  k->release.run = run_release;
  k->guest.leave = leave;
  k->pages = (int)lua_tointeger(L, 3);
  k->path = strdup(path);
  if (!k->path) return luaL_error(L, "not enough memory");
  query *q = query_new(L, &type, s, 0);
  q->work = k;
  return query_await(L, q, run_begin);
}

// true: there is more to do; false: all has been copied; then the pages left, and all pages.
static int step_done(lua_State *L, void *op, int rc) {
  query *q = op;
  const backup *k = q->work;
  int n = failed(L, q, rc);
  if (n) return n;
  lua_pushboolean(L, !k->is_done);
  lua_pushinteger(L, k->left);
  lua_pushinteger(L, k->all);
  return 3;
}

static int l_step(lua_State *L) {
  static const corun_optype type = {
    .name = "backup", .done = step_done, .cancel = query_cancel, .drop = query_drop};
  holder *h = luaL_checkudata(L, 1, BACKUP_CLASS);
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, 1);
  session *s = session_open_at(L, 2, "backup");
  query *q = query_new(L, &type, s, 0);
  q->work = h->k;
  return query_await(L, q, run_step);
}

static int l_close(lua_State *L) {
  holder *h = luaL_checkudata(L, 1, BACKUP_CLASS);
  backup *k = h->k;
  if (!k) return 0;
  h->k = NULL;
  connection *c = k->c;
  connection_post(c, &k->release);
  connection_unref(c);
  return 0;
}

void backup_open_class(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"backup_begin", l_begin}, {"backup_step", l_step}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, BACKUP_CLASS);
  lua_pushcfunction(L, l_close);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}
