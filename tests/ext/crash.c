// SPDX-License-Identifier: MIT
// A Lua module that does to its process what C can do: end it, let a signal end it, hold its
// thread.
#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// exit(status)
static int l_exit(lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
}

// signal(number): as if nobody had a handler for it, sanitizers included.
static int l_signal(lua_State *L) {
  int number = (int)luaL_checkinteger(L, 1);
  signal(number, SIG_DFL);
  kill(getpid(), number);
  for (;;) pause();
  return 0;
}

// kill(pid, number)
static int l_kill(lua_State *L) {
  lua_pushboolean(L, kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)) == 0);
  return 1;
}

// hold(seconds): does not listen meanwhile.
static int l_hold(lua_State *L) {
  double seconds = luaL_checknumber(L, 1);
  struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&left, &left) < 0) continue;
  return 0;
}

// write(descriptor, bytes): all of them, whether it takes some at once or not.
static int l_write(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  int fd = (int)luaL_checkinteger(L, 1);
  while (len) {
    ssize_t n = write(fd, s, len);
    if (n < 0 && errno != EINTR && errno != EAGAIN) break;
    if (n > 0) s += n, len -= (size_t)n;
  }
  return 0;
}

static int l_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

__attribute__((visibility("default"))) int luaopen_crash(lua_State *L);

int luaopen_crash(lua_State *L) {
  static const luaL_Reg functions[] = {{"exit", l_exit}, {"kill", l_kill},   {"signal", l_signal},
                                       {"hold", l_hold}, {"write", l_write}, {"pid", l_pid},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
