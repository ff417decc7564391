// SPDX-License-Identifier: MIT
// Strings filled in place. See longstring.h.
#include "core/longstring.h"

#if CORUN_LUA_INTERNALS
#define LUA_CORE
#include <lprefix.h>

#include <lapi.h>
#include <lgc.h>
#include <lobject.h>
#include <lstate.h>
#include <lstring.h>

// As lua_pushlstring of lapi.c, but for the copy. The bytes are not looked at before they are
// hashed or compared, which long strings are only when they are used as a key.
char *longstring_push(lua_State *L, size_t n) {
  TString *s = luaS_createlngstrobj(L, n);
  setsvalue2s(L, L->top, s);
  api_incr_top(L);
  luaC_checkGC(L);
  return getstr(s);
}
#else
char *longstring_push(lua_State *L, size_t n) {
  (void)L;
  (void)n;
  return NULL;
}
#endif
