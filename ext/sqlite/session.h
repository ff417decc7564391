// SPDX-License-Identifier: MIT
// What scripts hold: sessions (a database, or a transaction in it) and prepared statements.
#ifndef SESSION_H
#define SESSION_H

#include "query.h"

#define SESSION_CLASS "corun.sqlite.session"
#define FORSAKEN \
  "corun.sqlite.forsaken"  // in the registry: ends a transaction left to the collector
#define STATEMENT_CLASS "corun.sqlite.statement"
#define CURSOR_CLASS "corun.sqlite.cursor"

// The first member of what scripts hold says what it is: sooner looked at than a metatable.
extern const char session_class[], statement_class[];

// The userdata at `idx` if it is of that class, else NULL. [loop]
static inline void *object_at(lua_State *L, int idx, const char *class) {
  void *object = lua_touserdata(L, idx);
  if (!object || lua_rawlen(L, idx) < sizeof class) return NULL;  // 0 of a light userdata
  return *(const char **)object == class ? object : NULL;
}

// User values: 1 the names of columns by the number of their shape, 2 the session around it.
typedef struct session {
  const char *class;
  connection *c;  // NULL once it was finalised
  int is_transaction, is_over;
  int is_gated;  // a transaction is open in it, to which only some tasks belong
  undo *undo;    // of a transaction
} session;

// [loop] A finaliser may see one whose own has run: it has no connection.
static inline int session_is_closed(const session *s) {
  return !s->c || s->c->is_closing;
}

// The session at `idx`; raises unless it is one. [loop]
session *session_at(lua_State *L, int idx);

// The same, for an operation `op` on it: raises when it is closed too. [loop]
session *session_open_at(lua_State *L, int idx, const char *op);

// Make an operation with room for `nvalues` values; push its userdata. [loop]
query *query_new(lua_State *L, const corun_optype *type, session *s, int nvalues);

// Queue it and suspend. [loop] To be returned.
int query_await(lua_State *L, query *q, int (*run)(connection *c, job *j));

corun_answer query_cancel(void *op);

// Push nil and the error of an operation that ended with `rc`, or with a fault; answer 2, or 0 when
// there was none. [loop]
int query_failed(lua_State *L, const query *q, int rc, const char *op, int sql);

// Add the functions to the table on top of the stack, and make the classes. [loop]
void session_open_class(lua_State *L);
void backup_open_class(lua_State *L);

#endif
