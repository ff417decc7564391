// SPDX-License-Identifier: MIT
// For targets that check their inputs in Lua: one runtime for all inputs, whose root task gives
// each to the function that a chunk of Lua returns. What that raises ends the target.
#ifndef FUZZ_LUA_H
#define FUZZ_LUA_H

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mods.h"
#include "core/modules.h"
#include "core/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_must(lua_State *L, int status) {
  if (status == LUA_OK) return;
  fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  abort();
}

// Make the runtime, with the function that `check` returns on its stack.
static inline rt *fuzz_start(const luaL_Reg *modules, const char *check) {
  rt_options options = {.grace = 5};
  rt *r = rt_new(&options, NULL);
  if (!r) abort();
  modules_open(r->L, modules);
  fuzz_must(r->L, luaL_dostring(r->L, check));
  return r;
}

// The answer of LLVMFuzzerTestOneInput.
static inline int fuzz_lua(const luaL_Reg *modules, const char *check, const uint8_t *data,
                           size_t size) {
  static rt *r;  // for the life of the process, as libFuzzer wants it
  if (!r) r = fuzz_start(modules, check);
  lua_pushvalue(r->L, -1);
  lua_pushlstring(r->L, (const char *)data, size);
  fuzz_must(r->L, rt_run(r, 1));
  return 0;
}

#endif
