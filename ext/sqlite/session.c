// SPDX-License-Identifier: MIT
// Databases and transactions as scripts hold them: open, begin, end, close. See session.h.
#include "session.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CREW "corun.sqlite.crew"

const char session_class[] = SESSION_CLASS, statement_class[] = STATEMENT_CLASS;

session *session_at(lua_State *L, int idx) {
  session *s = object_at(L, idx, session_class);
  if (!s)
    misuse(L, "a database was expected, got a %s: call its methods with ':'",
           luaL_typename(L, idx));
  return s;
}

session *session_open_at(lua_State *L, int idx, const char *op) {
  session *s = session_at(L, idx);
  if (!s->is_over && !session_is_closed(s)) return s;
  corun_pusherrorf(L, "ECLOSED", op, s->c ? s->c->path : NULL,
                   session_is_closed(s) ? "the database is closed" : "the transaction has ended");
  raise_error(L);
  return NULL;
}

// --- Operations ------------------------------------------------------------------------------

corun_answer query_cancel(void *op) {
  query *q = op;
  return connection_cancel(q->c, &q->job);
}

query *query_new(lua_State *L, const corun_optype *type, session *s, int nvalues) {
  query *q = corun_newop(L, type, sizeof *q + (size_t)nvalues * sizeof *q->values);
  q->c = s->c;
  q->nvalues = nvalues;
  q->is_in_transaction = s->is_transaction;
  q->job.op = q;
  rows_init(&q->rows);
  return q;
}

int query_await(lua_State *L, query *q, int (*run)(connection *c, job *j)) {
  q->job.run = run;
  if (!connection_submit(q->c, &q->job)) corun_wake(q, CORUN_ECLOSED);
  return corun_await(L, q);
}

int query_failed(lua_State *L, const query *q, int rc, const char *op, int sql) {
  if (rc) return corun_pusherror(L, rc, op, q->c->path);
  if (fault_is_set(&q->fault)) return fault_push(L, &q->fault, op, q->c->path, sql);
  return 0;
}

// --- Opening ---------------------------------------------------------------------------------

static session *push_session(lua_State *L, connection *c) {
  session *s = lua_newuserdatauv(L, sizeof *s, 2);
  memset(s, 0, sizeof *s);
  s->class = session_class;
  s->c = c;
  luaL_setmetatable(L, SESSION_CLASS);
  return s;
}

// What the flags are is the first value, what to do at first the text.
static int run_open(connection *c, job *j) {
  query *q = (query *)(void *)j;
  sqlite3 *db = NULL;
  int flags = (int)q->values[0].integer | SQLITE_OPEN_NOMUTEX;
  int rc = sqlite3_open_v2(c->path, &db, flags, NULL);
  if (rc != SQLITE_OK) {
    fault_note(&q->fault, db, rc);
    sqlite3_close(db);
    return 0;
  }
  connection_opened(c, db);
  rc = sqlite3_exec(db, q->sql, NULL, NULL, NULL);
  // What is no database is refused now; one that is locked is only a matter of time.
  if (rc == SQLITE_OK) {
    rc = sqlite3_exec(db, "PRAGMA schema_version", NULL, NULL, NULL);
    if ((rc & 0xff) == SQLITE_BUSY) rc = SQLITE_OK;
  }
  if (rc == SQLITE_OK) return 0;
  fault_note(&q->fault, db, rc);
  connection_failed(c);
  return atomic_load(&j->stopped);
}

static int open_done(lua_State *L, void *op, int rc) {
  query *q = op;
  int n = query_failed(L, q, rc, "open", 0);
  if (n) {
    connection_close(q->c);
    return n;
  }
  lua_pushvalue(L, 6);
  return 1;
}

// (path, flags, timeout, statements, text to begin with)
static int l_open(lua_State *L) {
  static const corun_optype type = {
    .name = "open", .done = open_done, .cancel = query_cancel, .drop = query_drop};
  const char *path = luaL_checkstring(L, 1);
  size_t n;
  const char *text = luaL_checklstring(L, 5, &n);
  lua_settop(L, 5);
  corun_checkpoint(L);
  session *s = push_session(L, NULL);
  lua_getfield(L, LUA_REGISTRYINDEX, CREW);
  s->c =
    connection_new(lua_touserdata(L, -1), path, lua_tonumber(L, 3), (unsigned)lua_tointeger(L, 4));
  lua_pop(L, 1);
  if (!s->c) return corun_pusherrorf(L, "EAGAIN", "open", path, "no thread can be started");
  lua_newtable(L);
  lua_setiuservalue(L, 6, 1);
  query *q = query_new(L, &type, s, 1);
  q->sql = text;
  q->nsql = n;
  q->values[0].integer = lua_tointeger(L, 2);
  return query_await(L, q, run_open);
}

// --- Transactions ----------------------------------------------------------------------------

static int control_done(lua_State *L, void *op, int rc) {
  int n = query_failed(L, op, rc, lua_tostring(L, 3), 2);
  if (n) return n;
  lua_pushboolean(L, 1);
  return 1;
}

// (session, text, name, whether it needs a transaction) -> true | nil, err
static int l_control(lua_State *L) {
  static const corun_optype type = {
    .name = "transaction", .done = control_done, .cancel = query_cancel, .drop = query_drop};
  lua_settop(L, 4);
  session *s = session_open_at(L, 1, luaL_checkstring(L, 3));
  query *q = query_new(L, &type, s, 0);
  q->is_control = 1;
  q->is_in_transaction = lua_toboolean(L, 4);
  q->sql = lua_tolstring(L, 2, &q->nsql);
  return query_await(L, q, query_exec);
}

