// SPDX-License-Identifier: MIT
// corun.cookiecore: what lua/corun/http_cookies*.lua stands on: dates and public suffixes. Runs on
// the loop thread.
#include <lauxlib.h>

#include "core/args.h"
#include "core/error.h"
#include "http/cookie_date.h"
#include "http/mods.h"
#include "http/public_suffix.h"

// date(s): seconds since 1970, or nil.
static int l_date(lua_State *L) {
  size_t n;
  const char *s = arg_lstring(L, 1, &n);
  int64_t seconds;
  if (!cookie_date_parse(s, n, &seconds)) return 0;
  lua_pushinteger(L, seconds);
  return 1;
}

static void need_suffixes(lua_State *L) {
  const char *why = public_suffix_load();
  if (why) err_raise(L, "ENOSYS", "cookies", NULL, "%s", why);
}

// load_suffixes(): so that a missing library is told when a jar is made.
static int l_load_suffixes(lua_State *L) {
  need_suffixes(L);
  return 0;
}

// is_public_suffix(domain)
static int l_is_public_suffix(lua_State *L) {
  const char *domain = arg_string(L, 1);
  need_suffixes(L);
  lua_pushboolean(L, public_suffix_is(domain));
  return 1;
}

// registrable(host): its domain below a public suffix, or nil.
static int l_registrable(lua_State *L) {
  const char *host = arg_string(L, 1);
  need_suffixes(L);
  lua_pushstring(L, public_suffix_registrable(host));
  return 1;
}

int luaopen_corun_cookiecore(lua_State *L) {
  static const luaL_Reg functions[] = {{"date", l_date},
                                       {"load_suffixes", l_load_suffixes},
                                       {"is_public_suffix", l_is_public_suffix},
                                       {"registrable", l_registrable},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
