// SPDX-License-Identifier: MIT
// Fuzzes the parser of URLs: no input makes it raise, what it hands out may stand in a request line
// and in a Host header, and what it made of a URL is parsed as the same again.
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mods.h"
#include "core/modules.h"
#include "core/runtime.h"
#include "http/mods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.httpcore", luaopen_corun_httpcore},
                                   {NULL, NULL}};

static const char check[] =
  "local url = require 'corun.http_url'\n"
  "return function(text)\n"
  "  local u, err = url.parse(text)\n"
  "  if not u then return assert(err.code == 'EURL' and #tostring(err) > 0) end\n"
  "  assert(u.target:find('^/') and not u.target:find('[%z\\1-\\32\\127-\\255\"<>\\\\^`{}#]'))\n"
  "  assert(math.type(u.port) == 'integer' and u.port >= 1 and u.port <= 65535)\n"
  "  assert(#u.host >= 1 and #u.host <= 253)\n"
  "  assert(not (u.host .. u.name):find('[%z\\1-\\32\\127-\\255/?#@]'))\n"
  "  local again = assert(url.parse('http://' .. u.origin .. u.target))\n"
  "  assert(again.origin == u.origin and again.target == u.target and again.port == u.port)\n"
  "  assert(url.parse(url.join('http://' .. u.origin, u.target)).target == u.target)\n"
  "  assert(url.parse('http://h/' .. url.encode(text)))\n"
  "end\n";

static lua_State *start(void) {
  rt_options options = {.grace = 5};
  rt *r = rt_new(&options);
  if (!r) abort();
  modules_open(r->L, modules);
  if (luaL_dostring(r->L, check) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(r->L, -1));
    abort();
  }
  return r->L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (!L) L = start();
  lua_pushvalue(L, -1);
  lua_pushlstring(L, (const char *)data, size);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    abort();
  }
  return 0;
}
