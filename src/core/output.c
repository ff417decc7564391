// SPDX-License-Identifier: MIT
// Output. See output.h.
#include "core/output.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/runtime.h"

// --- Files over functions ----------------------------------------------------------------------

static void put(output *o, corun_write fn, const char *bytes, size_t n) {
  pthread_mutex_lock(&o->lock);
  fn(o->ud, bytes, n);
  pthread_mutex_unlock(&o->lock);
}

#ifdef __linux__
typedef cookie_write_function_t *file_write;

static ssize_t put_out(void *cookie, const char *bytes, size_t n) {
  output *o = cookie;
  put(o, o->out, bytes, n);
  return (ssize_t)n;
}

static ssize_t put_err(void *cookie, const char *bytes, size_t n) {
  output *o = cookie;
  put(o, o->err, bytes, n);
  return (ssize_t)n;
}

static FILE *open_over(output *o, file_write fn) {
  return fopencookie(o, "w", (cookie_io_functions_t){.write = fn});
}
#else
typedef int (*file_write)(void *cookie, const char *bytes, int n);

static int put_out(void *cookie, const char *bytes, int n) {
  output *o = cookie;
  put(o, o->out, bytes, (size_t)n);
  return n;
}

static int put_err(void *cookie, const char *bytes, int n) {
  output *o = cookie;
  put(o, o->err, bytes, (size_t)n);
  return n;
}

static FILE *open_over(output *o, file_write fn) {
  return funopen(o, NULL, fn, NULL, NULL);
}
#endif

int output_open(rt *r) {
  output *o = r->opts.output;
  if (o->out) {
    FILE *f = open_over(o, put_out);
    if (!f) return UV_ENOMEM;
    setvbuf(f, NULL, _IOLBF, BUFSIZ);
    r->out = f;
  }
  if (o->err) {
    FILE *f = open_over(o, put_err);
    if (!f) return UV_ENOMEM;
    setvbuf(f, NULL, _IONBF, 0);
    r->err = f;
  }
  return 0;
}

void output_close(rt *r) {
  if (r->out != stdout) fclose(r->out);
  if (r->err != stderr) fclose(r->err);
}

FILE *output_file(const rt *r, int fd) {
  if (fd == STDOUT_FILENO && r->out != stdout) return r->out;
  if (fd == STDERR_FILENO && r->err != stderr) return r->err;
  return NULL;
}

// --- Lua's libraries ---------------------------------------------------------------------------

// print(...), as that of Lua's own.
static int l_print(lua_State *L) {
  FILE *f = rt_of(L)->out;
  int n = lua_gettop(L);
  for (int i = 1; i <= n; i++) {
    size_t len;
    const char *s = luaL_tolstring(L, i, &len);
    if (i > 1) fputc('\t', f);
    fwrite(s, 1, len, f);
    lua_pop(L, 1);
  }
  fputc('\n', f);
  return 0;
}

// The close of a standard file, as in Lua's own io.
static int keep_open(lua_State *L) {
  luaL_Stream *s = lua_touserdata(L, 1);
  s->closef = keep_open;
  lua_pushnil(L);
  lua_pushliteral(L, "cannot close standard file");
  return 2;
}

// With the table io on top: make a field of it an object over the file, which is pushed.
static void set_file(lua_State *L, const char *name, FILE *f) {
  luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->closef = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  s->f = f;
  s->closef = keep_open;
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, name);
}

void output_bind(lua_State *L) {
  const rt *r = rt_of(L);
  int top = lua_gettop(L);
  lua_getglobal(L, LUA_IOLIBNAME);
  if (r->out != stdout) {
    lua_pushcfunction(L, l_print);
    lua_setglobal(L, "print");
    lua_getfield(L, -1, "output");
    lua_insert(L, -2);
    set_file(L, "stdout", r->out);
    lua_remove(L, -2);
    lua_call(L, 1, 0);
    lua_getglobal(L, LUA_IOLIBNAME);
  }
  if (r->err != stderr) set_file(L, "stderr", r->err);
  lua_settop(L, top);
}
