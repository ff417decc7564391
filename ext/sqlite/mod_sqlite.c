// SPDX-License-Identifier: MIT
// The module corun.sqlite: what scripts call becomes jobs of connections (connection.h, query.h).
// Transactions, pools and options are policy: sqlite.lua, which is loaded here.
#include <stdlib.h>
#include <string.h>

#include "lua_parts.h"
#include "session.h"

#define MODULE "corun.sqlite"
#define ENTER "corun.sqlite.enter"

typedef struct handle {  // of a prepared statement. User values: 1 its session, 2 its text
  const char *class;
  prepared *p;  // NULL once it was closed
} handle;

typedef struct iterator {  // User values: 1 the names of its columns, 2 its session, 3 its text
  cursor *k;               // NULL once it was closed
  int is_at_end;           // there were no more rows
} iterator;

// --- Arguments -------------------------------------------------------------------------------

static const char *check_sql(lua_State *L, int idx, const char *op, size_t *n) {
  if (lua_type(L, idx) != LUA_TSTRING)
    misuse(L, "%s: the statement must be a string, not a %s", op, luaL_typename(L, idx));
  const char *sql = lua_tolstring(L, idx, n);
  if (memchr(sql, 0, *n)) misuse(L, "%s: the statement has a zero byte in it", op);
  return sql;
}

// --- Statements ------------------------------------------------------------------------------

typedef struct verb {
  int (*run)(connection *c, job *j);
  corun_optype type;
} verb;

// Where an operation finds the session and the text of its statement: of a database they are
// arguments, of a prepared statement its own.
static void push_own(lua_State *L, int is_prepared, int what) {
  if (is_prepared)
    lua_getiuservalue(L, 1, what);
  else
    lua_pushvalue(L, what);
}

static int failed(lua_State *L, const query *q, int rc, const char *op) {
  if (!rc && !fault_is_set(&q->fault)) return 0;
  push_own(L, q->is_prepared, 2);
  return query_failed(L, q, rc, op, lua_gettop(L));
}

static int exec_done(lua_State *L, void *op, int rc) {
  query *q = op;
  int n = failed(L, q, rc, "exec");
  if (n) return n;
  lua_pushinteger(L, q->changes);
  lua_pushinteger(L, q->rowid);
  return 2;
}

static void push_names(lua_State *L, const query *q, const shape *columns) {
  if (q->is_prepared) lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, q->is_prepared ? -1 : 1, 1);
  rows_push_names(L, lua_gettop(L), columns);
}

static int row_done(lua_State *L, void *op, int rc) {
  query *q = op;
  int n = failed(L, q, rc, "row");
  if (n) return n;
  if (!q->rows.n) {
    lua_pushnil(L);
    return 1;
  }
  push_names(L, q, q->columns);
  rows_push(L, &q->rows, lua_gettop(L), q->columns->n);
  return 1;
}

static int value_done(lua_State *L, void *op, int rc) {
  query *q = op;
  int n = failed(L, q, rc, "value");
  if (n) return n;
  if (q->rows.n)
    rows_push_first(L, &q->rows);
  else
    lua_pushnil(L);
  return 1;
}

// The iterator lies below the operation's userdata.
static int rows_done(lua_State *L, void *op, int rc) {
  query *q = op;
  int n = failed(L, q, rc, "rows");
  if (n) return n;
  iterator *it = NULL;
  int idx = lua_gettop(L);
  while (!it || it->k != q->cursor) it = luaL_testudata(L, idx--, CURSOR_CLASS);
  idx++;
  if (q->cursor->batch.n) {
    push_names(L, q, q->cursor->columns);
    lua_setiuservalue(L, idx, 1);
  }
  lua_pushvalue(L, idx);
  return 1;
}

enum { EXEC, ROW, VALUE, ROWS };

static const verb verbs[] = {
  {query_exec, {.name = "exec", .done = exec_done, .cancel = query_cancel, .drop = query_drop}},
  {query_row, {.name = "row", .done = row_done, .cancel = query_cancel, .drop = query_drop}},
  {query_row, {.name = "value", .done = value_done, .cancel = query_cancel, .drop = query_drop}},
  {query_open_rows,
   {.name = "rows", .done = rows_done, .cancel = query_cancel, .drop = query_drop}}};

