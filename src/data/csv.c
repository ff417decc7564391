// SPDX-License-Identifier: MIT
// Comma-separated values to rows. See csv.h.
#include "data/csv.h"

#include <lauxlib.h>
#include <string.h>

#include "core/error.h"

static const char byte_order_mark[] = "\xEF\xBB\xBF";

// One call of csv_feed: the indices of what is on the Lua stack, and where the piece stands.
typedef struct feeding {
  lua_State *L;
  csv_reader *r;
  csv_state state;
  int rows, row, names;
  lua_Integer count;   // of rows
  const char *first;   // of the piece
  const char *row_at;  // where the row under way begins in it
  const char *at;      // the next byte
  const char *end;
  const char *code;  // of the error, with `reason`
  const char *reason;
} feeding;

void csv_init(csv_reader *r, char separator, int quote, size_t max) {
  memset(r, 0, sizeof *r);
  buffer_init(&r->field);
  r->separator = separator;
  r->quote = quote;
  r->max = max;
  r->line = 1;
  r->ends['\r'] = r->ends['\n'] = r->ends[(unsigned char)separator] = 1;
  if (quote != CSV_NO_QUOTE) r->ends[(unsigned char)quote] = 1;
}

void csv_fini(csv_reader *r) {
  buffer_fini(&r->field);
}

static csv_state fail(feeding *f, const char *code, const char *reason) {
  f->code = code;
  f->reason = reason;
  return CSV_FAILED;
}

static void keep(feeding *f, const char *s, size_t n) {
  if (buffer_append(&f->r->field, s, n) < 0) {
    lua_pushliteral(f->L, "not enough memory");
    lua_error(f->L);
  }
}

// The field ends with the bytes from `s`, behind those that were kept.
static void end_field(feeding *f, const char *s, size_t n) {
  lua_State *L = f->L;
  csv_reader *r = f->r;
  if (!r->columns++) {
    lua_createtable(L, r->names ? 0 : (int)r->width, r->names ? (int)r->names : 0);
    lua_replace(L, f->row);
  }
  int is_named = r->columns <= r->names;
  if (is_named) lua_rawgeti(L, f->names, r->columns);
  if (buffer_len(&r->field)) {
    keep(f, s, n);
    lua_pushlstring(L, buffer_bytes(&r->field), buffer_len(&r->field));
    buffer_consume(&r->field, buffer_len(&r->field));
  } else {
    lua_pushlstring(L, s, n);
  }
  if (is_named)
    lua_rawset(L, f->row);
  else
    lua_rawseti(L, f->row, r->columns);
}

// The row under way becomes the names of the columns.
static csv_state take_names(feeding *f) {
  lua_State *L = f->L;
  csv_reader *r = f->r;
  lua_createtable(L, 0, (int)r->columns);
  for (lua_Integer i = 1; i <= r->columns; i++) {
    lua_rawgeti(L, f->row, i);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) != LUA_TNIL)
      return fail(f, "ECSV",
                  lua_pushfstring(L, "columns %I and %I have the same name",
                                  (LUAI_UACINT)lua_tointeger(L, -1), (LUAI_UACINT)i));
    lua_pop(L, 1);
    lua_pushinteger(L, i);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
  lua_pushvalue(L, f->row);
  lua_replace(L, f->names);
  r->names = r->columns;
  r->wants_names = 0;
  return CSV_START;
}

static int is_too_long(const feeding *f) {
  return f->r->size + (size_t)(f->at - f->row_at) > f->r->max;
}

static csv_state end_row(feeding *f) {
  csv_reader *r = f->r;
  if (is_too_long(f)) return fail(f, "EMSGSIZE", "the row is longer than max");
  if (r->wants_names) {
    if (take_names(f) == CSV_FAILED) return CSV_FAILED;
  } else {
    lua_pushvalue(f->L, f->row);
    lua_rawseti(f->L, f->rows, ++f->count);
  }
  r->width = r->columns;
  r->columns = 0;
  return CSV_START;
}

// What follows a field: a separator, or the end of the row.
static csv_state go_on(feeding *f) {
  char c = *f->at;
  if (c == f->r->separator) {
    f->at++;
    return CSV_FIELD;
  }
  if (end_row(f) == CSV_FAILED) return CSV_FAILED;
  f->at++;
  f->r->line++;
  return c == '\r' ? CSV_CR : CSV_START;
}

static csv_state start_row(feeding *f) {
  char c = *f->at;
  if (c == '\n' || c == '\r') {  // a blank line is no row
    f->at++;
    f->r->line++;
    return c == '\r' ? CSV_CR : CSV_START;
  }
  f->row_at = f->at;
  f->r->size = 0;
  return CSV_FIELD;
}

static csv_state start_field(feeding *f) {
  if ((unsigned char)*f->at != f->r->quote) return CSV_PLAIN;
  f->at++;
  f->r->opened = f->r->line;
  return CSV_QUOTED;
}

