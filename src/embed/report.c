// SPDX-License-Identifier: MIT
// Reports of errors. See report.h.
#include "embed/report.h"

#include <lauxlib.h>
#include <stdint.h>

#include "core/error.h"
#include "core/trace.h"

#define MOST_OTHERS 10  // further failures that a report shows
#define MOST_CAUSES 8

// Push a text for the error at `idx`, as lua(1) does.
static void push_text(lua_State *L, int idx) {
  if (lua_isstring(L, idx)) {
    lua_pushvalue(L, idx);
    return;
  }
  if (luaL_getmetafield(L, idx, "__tostring") != LUA_TNIL) {
    lua_pushvalue(L, idx);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1)) return;
    lua_pop(L, 1);
  }
  lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, idx));
}

// Print the text on top of the stack as a line, and pop it.
static void print_line(lua_State *L, FILE *f, const char *label) {
  size_t n;
  const char *text = lua_tolstring(L, -1, &n);
  fputs(label, f);
  fwrite(text, 1, n, f);
  fputc('\n', f);
  lua_pop(L, 1);
}

// Say whether the traceback on top of the stack, of the error at `idx`, is that of its cause too,
// and will be shown there.
static int is_trace_of_cause(lua_State *L, int idx) {
  int top = lua_gettop(L), same = 0;
  if (err_is(L, idx) && lua_getfield(L, idx, "cause") != LUA_TNIL) {
    trace_push(L, -1);
    same = lua_rawequal(L, -1, top);
  }
  lua_settop(L, top);
  return same;
}

// Print the error on top of the stack with its traceback, its causes and what else failed, and pop
// it.
static void print_error(lua_State *L, FILE *f, const char *label, int depth) {
  int idx = lua_gettop(L);
  luaL_checkstack(L, 10, NULL);
  push_text(L, idx);
  print_line(L, f, label);
  trace_push(L, idx);
  if (lua_isstring(L, -1) && !is_trace_of_cause(L, idx)) print_line(L, f, "");
  lua_settop(L, idx);
  if (depth < MOST_CAUSES && err_is(L, idx)) {
    if (lua_getfield(L, idx, "cause") != LUA_TNIL) print_error(L, f, "caused by: ", depth + 1);
    lua_settop(L, idx);
    if (lua_getfield(L, idx, "others") == LUA_TTABLE) {
      lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
      for (lua_Integer i = 1; i <= n && i <= MOST_OTHERS; i++) {
        lua_rawgeti(L, idx + 1, i);
        print_error(L, f, "also: ", depth + 1);
      }
      lua_getfield(L, idx, "omitted");
      n += lua_tointeger(L, -1);
      if (n > MOST_OTHERS) fprintf(f, "and %d more\n", (int)(n - MOST_OTHERS));
    }
  }
  lua_settop(L, idx - 1);
}

// file, label, error
static int l_report(lua_State *L) {
  print_error(L, lua_touserdata(L, 1), lua_touserdata(L, 2), 0);
  return 0;
}

void report_write(lua_State *L, FILE *f, const char *label) {
  lua_pushcfunction(L, l_report);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, f);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, (void *)(uintptr_t)label);
  lua_insert(L, -2);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  lua_pop(L, 1);
  fprintf(f, "%snot enough memory\n", label);
}