// Push an iterator for the rows of a statement.
static cursor *push_iterator(lua_State *L, session *s, int is_prepared) {
  iterator *it = lua_newuserdatauv(L, sizeof *it, 3);
  it->k = NULL;
  it->is_at_end = 0;
  luaL_setmetatable(L, CURSOR_CLASS);
  push_own(L, is_prepared, 1);
  lua_setiuservalue(L, -2, 2);
  push_own(L, is_prepared, 2);
  lua_setiuservalue(L, -2, 3);
  cursor *k = calloc(1, sizeof *k);
  if (!k) luaL_error(L, "not enough memory");
  k->c = connection_ref(s->c);
  k->release.run = cursor_release;
  rows_init(&k->batch);
  k->owner = it;
  it->k = k;
  return k;
}

// The text of the statement; it is kept by the first or the second argument.
static const char *text_of(lua_State *L, const handle *h, const char *op, size_t *n) {
  if (!h) return check_sql(L, 2, op, n);
  lua_getiuservalue(L, 1, 2);
  const char *sql = lua_tolstring(L, -1, n);
  lua_pop(L, 1);
  return sql;
}

// Begin the operation in the session `s`, of the prepared statement `h`, if it is one; its values
// are the arguments from `first` on.
static int begin_verb(lua_State *L, session *s, const handle *h, int number, int first) {
  const verb *v = &verbs[number];
  if (h && !h->p) {
    corun_pusherrorf(L, "ECLOSED", v->type.name, s->c->path, "the statement is closed");
    return raise_error(L);
  }
  params p = params_check(L, v->type.name, first);
  luaL_checkstack(L, 12, NULL);
  cursor *k = number == ROWS ? push_iterator(L, s, h != NULL) : NULL;
  size_t n;
  const char *sql = text_of(L, h, v->type.name, &n);
  query *q = query_new(L, &v->type, s, p.n);
  q->sql = sql;
  q->nsql = n;
  q->is_prepared = h != NULL;
  q->given = h && !k ? h->p : NULL;
  q->cursor = k;
  q->is_named = p.is_named;
  params_read(L, &p, q->values);
  return query_await(L, q, v->run);
}

// It is the turn of the session on top of the stack, which takes the place of the first argument,
// or the second one of a prepared statement.
static int entered(lua_State *L, int status, lua_KContext number) {
  (void)status;
  session *s = session_open_at(L, -1, verbs[number].type.name);
  const handle *h = object_at(L, 1, statement_class);
  if (h)
    lua_insert(L, 2);
  else
    lua_replace(L, 1);
  return begin_verb(L, s, h, (int)number, 3);
}

static int call_verb(lua_State *L, int number) {
  const char *op = verbs[number].type.name;
  session *s = object_at(L, 1, session_class);
  const handle *h = s ? NULL : object_at(L, 1, statement_class);
  int is_usual = s && !s->is_gated && !s->is_over && !session_is_closed(s);
  if (is_usual && lua_type(L, 2) == LUA_TSTRING) return begin_verb(L, s, NULL, number, 3);
  if (h) {
    lua_getiuservalue(L, 1, 1);
  } else {
    session_at(L, 1);
    if (lua_type(L, 2) != LUA_TSTRING) check_sql(L, 2, op, NULL);
    lua_pushvalue(L, 1);
  }
  s = session_open_at(L, -1, op);
  if (!s->is_gated) {
    lua_pop(L, 1);  // held by the first argument
    return begin_verb(L, s, h, number, h ? 2 : 3);
  }
  lua_getfield(L, LUA_REGISTRYINDEX, ENTER);
  lua_insert(L, -2);
  lua_callk(L, 1, 1, number, entered);
  return entered(L, LUA_OK, number);
}

static int l_exec(lua_State *L) {
  return call_verb(L, EXEC);
}

static int l_row(lua_State *L) {
  return call_verb(L, ROW);
}

static int l_value(lua_State *L) {
  return call_verb(L, VALUE);
}

static int l_open_rows(lua_State *L) {
  return call_verb(L, ROWS);
}

// --- Prepared statements ---------------------------------------------------------------------

static int prepare_done(lua_State *L, void *op, int rc) {
  query *q = op;
  int n = query_failed(L, q, rc, "prepare", 2);
  if (n) return n;
  lua_pushvalue(L, 3);
  return 1;
}

// (session, text)
static int l_prepare(lua_State *L) {
  static const corun_optype type = {
    .name = "prepare", .done = prepare_done, .cancel = query_cancel, .drop = query_drop};
  size_t n;
  session *s = session_open_at(L, 1, "prepare");
  const char *sql = check_sql(L, 2, "prepare", &n);
  lua_settop(L, 2);
  handle *h = lua_newuserdatauv(L, sizeof *h, 2);
  h->class = statement_class;
  h->p = NULL;
  luaL_setmetatable(L, STATEMENT_CLASS);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, 1);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, 2);
  h->p = calloc(1, sizeof *h->p);
  if (!h->p) return luaL_error(L, "not enough memory");
  h->p->c = connection_ref(s->c);
  h->p->release.run = prepared_release;
  query *q = query_new(L, &type, s, 0);
  q->is_in_transaction = 0;
  q->sql = sql;
  q->nsql = n;
  q->given = h->p;
  return query_await(L, q, query_prepare);
}

