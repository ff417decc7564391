// SPDX-License-Identifier: MIT
// The module corun.sftp: its C functions, given to the Lua half (lua/*.lua), which is part of this
// object and makes what scripts see.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lua_parts.h"
#include "ssh.h"

// The one thing that all runtimes of a process share: libssh2 counts its users without a lock.
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin_library(void) {
  libssh2_init(0);
}

// seconds that the server may be silent -> connection
static int l_new(lua_State *L) {
  double stall = luaL_checknumber(L, 1);
  ssh **box = lua_newuserdatauv(L, sizeof *box, SSH_HELD_COUNT);
  *box = NULL;
  ssh *s = calloc(1, sizeof *s);
  if (!s) return luaL_error(L, "not enough memory");
  s->refs = 1;
  s->fd = -1;
  s->stall = stall;
  s->blocks.next = s->blocks.prev = &s->blocks;
  *box = s;
  luaL_setmetatable(L, SSH_CLASS);
  if (ssh_open(s) < 0) return luaL_error(L, "not enough memory");
  return 1;
}

static int l_close(lua_State *L) {
  ssh_close(L, *(ssh **)luaL_checkudata(L, 1, SSH_CLASS));
  return 0;
}

static int l_tidy(lua_State *L) {
  return ssh_tidy(L, ssh_check(L));
}

static int l_is_untidy(lua_State *L) {
  lua_pushboolean(L, ssh_is_untidy(ssh_check(L)));
  return 1;
}

// Whether calls can still be made: nil, or true when it was closed, false when it is broken.
static int l_is_over(lua_State *L) {
  const ssh *s = *(ssh **)luaL_checkudata(L, 1, SSH_CLASS);
  if (!s->is_closed && !s->error) return 0;
  lua_pushboolean(L, s->is_closed);
  return 1;
}

static int gc_ssh(lua_State *L) {
  ssh **box = lua_touserdata(L, 1);
  if (*box) ssh_unref(*box);
  *box = NULL;
  return 0;
}

static int gc_file(lua_State *L) {
  ssh_file **box = lua_touserdata(L, 1);
  if (*box) ssh_forget(*box);
  *box = NULL;
  return 0;
}

static void make_class(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

// name -> what a part of the Lua half gives; each is loaded once.
static int l_part(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) return 1;
  int i = 0;
  while (lua_parts[i].name && strcmp(lua_parts[i].name, name) != 0) i++;
  if (!lua_parts[i].name) return luaL_error(L, "no part '%s'", name);
  lua_pushfstring(L, "=[corun sftp/%s.lua]", name);
  const char *text = (const char *)lua_parts[i].text;
  if (luaL_loadbuffer(L, text, lua_parts[i].size, lua_tostring(L, -1)) != LUA_OK)
    return lua_error(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_call(L, 1, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, lua_upvalueindex(1), name);
  return 1;
}

__attribute__((visibility("default"))) int luaopen_corun_sftp(lua_State *L);

int luaopen_corun_sftp(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", l_new},
                                       {"shut", l_close},
                                       {"tidy", l_tidy},
                                       {"is_untidy", l_is_untidy},
                                       {"is_over", l_is_over},
                                       {"connect", ssh_l_connect},
                                       {"handshake", ssh_l_handshake},
                                       {"methods", ssh_l_methods},
                                       {"password", ssh_l_password},
                                       {"prompts", ssh_l_prompts},
                                       {"key", ssh_l_key},
                                       {"agent", ssh_l_agent},
                                       {"start", ssh_l_start},
                                       {NULL, NULL}};
  corun_checkabi(L);
  pthread_once(&once, begin_library);
  make_class(L, SSH_CLASS, gc_ssh);
  make_class(L, SSH_FILE_CLASS, gc_file);
  luaL_newlib(L, functions);
  luaL_setfuncs(L, ssh_file_functions, 0);
  lua_pushstring(L, LIBSSH2_VERSION);
  lua_setfield(L, -2, "version");
  // part(name) itself is a field, so that the parts find each other.
  lua_newtable(L);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, l_part, 2);
  lua_setfield(L, -2, "part");
  lua_getfield(L, -1, "part");
  lua_pushliteral(L, "session");
  lua_call(L, 1, 1);
  return 1;
}
