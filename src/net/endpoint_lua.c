// SPDX-License-Identifier: MIT
// Addresses of scripts. See endpoint_lua.h.
#include "net/endpoint_lua.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "core/error.h"
#include "core/options.h"

static void read_table(lua_State *L, int idx, const char *operation, endpoint *e) {
  static const char *const names[] = {"host", "port", "path", NULL};
  opt_check(L, idx, operation, names);
  size_t len = 0;
  const char *why, *path = opt_string(L, idx, operation, "path", &len);
  const char *host = opt_string(L, idx, operation, "host", path ? NULL : &len);
  lua_Integer port = opt_count(L, idx, operation, "port", 0, -1);
  if (path && (host || port >= 0))
    err_misuse(L, "bad address for %s: a path has no host and no port", operation);
  if (!path && (!host || port < 0))
    err_misuse(L, "bad address for %s: the table needs host and port, or path", operation);
  why = path ? endpoint_make_path(path, len, e) : endpoint_make(host, len, port, e);
  if (why) err_misuse(L, "bad address for %s: %s", operation, why);
}

void endpoint_read(lua_State *L, int idx, const char *operation, endpoint *e) {
  if (lua_istable(L, idx)) {
    read_table(L, idx, operation, e);
    return;
  }
  if (lua_type(L, idx) != LUA_TSTRING)
    err_misuse(L, "the address for %s must be a string or a table, got %s", operation,
               luaL_typename(L, idx));
  size_t len;
  const char *text = lua_tolstring(L, idx, &len);
  const char *why = endpoint_parse(text, len, e);
  if (why) err_misuse(L, "bad address for %s: %s, got %s", operation, why, err_escaped(L, idx));
}

void endpoint_read_numeric(lua_State *L, int idx, const char *operation, const char *name,
                           address *out) {
  endpoint e;
  char what[64];
  out->sa.sa_family = AF_UNSPEC;
  if (lua_getfield(L, idx, name) != LUA_TNIL) {
    snprintf(what, sizeof what, "option \"%s\" of %s", name, operation);
    endpoint_read(L, lua_gettop(L), what, &e);
    int rc = e.is_path || !e.host[0] ? UV_EINVAL : address_parse(e.host, e.port, out);
    if (rc == UV_ENODEV)
      err_misuse(L, "option \"%s\" for %s: this machine has no network interface \"%s\"", name,
                 operation, strchr(e.host, '%') + 1);
    if (rc < 0) err_misuse(L, "option \"%s\" for %s must be a numeric address", name, operation);
  }
  lua_pop(L, 1);
}

int endpoint_push(lua_State *L, const address *a) {
  char text[ADDRESS_TEXT];
  address_format(a, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}