static int l_statement_close(lua_State *L) {
  handle *h = object_at(L, 1, statement_class);
  if (!h) return misuse(L, "close: a statement was expected, got a %s", luaL_typename(L, 1));
  prepared *p = h->p;
  if (!p) return 0;
  h->p = NULL;
  connection *c = p->c;
  connection_post(c, &p->release);
  connection_unref(c);
  return 0;
}

// --- Iterators -------------------------------------------------------------------------------

static void end_iterator(iterator *it) {
  cursor *k = it->k;
  if (!k) return;
  it->k = NULL;
  connection *c = k->c;
  connection_post(c, &k->release);
  connection_unref(c);
}

// The iterator at index 1; raises unless it is one.
static iterator *check_iterator(lua_State *L) {
  iterator *it = luaL_testudata(L, 1, CURSOR_CLASS);
  if (!it) misuse(L, "rows: an iterator of rows was expected, got a %s", luaL_typename(L, 1));
  return it;
}

static int l_iterator_close(lua_State *L) {
  iterator *it = check_iterator(L);
  if (it->k && it->k->is_busy)
    it->k->is_left = 1;  // another task waits for rows: it closes
  else
    end_iterator(it);
  return 0;
}

static int l_iterator_gc(lua_State *L) {
  end_iterator(check_iterator(L));
  return 0;
}

// Push nil and the error that comes behind the rows.
static int push_fault(lua_State *L, const cursor *k) {
  lua_getiuservalue(L, 1, 3);
  return fault_push(L, &k->fault, "rows", k->c->path, lua_gettop(L));
}

