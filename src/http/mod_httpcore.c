// SPDX-License-Identifier: MIT
// corun.httpcore: what lua/corun/http*.lua stands on: connections, and checks of what is sent.
#include <lauxlib.h>

#include "core/error.h"
#include "core/interrupt.h"
#include "http/connection.h"
#include "http/headers.h"
#include "http/mods.h"
#include "io/stream_lua.h"

#define CLASS "corun.httpconnection"

static http_connection *check(lua_State *L) {
  http_connection *c = luaL_checkudata(L, 1, CLASS);
  if (!c->s || c->s->closed) err_raise(L, "ECLOSED", "http", NULL, "the connection is closed");
  return c;
}

// connection(stream, "request" | "response"): what is received; takes the stream over.
static int l_connection(lua_State *L) {
  static const char *const kinds[] = {"request", "response", NULL};
  http_kind kind = luaL_checkoption(L, 2, NULL, kinds) == 0 ? HTTP_KIND_REQUEST : HTTP_KIND_RESPONSE;
  stream_check(L, 1, "http");
  http_connection *c = lua_newuserdatauv(L, sizeof *c, 0);
  c->s = NULL;
  luaL_setmetatable(L, CLASS);
  http_connection_init(c, stream_take(L, 1), kind, NULL);
  interrupt_closable(L);
  return 1;
}

// c:limit(pause, total, max_body)
static int l_limit(lua_State *L) {
  http_connection *c = check(L);
  http_connection_limit(c, luaL_optnumber(L, 2, -1), luaL_optnumber(L, 3, -1));
  c->p.limits.body = (uint64_t)luaL_optinteger(L, 4, 0);
  return 0;
}

// c:exchange(head[, body[, no_body]])
static int l_exchange(lua_State *L) {
  http_connection *c = check(L);
  luaL_checkstring(L, 2);
  luaL_optstring(L, 3, NULL);
  if (lua_toboolean(L, 4)) http_parser_expect_no_body(&c->p);
  return http_connection_send(L, c, 1);
}

static int l_send(lua_State *L) {
  http_connection *c = check(L);
  luaL_checkstring(L, 2);
  luaL_optstring(L, 3, NULL);
  return http_connection_send(L, c, 0);
}

static int l_receive(lua_State *L) {
  http_connection *c = check(L);
  if (stream_is_busy(c->s))
    return err_raise(L, "EBUSY", "read", NULL, "another task reads from this connection");
  if (lua_toboolean(L, 2)) http_parser_expect_no_body(&c->p);
  return http_connection_receive(L, c);
}

static int l_reusable(lua_State *L) {
  http_connection *c = luaL_checkudata(L, 1, CLASS);
  lua_pushboolean(L, http_connection_is_reusable(c));
  return 1;
}

static int l_peer(lua_State *L) {
  http_connection *c = check(L);
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  lua_pushstring(L, target);
  return 1;
}

static int l_close(lua_State *L) {
  http_connection_close(luaL_checkudata(L, 1, CLASS));
  return 0;
}

static int l_gc(lua_State *L) {
  http_connection_fini(luaL_checkudata(L, 1, CLASS));
  return 0;
}

static int l_tostring(lua_State *L) {
  http_connection *c = luaL_checkudata(L, 1, CLASS);
  lua_pushfstring(L, "http connection %p (%s)", (void *)c,
                  c->s && !c->s->closed ? "open" : "closed");
  return 1;
}

// --- Checks of what is sent ------------------------------------------------------------------

static int l_is_token(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_pushboolean(L, http_token_valid(s, n));
  return 1;
}

static int l_is_value(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_pushboolean(L, http_value_valid(s, n));
  return 1;
}

static int l_is_target(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_pushboolean(L, http_target_valid(s, n));
  return 1;
}

static int l_is_host(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_pushboolean(L, http_host_valid(s, n));
  return 1;
}

int luaopen_corun_httpcore(lua_State *L) {
  static const luaL_Reg methods[] = {{"limit", l_limit},       {"exchange", l_exchange},
                                     {"send", l_send},         {"receive", l_receive},
                                     {"reusable", l_reusable}, {"peer", l_peer},
                                     {"close", l_close},       {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", l_gc}, {"__close", l_close}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"connection", l_connection}, {"is_token", l_is_token},
                                       {"is_value", l_is_value},     {"is_target", l_is_target},
                                       {"is_host", l_is_host},       {NULL, NULL}};
  luaL_newmetatable(L, CLASS);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
