// SPDX-License-Identifier: MIT
// Failures. See fault.h.
#include "fault.h"

#include <stdarg.h>
#include <string.h>

#define MOST_SHOWN 60  // bytes of a statement in a message

void fault_note(fault *f, sqlite3 *db, int rc) {
  fault_fini(f);
  f->code = rc;
  f->offset = -1;
#if SQLITE_VERSION_NUMBER >= 3038000
  if (db) f->offset = sqlite3_error_offset(db);
#endif
  int is_of_handle = db && (sqlite3_errcode(db) & 0xff) == (rc & 0xff);
  f->message = sqlite3_mprintf("%s", is_of_handle ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

void fault_say(fault *f, int rc, int is_misuse, const char *fmt, ...) {
  va_list ap;
  fault_fini(f);
  f->code = rc;
  f->is_misuse = is_misuse;
  f->offset = -1;
  va_start(ap, fmt);
  f->message = sqlite3_vmprintf(fmt, ap);
  va_end(ap);
}

void fault_fini(fault *f) {
  sqlite3_free(f->message);
  f->message = NULL;
}

// --- Names -----------------------------------------------------------------------------------

#define NAME(code) \
  { code, #code }

static const struct {
  int code;
  const char *name;
} names[] = {NAME(SQLITE_ERROR),
             NAME(SQLITE_INTERNAL),
             NAME(SQLITE_PERM),
             NAME(SQLITE_ABORT),
             NAME(SQLITE_BUSY),
             NAME(SQLITE_LOCKED),
             NAME(SQLITE_NOMEM),
             NAME(SQLITE_READONLY),
             NAME(SQLITE_INTERRUPT),
             NAME(SQLITE_IOERR),
             NAME(SQLITE_CORRUPT),
             NAME(SQLITE_NOTFOUND),
             NAME(SQLITE_FULL),
             NAME(SQLITE_CANTOPEN),
             NAME(SQLITE_PROTOCOL),
             NAME(SQLITE_EMPTY),
             NAME(SQLITE_SCHEMA),
             NAME(SQLITE_TOOBIG),
             NAME(SQLITE_CONSTRAINT),
             NAME(SQLITE_MISMATCH),
             NAME(SQLITE_MISUSE),
             NAME(SQLITE_NOLFS),
             NAME(SQLITE_AUTH),
             NAME(SQLITE_FORMAT),
             NAME(SQLITE_RANGE),
             NAME(SQLITE_NOTADB),
             NAME(SQLITE_ABORT_ROLLBACK),
             NAME(SQLITE_BUSY_RECOVERY),
             NAME(SQLITE_BUSY_SNAPSHOT),
             NAME(SQLITE_BUSY_TIMEOUT),
             NAME(SQLITE_CANTOPEN_FULLPATH),
             NAME(SQLITE_CANTOPEN_ISDIR),
             NAME(SQLITE_CANTOPEN_NOTEMPDIR),
             NAME(SQLITE_CANTOPEN_SYMLINK),
             NAME(SQLITE_CONSTRAINT_CHECK),
             NAME(SQLITE_CONSTRAINT_COMMITHOOK),
             NAME(SQLITE_CONSTRAINT_DATATYPE),
             NAME(SQLITE_CONSTRAINT_FOREIGNKEY),
             NAME(SQLITE_CONSTRAINT_FUNCTION),
             NAME(SQLITE_CONSTRAINT_NOTNULL),
             NAME(SQLITE_CONSTRAINT_PINNED),
             NAME(SQLITE_CONSTRAINT_PRIMARYKEY),
             NAME(SQLITE_CONSTRAINT_ROWID),
             NAME(SQLITE_CONSTRAINT_TRIGGER),
             NAME(SQLITE_CONSTRAINT_UNIQUE),
             NAME(SQLITE_CONSTRAINT_VTAB),
             NAME(SQLITE_CORRUPT_INDEX),
             NAME(SQLITE_CORRUPT_SEQUENCE),
             NAME(SQLITE_CORRUPT_VTAB),
             NAME(SQLITE_ERROR_MISSING_COLLSEQ),
             NAME(SQLITE_ERROR_RETRY),
             NAME(SQLITE_ERROR_SNAPSHOT),
             NAME(SQLITE_IOERR_ACCESS),
             NAME(SQLITE_IOERR_CLOSE),
             NAME(SQLITE_IOERR_DELETE),
             NAME(SQLITE_IOERR_DELETE_NOENT),
             NAME(SQLITE_IOERR_FSTAT),
             NAME(SQLITE_IOERR_FSYNC),
             NAME(SQLITE_IOERR_LOCK),
             NAME(SQLITE_IOERR_MMAP),
             NAME(SQLITE_IOERR_NOMEM),
             NAME(SQLITE_IOERR_RDLOCK),
             NAME(SQLITE_IOERR_READ),
             NAME(SQLITE_IOERR_SHMLOCK),
             NAME(SQLITE_IOERR_SHMMAP),
             NAME(SQLITE_IOERR_SHMOPEN),
             NAME(SQLITE_IOERR_SHMSIZE),
             NAME(SQLITE_IOERR_SHORT_READ),
             NAME(SQLITE_IOERR_TRUNCATE),
             NAME(SQLITE_IOERR_UNLOCK),
             NAME(SQLITE_IOERR_WRITE),
             NAME(SQLITE_LOCKED_SHAREDCACHE),
             NAME(SQLITE_LOCKED_VTAB),
             NAME(SQLITE_READONLY_CANTINIT),
             NAME(SQLITE_READONLY_CANTLOCK),
             NAME(SQLITE_READONLY_DBMOVED),
             NAME(SQLITE_READONLY_DIRECTORY),
             NAME(SQLITE_READONLY_RECOVERY),
             NAME(SQLITE_READONLY_ROLLBACK)};

static const char *name_of(int code) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].code == code) return names[i].name;
  return NULL;
}