// Fill the list at 2 with the rows of the batch; say whether there are no more. nil, err
static int l_collect(lua_State *L) {
  iterator *it = check_iterator(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
  lua_settop(L, 2);
  lua_getiuservalue(L, 1, 1);
  while (it->k->batch.n) {
    rows_push(L, &it->k->batch, 3, it->k->columns->n);
    lua_rawseti(L, 2, ++n);
  }
  if (fault_is_set(&it->k->fault)) return push_fault(L, it->k);
  lua_pushboolean(L, it->k->is_at_end);
  return 1;
}

static int raise_closed(lua_State *L, const char *path) {
  corun_pusherrorf(L, "ECLOSED", "rows", path, "the iterator was closed");
  return raise_error(L);
}

// The next row of the batch, what comes behind the last one, nil at the end.
static int give(lua_State *L, iterator *it) {
  if (it->k->batch.n) {
    lua_getiuservalue(L, 1, 1);
    rows_push(L, &it->k->batch, lua_gettop(L), it->k->columns->n);
    return 1;
  }
  if (fault_is_set(&it->k->fault)) {
    push_fault(L, it->k);
    return raise_error(L);
  }
  end_iterator(it);
  it->is_at_end = 1;
  lua_pushnil(L);
  return 1;
}

// true, or nil and an error: the batch has rows, or the end was reached. What a cancelled task has
// asked for stays in the batch.
static int fetch_done(lua_State *L, void *op, int rc) {
  query *q = op;
  iterator *it = lua_touserdata(L, 1);
  it->k->is_busy = 0;
  if (it->k->is_left) {
    end_iterator(it);
    corun_checkpoint(L);
    return raise_closed(L, q->c->path);
  }
  corun_checkpoint(L);
  if (!rc && !fault_is_set(&q->fault)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (atomic_load(&q->job.stopped) == CORUN_ECLOSED) rc = CORUN_ECLOSED;
  lua_getiuservalue(L, 1, 3);
  return query_failed(L, q, rc, "rows", lua_gettop(L));
}

// The next row, nil at the end; raises.
static int next_done(lua_State *L, void *op, int rc) {
  if (fetch_done(L, op, rc) == 2) return raise_error(L);
  return give(L, lua_touserdata(L, 1));
}

static corun_answer fetch_cancel(void *op) {
  query *q = op;
  corun_answer answer = query_cancel(op);
  if (answer != CORUN_STOPPED) return answer;
  q->cursor->is_busy = 0;
  if (q->cursor->is_left) end_iterator(q->cursor->owner);
  return answer;
}

enum { ALL, NEXT };

static int next_row(lua_State *L, int is_turn);
static int came_in(lua_State *L, int status, lua_KContext which);

// Ask for the next batch. The transaction of another task is waited for, unless it is this one's
// turn already.
static int fetch(lua_State *L, const iterator *it, int which, int is_turn) {
  static const corun_optype types[] = {
    {.name = "all", .done = fetch_done, .cancel = fetch_cancel, .drop = query_drop},
    {.name = "rows", .done = next_done, .cancel = fetch_cancel, .drop = query_drop}};
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, 2);
  session *s = session_open_at(L, 2, "rows");
  if (s->is_gated && !is_turn) {
    lua_getfield(L, LUA_REGISTRYINDEX, ENTER);
    lua_insert(L, 2);
    lua_callk(L, 1, 0, which, came_in);
    return came_in(L, LUA_OK, which);
  }
  query *q = query_new(L, &types[which], s, 0);
  q->cursor = it->k;
  it->k->is_busy = 1;
  return query_await(L, q, query_fetch);
}

static int l_fetch(lua_State *L) {
  return fetch(L, check_iterator(L), ALL, 0);
}

static int next_row(lua_State *L, int is_turn) {
  iterator *it = check_iterator(L);
  cursor *k = it->k;
  if (!k) {
    if (!it->is_at_end) return raise_closed(L, NULL);
    lua_pushnil(L);
    return 1;
  }
  if (k->is_busy) {
    corun_pusherrorf(L, "EBUSY", "rows", k->c->path, "another task waits for the next row");
    return raise_error(L);
  }
  if (k->batch.n || k->is_at_end) return give(L, it);
  return fetch(L, it, NEXT, is_turn);
}

// Meanwhile another task may have used the iterator.
static int came_in(lua_State *L, int status, lua_KContext which) {
  (void)status;
  if (which == NEXT) return next_row(L, 1);
  return fetch(L, check_iterator(L), ALL, 1);
}

static int l_next(lua_State *L) {
  return next_row(L, 0);
}

// --- Blobs -----------------------------------------------------------------------------------

static int l_blob(lua_State *L) {
  if (lua_type(L, 1) != LUA_TSTRING)
    return misuse(L, "blob: a string was expected, got a %s", luaL_typename(L, 1));
  lua_newuserdatauv(L, 0, 1);
  luaL_setmetatable(L, BLOB_CLASS);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

// --- The module ------------------------------------------------------------------------------

// Raise the error given, at the line of the script.
static int l_raise(lua_State *L) {
  lua_settop(L, 1);
  return raise_error(L);
}

static int l_misuse(lua_State *L) {
  return misuse(L, "%s", luaL_checkstring(L, 1));
}

static void make_class(lua_State *L, const char *class, const char *field, lua_CFunction gc) {
  luaL_newmetatable(L, class);
  if (gc) {
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setfield(L, -2, field);
}

// Push the module that the policy makes of the functions.
static void make_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"exec", l_exec},
                                       {"row", l_row},
                                       {"value", l_value},
                                       {"open_rows", l_open_rows},
                                       {"prepare", l_prepare},
                                       {"next", l_next},
                                       {"collect", l_collect},
                                       {"fetch", l_fetch},
                                       {"close_rows", l_iterator_close},
                                       {"close_statement", l_statement_close},
                                       {"blob", l_blob},
                                       {"raise", l_raise},
                                       {"misuse", l_misuse},
                                       {NULL, NULL}};
  if (luaL_loadbuffer(L, (const char *)lua_parts->text, lua_parts->size, "=[corun sqlite]") !=
      LUA_OK)
    lua_error(L);
  luaL_newlib(L, functions);
  make_class(L, STATEMENT_CLASS, "statement", l_statement_close);
  make_class(L, CURSOR_CLASS, "rows", l_iterator_gc);
  make_class(L, BLOB_CLASS, "bytes", NULL);
  session_open_class(L);
  backup_open_class(L);
  lua_pushstring(L, sqlite3_libversion());
  lua_setfield(L, -2, "version");
  lua_call(L, 1, 3);
  lua_setfield(L, LUA_REGISTRYINDEX, FORSAKEN);
  lua_setfield(L, LUA_REGISTRYINDEX, ENTER);
}

__attribute__((visibility("default"))) int luaopen_corun_sqlite(lua_State *L);

int luaopen_corun_sqlite(lua_State *L) {
  corun_checkabi(L);
  if (!sqlite3_threadsafe()) return luaL_error(L, "this SQLite was built without threads");
  if (lua_getfield(L, LUA_REGISTRYINDEX, MODULE) != LUA_TNIL) return 1;
  make_module(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, MODULE);
  return 1;
}