// (session, text that undoes it) -> session
static int l_new_transaction(lua_State *L) {
  session *of = session_open_at(L, 1, "begin");
  lua_settop(L, 2);
  session *s = push_session(L, connection_ref(of->c));
  lua_getiuservalue(L, 1, 1);
  lua_setiuservalue(L, 3, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, 2);
  s->is_transaction = 1;
  s->undo = calloc(1, sizeof *s->undo);
  if (!s->undo) return luaL_error(L, "not enough memory");
  s->undo->release.run = undo_release;
  snprintf(s->undo->sql, sizeof s->undo->sql, "%s", lua_tostring(L, 2));
  return 1;
}

// (transaction, whether it is undone): nothing can be asked of it any more.
static int l_end_transaction(lua_State *L) {
  session *s = session_at(L, 1);
  undo *u = s->undo;
  s->undo = NULL;
  s->is_over = 1;
  if (u && s->c && lua_toboolean(L, 2))
    connection_post(s->c, &u->release);
  else
    free(u);
  return 0;
}

static int l_gate(lua_State *L) {
  session_at(L, 1)->is_gated = lua_toboolean(L, 2);
  return 0;
}

static int l_check_open(lua_State *L) {
  session_open_at(L, 1, lua_tostring(L, 2));
  return 0;
}

// Say whether nothing can be asked of it any more.
static int l_is_over(lua_State *L) {
  session *s = session_at(L, 1);
  lua_pushboolean(L, s->is_over || session_is_closed(s));
  return 1;
}

// How much there is to do before a job that is queued now; more than that where a transaction is
// open, most where it is closed.
static int l_load(lua_State *L) {
  session *s = session_at(L, 1);
  lua_Integer n = session_is_closed(s) ? LUA_MAXINTEGER : s->is_gated ? INT_MAX : -1;
  lua_pushinteger(L, n < 0 ? (lua_Integer)connection_load(s->c) : n);
  return 1;
}

// --- The end ---------------------------------------------------------------------------------

static int sync_done(lua_State *L, void *op, int rc) {
  (void)op;
  (void)rc;
  lua_pushboolean(L, 1);
  return 1;
}

// Wait until what was asked of the connection so far has been done, its closing too.
static int l_sync(lua_State *L) {
  static const corun_optype type = {
    .name = "sync", .done = sync_done, .cancel = query_cancel, .drop = query_drop};
  session *s = session_at(L, 1);
  lua_settop(L, 1);
  if (!s->c) return 0;
  query *q = query_new(L, &type, s, 0);
  q->job.run = query_nothing;
  if (!connection_submit_last(s->c, &q->job)) corun_wake(q, 0);
  return corun_await(L, q);
}

static int l_can_wait(lua_State *L) {
  lua_pushboolean(L, lua_isyieldable(L));
  return 1;
}

static int l_close(lua_State *L) {
  session *s = session_at(L, 1);
  if (s->c) connection_close(s->c);
  return 0;
}

// A database is closed by its thread when nothing refers to it any more. A transaction is ended by
// the function in the upvalue, which lets those who wait for it go on.
static int l_gc(lua_State *L) {
  session *s = session_at(L, 1);
  if (!s->c) return 0;
  if (!s->is_transaction) {
    connection_close(s->c);
  } else if (!s->is_over) {
    lua_getfield(L, LUA_REGISTRYINDEX, FORSAKEN);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
    if (s->undo) connection_post(s->c, &s->undo->release);
    s->undo = NULL;
  }
  connection_unref(s->c);
  s->c = NULL;
  s->is_over = 1;
  return 0;
}

static int l_tostring(lua_State *L) {
  session *s = session_at(L, 1);
  int is_over = s->is_over || session_is_closed(s);
  lua_pushfstring(L, "sqlite.%s: %s%s", s->is_transaction ? "transaction" : "database",
                  s->c ? s->c->path : "?",
                  is_over ? (s->is_transaction ? " (ended)" : " (closed)") : "");
  return 1;
}

static int l_path(lua_State *L) {
  const session *s = session_at(L, 1);
  lua_pushstring(L, s->c ? s->c->path : NULL);
  return 1;
}

static int l_crew_gc(lua_State *L) {
  crew_fini(lua_touserdata(L, 1));
  return 0;
}

void session_open_class(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", l_gc}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open},
                                       {"control", l_control},
                                       {"new_transaction", l_new_transaction},
                                       {"end_transaction", l_end_transaction},
                                       {"gate", l_gate},
                                       {"check_open", l_check_open},
                                       {"is_over", l_is_over},
                                       {"load", l_load},
                                       {"sync", l_sync},
                                       {"can_wait", l_can_wait},
                                       {"close", l_close},
                                       {"path", l_path},
                                       {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  lua_pushinteger(L, INT_MAX);
  lua_setfield(L, -2, "gated");
  luaL_newmetatable(L, SESSION_CLASS);
  luaL_setfuncs(L, meta, 0);
  lua_setfield(L, -2, "session");
  // Made before any database, so that it is the last to be finalised when the runtime closes.
  crew *team = lua_newuserdatauv(L, sizeof *team, 0);
  memset(team, 0, sizeof *team);
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->change, NULL);
  team->has_company = sysconf(_SC_NPROCESSORS_ONLN) > 1;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_crew_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, CREW);
}
