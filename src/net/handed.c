// SPDX-License-Identifier: MIT
// Sockets that the program was started with. See handed.h.
#include "net/handed.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/runtime.h"

#define FIRST 3            // descriptor
#define UNNAMED "unknown"  // what sd_listen_fds_with_names(3) calls it

static const char key = 0;  // its address names the table in the registry

// A whole number of the environment; 0 when there is none.
static long read_number(const char *name) {
  const char *text = getenv(name);
  char *end;
  long n = text ? strtol(text, &end, 10) : 0;
  return n > 0 && !*end ? n : 0;
}

// Take a descriptor that was inherited. What was opened since is closed on exec.
static int take(int fd) {
  int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && !(flags & FD_CLOEXEC) && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0;
}

// Fill the table on top of the stack with the names of `n` descriptors, fewer if some are not
// there.
static void note_names(lua_State *L, long n, const char *names) {
  for (int i = 0; i < n && take(FIRST + i); i++) {
    size_t len = names ? strcspn(names, ":") : 0;
    if (names)
      lua_pushlstring(L, names, len);
    else
      lua_pushliteral(L, UNNAMED);
    lua_rawseti(L, -2, i + 1);
    if (names) names = names[len] ? names + len + 1 : NULL;
  }
}

void handed_note(lua_State *L) {
  lua_newtable(L);
  if (!rt_of(L)->opts.is_embedded && getenv("LISTEN_PID")) {  // else they are the host's
    long pid = read_number("LISTEN_PID");
    if (pid == getpid()) {
      note_names(L, read_number("LISTEN_FDS"), getenv("LISTEN_FDNAMES"));
    } else {
      lua_pushinteger(L, pid);
      lua_setfield(L, -2, "other");
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_PIDFDID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

void handed_push(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
}
