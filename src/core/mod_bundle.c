// SPDX-License-Identifier: MIT
// corun.bundle: what `corun build` needs to append a script to a program. See bundle.h.
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/bundle.h"
#include "core/mods.h"

// mark(): the bytes by which the slot is found in the file of a program.
static int l_mark(lua_State *L) {
  lua_pushlstring(L, (const char *)bundle_slot_own()->mark, BUNDLE_MARK);
  return 1;
}

// seal(at, entries): the slot of a program with these entries from that byte of its file on.
static int l_seal(lua_State *L) {
  size_t size;
  lua_Integer at = arg_integer(L, 1);
  const char *entries = arg_lstring(L, 2, &size);
  bundle_slot s = *bundle_slot_own();
  s.at = (uint64_t)at;
  s.size = size;
  s.sum = bundle_sum(entries, size);
  lua_pushlstring(L, (const char *)&s, sizeof s);
  return 1;
}

// end_of(slot): the size of the program whose slot it is, without what is appended; nil if nothing
// is.
static int l_end_of(lua_State *L) {
  size_t size;
  const char *text = arg_lstring(L, 1, &size);
  bundle_slot s;
  arg_check(L, size == sizeof s, 1, "it is no slot");
  memcpy(&s, text, sizeof s);
  if (s.at)
    lua_pushinteger(L, (lua_Integer)s.at);
  else
    lua_pushnil(L);
  return 1;
}

int luaopen_corun_bundle(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"mark", l_mark}, {"seal", l_seal}, {"end_of", l_end_of}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushinteger(L, sizeof(bundle_slot));
  lua_setfield(L, -2, "size");
  return 1;
}