static csv_state take_plain(feeding *f) {
  const char *from = f->at, *p = from;
  while (p < f->end && !f->r->ends[(unsigned char)*p]) p++;
  f->at = p;
  if (p == f->end) {
    keep(f, from, (size_t)(p - from));
    return CSV_PLAIN;
  }
  if ((unsigned char)*p == f->r->quote)
    return fail(f, "ECSV", "a quote in a field that does not begin with one");
  end_field(f, from, (size_t)(p - from));
  return go_on(f);
}

static csv_state take_quoted(feeding *f) {
  const char *from = f->at, *quote = memchr(from, f->r->quote, (size_t)(f->end - from));
  const char *stop = quote ? quote : f->end, *line = from;
  while ((line = memchr(line, '\n', (size_t)(stop - line)))) {
    f->r->line++;
    line++;
  }
  f->at = quote ? quote + 1 : stop;
  if (quote && f->at < f->end && (unsigned char)*f->at != f->r->quote) {
    end_field(f, from, (size_t)(quote - from));
    return CSV_CLOSED;
  }
  keep(f, from, (size_t)(stop - from));
  return quote ? CSV_QUOTE : CSV_QUOTED;
}

static csv_state take_quote(feeding *f) {
  if ((unsigned char)*f->at != f->r->quote) {
    end_field(f, f->at, 0);
    return CSV_CLOSED;
  }
  keep(f, f->at++, 1);
  return CSV_QUOTED;
}

static csv_state step(feeding *f) {
  switch (f->state) {
    case CSV_CR:
      if (*f->at == '\n') f->at++;
      return CSV_START;
    case CSV_START: return start_row(f);
    case CSV_FIELD: return start_field(f);
    case CSV_PLAIN: return take_plain(f);
    case CSV_QUOTED: return take_quoted(f);
    case CSV_QUOTE: return take_quote(f);
    case CSV_CLOSED:
      if (!f->r->ends[(unsigned char)*f->at])
        return fail(f, "ECSV", "a quoted field goes on behind its last quote");
      return go_on(f);
    case CSV_FAILED: break;
  }
  return CSV_FAILED;
}

// There are no more bytes: what is under way ends.
static csv_state finish(feeding *f) {
  switch (f->state) {
    case CSV_FIELD:
    case CSV_PLAIN:
    case CSV_QUOTE: end_field(f, f->end, 0); return end_row(f);
    case CSV_CLOSED: return end_row(f);
    case CSV_QUOTED: f->r->line = f->r->opened; return fail(f, "ECSV", "a quoted field has no end");
    case CSV_FAILED: return CSV_FAILED;
    case CSV_START:
    case CSV_CR: break;
  }
  return CSV_START;
}

// Pass over a byte order mark at the beginning; what looked like one belongs to the first field.
static void skip_mark(feeding *f, int is_last) {
  csv_reader *r = f->r;
  while (r->mark < 3 && f->at < f->end && *f->at == byte_order_mark[r->mark]) {
    f->at++;
    r->mark++;
  }
  if (r->mark == 3 || (f->at == f->end && !is_last)) return;
  if (r->mark) {
    keep(f, byte_order_mark, r->mark);
    f->state = CSV_PLAIN;
  }
  r->mark = 3;
}

static void push_fault(const feeding *f) {
  lua_Integer place = (lua_Integer)(f->r->offset + (uint64_t)(f->at - f->first)) + 1;
  lua_Integer line = (lua_Integer)f->r->line;
  err_push(f->L, f->code, "decode", NULL, "line %I: %s at byte %I", (LUAI_UACINT)line, f->reason,
           (LUAI_UACINT)place);
  lua_pushinteger(f->L, line);
  lua_setfield(f->L, -2, "line");
  lua_pushinteger(f->L, place);
  lua_setfield(f->L, -2, "offset");
}

void csv_feed(lua_State *L, csv_reader *r, const char *s, size_t len, int is_last) {
  int top = lua_gettop(L);
  feeding f = {.L = L,
               .r = r,
               .state = r->state,
               .rows = top + 1,
               .row = top + 2,
               .names = top + 3,
               .first = s,
               .row_at = s,
               .at = s,
               .end = s + len};
  r->state = CSV_FAILED;  // for good, should something raise
  luaL_checkstack(L, 10, NULL);
  lua_newtable(L);
  lua_getiuservalue(L, 1, CSV_ROW);
  lua_getiuservalue(L, 1, CSV_NAMES);
  if (r->mark < 3) skip_mark(&f, is_last);
  while (f.at < f.end && f.state != CSV_FAILED) f.state = step(&f);
  if (is_last && f.state != CSV_FAILED) f.state = finish(&f);
  int is_within = f.state != CSV_START && f.state != CSV_CR && f.state != CSV_FAILED;
  if (is_within && is_too_long(&f)) f.state = fail(&f, "EMSGSIZE", "the row is longer than max");
  lua_pushvalue(L, f.row);
  lua_setiuservalue(L, 1, CSV_ROW);
  lua_pushvalue(L, f.names);
  lua_setiuservalue(L, 1, CSV_NAMES);
  if (f.reason)
    push_fault(&f);
  else
    lua_pushnil(L);
  lua_replace(L, f.row);
  lua_settop(L, f.row);
  r->size += (size_t)(f.at - f.row_at);
  r->offset += len;
  r->state = f.state;
}
