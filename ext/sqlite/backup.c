// SPDX-License-Identifier: MIT
// Online backup: pages of a database copied to another file, some in each job, while its connection
// goes on with other statements in between.
#include <stdlib.h>

#include "session.h"

#define BACKUP_CLASS "corun.sqlite.backup"
#define RETRY 0.02  // seconds until a locked database is tried again

typedef struct backup {
  job release;  // posted in the end
  connection *c;
  sqlite3 *to;        // [thread]
  sqlite3_backup *b;  // [thread]
  int pages;          // in one job; at first the open flags
  int left, all, is_done;
} backup;

typedef struct holder {  // User value: the session
  backup *k;             // NULL once it has ended
} holder;

// --- On the thread ---------------------------------------------------------------------------

static int run_begin(connection *c, job *j) {
  query *q = (query *)(void *)j;
  backup *k = q->work;
  int rc = sqlite3_open_v2(q->sql, &k->to,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
  if (rc == SQLITE_OK) {
    k->b = sqlite3_backup_init(k->to, "main", c->db, "main");
    if (!k->b) rc = sqlite3_errcode(k->to);
  }
  if (rc != SQLITE_OK) fault_note(&q->fault, k->to, rc);
  return 0;
}

static int run_step(connection *c, job *j) {
  query *q = (query *)(void *)j;
  backup *k = q->work;
  double waited = 0;
  int rc;
  connection_flush(c);
  while ((rc = sqlite3_backup_step(k->b, k->pages)) == SQLITE_BUSY || rc == SQLITE_LOCKED) {
    if (waited >= c->timeout || !connection_pause(c, RETRY)) break;
    waited += RETRY;
  }
  k->left = sqlite3_backup_remaining(k->b);
  k->all = sqlite3_backup_pagecount(k->b);
  k->is_done = rc == SQLITE_DONE;
  if (rc == SQLITE_OK || rc == SQLITE_DONE) return 0;
  fault_note(&q->fault, NULL, rc);
  return atomic_load(&j->stopped);
}

// What was not copied to the end is rolled back: the file is as it was.
static int run_release(connection *c, job *j) {
  backup *k = (backup *)(void *)j;
  connection_flush(c);
  sqlite3_backup_finish(k->b);
  sqlite3_close(k->to);
  free(k);
  return 0;
}

// --- On the loop -----------------------------------------------------------------------------

static int begin_done(lua_State *L, void *op, int rc) {
  int n = query_failed(L, op, rc, "backup", 0);
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
  h->k = calloc(1, sizeof *h->k);
  if (!h->k) return luaL_error(L, "not enough memory");
  h->k->c = connection_ref(s->c);
  h->k->release.run = run_release;
  h->k->pages = (int)lua_tointeger(L, 3);
  query *q = query_new(L, &type, s, 0);
  q->sql = path;
  q->work = h->k;
  return query_await(L, q, run_begin);
}

// true: there is more to do; false: all has been copied; then the pages left, and all pages.
static int step_done(lua_State *L, void *op, int rc) {
  query *q = op;
  const backup *k = q->work;
  int n = query_failed(L, q, rc, "backup", 0);
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
