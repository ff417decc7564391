// SPDX-License-Identifier: MIT
// corun.ttycore: the bindings of the standard streams and of the terminal's size and modes;
// lua/corun/stdio.lua, tty.lua, log.lua and progress.lua build on it. Runs on the loop thread.
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/runtime.h"
#include "io/stream_lua.h"
#include "sys/mods.h"
#include "sys/stdio.h"
#include "sys/tty.h"

#define STDIO_CLASS "corun.stdio"
#define MODE_CLASS "corun.terminal mode"

static const char *const names[] = {"stdin", "stdout", "stderr", NULL};

// --- Streams ---------------------------------------------------------------------------------

static int give_stream(lua_State *L, int rc, stream *s, const char *name) {
  if (rc < 0) return err_return_uv(L, rc, "open", name);
  ((stream_box *)lua_touserdata(L, -1))->s = stream_ref(s);
  return 1;
}

// name -> stream: lua/corun/stdio.lua asks once for each.
static int l_open(lua_State *L) {
  int fd = arg_option(L, 1, NULL, names);
  stream *s = NULL;
  stream_newbox(L, STDIO_CLASS);
  int rc = stdio_open(rt_of(L), io_state_of(L), fd, &s);
  return give_stream(L, rc, s, names[fd]);
}

// -> a stream of /dev/tty
static int l_terminal(lua_State *L) {
  stream *s = NULL;
  stream_newbox(L, STDIO_CLASS);
  int rc = stdio_open_tty(rt_of(L), io_state_of(L), &s);
  return give_stream(L, rc, s, "/dev/tty");
}

// stream, text -> true | nil, err. Without a checkpoint, and never suspends.
static int l_put(lua_State *L) {
  stream_box *b = arg_object(L, 1, STDIO_CLASS);
  size_t n;
  const char *text = arg_lstring(L, 2, &n);
  if (!b->s) return err_return(L, "ECLOSED", "write", NULL, "the stream is closed");
  int rc = stdio_put(b->s, text, n);
  if (rc < 0) return stream_fail(L, b->s, rc, "write");
  lua_pushboolean(L, 1);
  return 1;
}

// stream -> the bytes that are queued
static int l_queued(lua_State *L) {
  const stream_box *b = arg_object(L, 1, STDIO_CLASS);
  lua_pushinteger(L, b->s ? (lua_Integer)stream_queued(b->s) : 0);
  return 1;
}

// --- The terminal ----------------------------------------------------------------------------

// The descriptor of "stdin", "stdout", "stderr", a standard stream, or a file of io; -1 if closed.
static int check_fd(lua_State *L, int idx) {
  if (lua_type(L, idx) == LUA_TSTRING) return arg_option(L, idx, NULL, names);
  const luaL_Stream *f = luaL_testudata(L, idx, LUA_FILEHANDLE);
  if (f) return f->closef ? fileno(f->f) : -1;
  const stream_box *b = luaL_testudata(L, idx, STDIO_CLASS);
  if (!b)
    return arg_type_error(L, idx, "\"stdin\", \"stdout\", \"stderr\", a standard stream or a file");
  return b->s && !b->s->closed ? stdio_of(b->s)->fd : -1;
}

static int l_is(lua_State *L) {
  lua_pushboolean(L, isatty(check_fd(L, 1)));
  return 1;
}

// ["stdin" ...] -> columns, rows | nil, err
static int l_size(lua_State *L) {
  int columns, rows, rc = UV_ENOTTY;
  static const int order[] = {STDOUT_FILENO, STDERR_FILENO, STDIN_FILENO};
  if (!lua_isnoneornil(L, 1)) {
    rc = tty_size(check_fd(L, 1), &columns, &rows);
  } else {
    for (int i = 0; i < 3 && rc < 0; i++) rc = tty_size(order[i], &columns, &rows);
  }
  if (rc < 0) return err_return_uv(L, rc, "size", NULL);
  lua_pushinteger(L, columns);
  lua_pushinteger(L, rows);
  return 2;
}

// -> seconds since 1970, with microseconds
static int l_time(lua_State *L) {
  uv_timeval64_t t;
  uv_gettimeofday(&t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_usec / 1e6);
  return 1;
}

// --- Modes -----------------------------------------------------------------------------------

static tty_mode **check_mode(lua_State *L) {
  return arg_object(L, 1, MODE_CLASS);
}

static int l_mode_close(lua_State *L) {
  tty_mode **box = check_mode(L);
  if (*box) tty_release(*box);
  *box = NULL;
  return 0;
}

static int l_mode_tostring(lua_State *L) {
  tty_mode **box = check_mode(L);
  lua_pushfstring(L, "terminal mode %p (%s)", (void *)box, *box ? "changed" : "restored");
  return 1;
}

// "raw" | "hidden", stream of the terminal -> guard | nil, err
static int l_change(lua_State *L) {
  static const char *const kinds[] = {"raw", "hidden", NULL};
  tty_kind kind = (tty_kind)arg_option(L, 1, NULL, kinds);
  stream *s = stream_check(L, 2, kinds[kind]);
  uv_os_fd_t fd = STDIN_FILENO;
  int rc = stdio_of(s)->base.uv ? uv_fileno((uv_handle_t *)stdio_of(s)->base.uv, &fd) : 0;
  tty_mode **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, MODE_CLASS);
  if (rc == 0) rc = tty_change(rt_of(L), fd, kind, box);
  if (rc == UV_EBUSY)
    return err_return(L, "EBUSY", kinds[kind], NULL, "the terminal's mode is changed already");
  if (rc < 0) return err_return_uv(L, rc, kinds[kind], stdio_of(s)->name);
  interrupt_closable(L);
  return 1;
}

// --- The module ------------------------------------------------------------------------------

int luaopen_corun_ttycore(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"open", l_open}, {"terminal", l_terminal}, {"put", l_put},       {"queued", l_queued},
    {"is", l_is},     {"size", l_size},         {"change", l_change}, {"time", l_time},
    {NULL, NULL}};
  static const luaL_Reg extra[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_mode_close},
                                  {"__gc", l_mode_close},
                                  {"__tostring", l_mode_tostring},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"close", l_mode_close}, {NULL, NULL}};
  stream_class(L, STDIO_CLASS, "standard stream", extra);
  if (luaL_newmetatable(L, MODE_CLASS)) {
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  luaL_getmetatable(L, STDIO_CLASS);
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "methods");
  lua_pop(L, 1);
  return 1;
}
