// SPDX-License-Identifier: MIT
// A program that runs scripts inside itself: it gives them a function, takes their output, and
// tells how they ended. docs/embedding.md explains it line by line.
#include <corun.h>
#include <stdio.h>
#include <string.h>

static int l_greet(lua_State *L) {
  lua_pushfstring(L, "Hello, %s!", luaL_checkstring(L, 1));
  return 1;
}

static int open_host(lua_State *L) {
  static const luaL_Reg functions[] = {{"greet", l_greet}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

static void take_line(void *ud, const char *bytes, size_t n) {
  (void)ud;
  printf("script: %.*s", (int)n, bytes);
}

int main(int argc, char **argv) {
  (void)argc;
  corun_options options = {
    .size = sizeof options,
    .argv = (const char *const *)argv + 1,
    .out = take_line,
    .memory = 64 << 20,
  };
  corun_runtime *rt;
  int rc = corun_new(&rt, &options);
  if (rc < 0) {
    fprintf(stderr, "cannot make a runtime: %s\n", strerror(-rc));
    return 1;
  }

  luaL_getsubtable(corun_state(rt), LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(corun_state(rt), open_host);
  lua_setfield(corun_state(rt), -2, "host");
  lua_pop(corun_state(rt), 1);

  corun_status status = corun_run_file(rt, argv[1]);
  if (status != CORUN_DONE) printf("it failed: %s\n", corun_error(rt));
  corun_close(rt);
  return status == CORUN_DONE ? 0 : 1;
}
