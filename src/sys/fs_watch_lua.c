// SPDX-License-Identifier: MIT
// Watches as scripts of corun's own see them: add, remove, wait, take, close.
// lua/corun/fs_watch.lua makes of them what users see. Runs on the loop thread.
#include <lauxlib.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "sys/fs_lua.h"
#include "sys/fs_watch.h"

#define WATCH_CLASS "corun.watch"

static watch *check(lua_State *L) {
  watch *w = *(watch **)arg_object(L, 1, WATCH_CLASS);
  arg_check(L, w, 1, "it is empty");
  return w;
}

int fs_l_watch(lua_State *L) {
  watch **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, WATCH_CLASS);
  *box = watch_new(rt_of(L));
  if (!*box) return luaL_error(L, "not enough memory");
  interrupt_closable(L);
  return 1;
}

// path, recursive -> number of the directory
static int l_add(lua_State *L) {
  watch *w = check(L);
  const char *path = fs_check_path(L, 2);
  uint32_t id;
  int rc = w->closed ? UV_ECANCELED : watch_add(w, path, lua_toboolean(L, 3), &id);
  if (rc < 0) return err_return_uv(L, rc, "watch", path);
  lua_pushinteger(L, id);
  return 1;
}

static int l_remove(lua_State *L) {
  watch_remove(check(L), (uint32_t)arg_integer(L, 2));
  return 0;
}

// Whether there are events; false once it is closed.
static int on_events(lua_State *L, void *arg, int rc) {
  watch *w = arg;
  (void)rc;
  watch_woken(w);
  lua_pushboolean(L, !w->closed);
  return 1;
}

static const wait_ops wait_events = {"a change of files", watch_cancel, on_events, NULL};

static int l_wait(lua_State *L) {
  watch *w = check(L);
  task_checkpoint(L);
  if (w->t) return err_raise(L, "EBUSY", "watch", NULL, "another task is waiting for its events");
  if (!w->closed && !watch_has_events(w)) return watch_wait(L, w, &wait_events);
  lua_pushboolean(L, !w->closed);
  return 1;
}

// -> the events, flat: number of the directory, name, whether it was renamed; whether any was lost
static int l_take(lua_State *L) {
  watch *w = check(L);
  size_t at = 0;
  lua_Integer n = 0;
  lua_newtable(L);
  for (const watch_event *e; (e = watch_next(w, &at));) {
    lua_pushinteger(L, e->id);
    lua_rawseti(L, 2, ++n);
    lua_pushlstring(L, (const char *)(e + 1), e->len);
    lua_rawseti(L, 2, ++n);
    lua_pushboolean(L, (e->what & UV_RENAME) != 0);
    lua_rawseti(L, 2, ++n);
  }
  lua_pushboolean(L, w->lost);
  watch_clear(w);
  return 2;
}

static int l_close(lua_State *L) {
  watch_close(check(L), site_here(L, 0));
  return 0;
}

static int l_gc(lua_State *L) {
  watch **box = lua_touserdata(L, 1), *w = *box;
  *box = NULL;
  if (!w) return 0;
  watch_close(w, 0);
  watch_unref(w);
  return 0;
}

void fs_open_watches(lua_State *L) {
  static const luaL_Reg methods[] = {{"add", l_add},   {"remove", l_remove}, {"wait", l_wait},
                                     {"take", l_take}, {"close", l_close},   {NULL, NULL}};
  if (luaL_newmetatable(L, WATCH_CLASS)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "watch");
    lua_setfield(L, -2, "__name");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}
