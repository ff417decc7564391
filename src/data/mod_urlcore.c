// SPDX-License-Identifier: MIT
// corun.urlcore: the bindings of the parser of URLs and of percent-coding; lua/corun/url.lua makes
// the module corun.url of them. Owns the metatable of parsed URLs. Runs on the loop thread.
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "data/mods.h"
#include "data/url.h"
#include "data/url_text.h"

#define URL_CLASS "corun.url"
#define ON_STACK 2048  // room for a URL of ordinary length

// Memory for a text: the array while it is large enough, else a userdata that is pushed.
static char *room_for(lua_State *L, size_t size, char *array) {
  return size <= ON_STACK ? array : lua_newuserdatauv(L, size, 0);
}

static const char *check_string(lua_State *L, int idx, size_t *len) {
  arg_type(L, idx, LUA_TSTRING);
  return lua_tolstring(L, idx, len);
}

// --- Parsing -----------------------------------------------------------------------------------

// Push nil and the error about a text that is no URL, which is shown without control characters.
static int refuse(lua_State *L, const char *text, size_t len, const char *why) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    char code[8];
    if (c >= 32 && c != 127) {
      luaL_addchar(&b, (char)c);
    } else {
      snprintf(code, sizeof code, "\\x%02X", c);
      luaL_addstring(&b, code);
    }
  }
  luaL_pushresult(&b);
  return err_return(L, "EURL", "parse URL", lua_tostring(L, -1), "%s", why);
}

static void set_span(lua_State *L, const url *u, const char *key, url_span s) {
  lua_pushlstring(L, u->text + s.at, s.len);
  lua_setfield(L, -2, key);
}

static void push_url(lua_State *L, const url *u) {
  lua_createtable(L, 0, 4 + (u->user.len > 0) + (u->port >= 0) + u->has_query + u->has_fragment);
  set_span(L, u, "scheme", u->scheme);
  if (u->user.len || u->password.len) set_span(L, u, "user", u->user);
  if (u->password.len) set_span(L, u, "password", u->password);
  if (u->has_host) {
    url_span host = u->host;
    if (host.len && u->text[host.at] == '[') host = (url_span){host.at + 1, host.len - 2};
    set_span(L, u, "host", host);
  }
  if (u->port >= 0) {
    lua_pushinteger(L, u->port);
    lua_setfield(L, -2, "port");
  }
  set_span(L, u, "path", u->path);
  if (u->has_query) set_span(L, u, "query", u->query);
  if (u->has_fragment) set_span(L, u, "fragment", u->fragment);
  luaL_setmetatable(L, URL_CLASS);
}

static int push_whole(lua_State *L, const url *u) {
  lua_pushlstring(L, u->text, u->len);
  return 1;
}

// Parse the text at index 1 relative to the base at index 2, a text or a parsed URL, and push the
// result: the whole as a string, or its parts.
static int parse(lua_State *L, int as_whole, int as_is) {
  char array[ON_STACK], base_array[ON_STACK];
  size_t len, base_len;
  url u, base, *relative_to = NULL;
  const char *text = check_string(L, 1, &len), *why;
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
    if (!lua_isstring(L, 2) && !luaL_getmetafield(L, 2, "__tostring"))
      return arg_type_error(L, 2, "string or URL");
    const char *base_text = luaL_tolstring(L, 2, &base_len);
    base.capacity = url_room(base_len, NULL);
    base.text = room_for(L, base.capacity, base_array);
    why = url_parse(&base, base_text, base_len, NULL, as_is);
    if (why) return refuse(L, base_text, base_len, why);
    relative_to = &base;
  }
  u.capacity = url_room(len, relative_to);
  u.text = room_for(L, u.capacity, array);
  why = url_parse(&u, text, len, relative_to, as_is);
  if (why) return refuse(L, text, len, why);
  if (as_whole) return push_whole(L, &u);
  push_url(L, &u);
  return 1;
}

static int l_parse(lua_State *L) {
  return parse(L, 0, 0);
}

// whole(s[, base]): the same as one string.
static int l_whole(lua_State *L) {
  return parse(L, 1, 0);
}

// request(s): parse what HTTP is to send: the path as it is.
static int l_request(lua_State *L) {
  lua_settop(L, 1);
  return parse(L, 0, 1);
}

// --- Percent-coding ----------------------------------------------------------------------------

static const char *const set_names[] = {"component", "path", "query", "fragment",
                                        "userinfo",  "form", NULL};

// encode(s[, set]): every "%" is encoded too, so that decode gives s back.
static int l_encode(lua_State *L) {
  static const int sets[] = {URL_COMPONENT, URL_PATH,     URL_SPECIAL_QUERY,
                             URL_FRAGMENT,  URL_USERINFO, URL_FORM};
  size_t len, done = 0;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  int set = sets[arg_option(L, 2, "component", set_names)];
  char *out = luaL_buffinitsize(L, &b, 3 * len);
  while (len) {  // of "%" only some sets know
    const char *percent = memchr(s, '%', len);
    size_t n = percent ? (size_t)(percent - s) : len;
    done += url_encode(set, s, n, out + done);
    if (percent) done += url_encode(URL_COMPONENT, percent, 1, out + done), n++;
    s += n;
    len -= n;
  }
  luaL_pushresultsize(&b, done);
  return 1;
}

// escape(s, set): encode what may not stand in that part, but leave "%" as it is.
static int l_escape(lua_State *L) {
  static const char *const names[] = {"path",     "query",   "special query", "fragment",
                                      "userinfo", "control", "sent",          NULL};
  static const int sets[] = {URL_PATH,     URL_QUERY,   URL_SPECIAL_QUERY, URL_FRAGMENT,
                             URL_USERINFO, URL_CONTROL, URL_SENT};
  size_t len;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  int set = sets[arg_option(L, 2, NULL, names)];
  char *out = luaL_buffinitsize(L, &b, 3 * len);
  luaL_pushresultsize(&b, url_encode(set, s, len, out));
  return 1;
}

static int l_decode(lua_State *L) {
  static const char *const names[] = {"component", "form", NULL};
  size_t len;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  int is_form = arg_option(L, 2, "component", names);
  char *out = luaL_buffinitsize(L, &b, len);
  luaL_pushresultsize(&b, url_decode(s, len, out, is_form));
  return 1;
}

int luaopen_corun_urlcore(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"parse", l_parse},   {"whole", l_whole},   {"request", l_request},
    {"encode", l_encode}, {"escape", l_escape}, {"decode", l_decode},
    {NULL, NULL}};
  luaL_newlib(L, functions);
  if (luaL_newmetatable(L, URL_CLASS)) {
    lua_pushliteral(L, "URL");
    lua_setfield(L, -2, "__name");
  }
  lua_setfield(L, -2, "class");
  return 1;
}