// --- On the loop -----------------------------------------------------------------------------

// Push the position of the innermost Lua function that is none of the module's own.
static void push_where(lua_State *L) {
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || strncmp(ar.source, "=[corun", 7) == 0) continue;
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    return;
  }
  lua_pushliteral(L, "");
}

int misuse(lua_State *L, const char *fmt, ...) {
  va_list ap;
  push_where(L);
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  lua_concat(L, 2);
  return lua_error(L);
}

int raise_error(lua_State *L) {
  push_where(L);
  lua_setfield(L, -2, "where");
  return lua_error(L);
}

// Push the message: with the statement, or its part from the token that was not understood.
static const char *push_message(lua_State *L, const fault *f, int sql) {
  size_t n = 0;
  const char *text = sql ? lua_tolstring(L, sql, &n) : NULL;
  if (!text || f->offset < 0 || (size_t)f->offset >= n)
    return lua_pushstring(L, f->message ? f->message : "out of memory");
  size_t from = (size_t)f->offset, left = n - from;
  int is_cut = left > MOST_SHOWN;
  lua_pushlstring(L, text + from, is_cut ? MOST_SHOWN : left);
  return lua_pushfstring(L, "%s, at byte %d: %s%s", f->message, f->offset + 1, lua_tostring(L, -1),
                         is_cut ? "..." : "");
}

int fault_push(lua_State *L, const fault *f, const char *op, const char *target, int sql) {
  luaL_checkstack(L, 8, NULL);
  const char *message = push_message(L, f, sql);
  if (f->is_misuse) return misuse(L, "%s: %s", op, message);
  const char *primary = name_of(f->code & 0xff), *extended = name_of(f->code);
  corun_pusherrorf(L, primary ? primary : "SQLITE_ERROR", op, target, "%s", message);
  lua_pushstring(L, extended ? extended : primary);
  lua_setfield(L, -2, "extended");
  if (sql) {
    lua_pushvalue(L, sql);
    lua_setfield(L, -2, "sql");
  }
  if (f->offset >= 0) {
    lua_pushinteger(L, f->offset + 1);
    lua_setfield(L, -2, "offset");
  }
  if ((f->code & 0xff) == SQLITE_BUSY || (f->code & 0xff) == SQLITE_LOCKED) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "retryable");
  }
  return 2;
}
