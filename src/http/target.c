// SPDX-License-Identifier: MIT
// The target of a request, taken apart. See target.h.
#include "http/target.h"

#include <lauxlib.h>
#include <string.h>

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void push_decoded(lua_State *L, const char *s, const char *end) {
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, (size_t)(end - s)), *to = out;
  while (s < end) {
    int high = *s == '%' && end - s > 2 ? hex(s[1]) : -1, low = high < 0 ? -1 : hex(s[2]);
    *to++ = low < 0 ? *s : (char)(high << 4 | low);
    s += low < 0 ? 1 : 3;
  }
  luaL_pushresultsize(&b, (size_t)(to - out));
}

// Where the path of an absolute URL begins; `s` itself when it is none.
static const char *behind_authority(const char *s, const char *end) {
  const char *colon = memchr(s, ':', (size_t)(end - s));
  if (!colon || end - colon < 3 || colon[1] != '/' || colon[2] != '/') return s;
  for (s = colon + 3; s < end && *s != '/' && *s != '?'; s++) continue;
  return s;
}

void http_target_push_path(lua_State *L) {
  size_t n;
  const char *target = lua_tolstring(L, -1, &n), *s = target, *end = s + n;
  if (n && *s != '/') s = behind_authority(s, end);
  const char *query = memchr(s, '?', (size_t)(end - s));
  if (query) end = query;
  if (s == end)
    lua_pushliteral(L, "/");
  else if (memchr(s, '%', (size_t)(end - s)))
    push_decoded(L, s, end);
  else if (s == target && !query)
    lua_pushvalue(L, -1);
  else
    lua_pushlstring(L, s, (size_t)(end - s));
}
