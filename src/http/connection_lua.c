// SPDX-License-Identifier: MIT
// The userdata that hold a connection, and a list of those that idle. See connection_lua.h.
#include "http/connection_lua.h"

#include <lauxlib.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "io/stream_lua.h"

typedef struct box {
  const void *tag;  // tells the userdata from others without a look into the registry
  http_connection c;
} box;

static const char tag = 0;  // its address is in every box

http_connection *http_connection_any(lua_State *L, int idx) {
  box *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof *b || b->tag != &tag) arg_type_error(L, idx, "connection");
  return &b->c;
}

http_connection *http_connection_check(lua_State *L) {
  http_connection *c = http_connection_any(L, 1);
  if (!c->s || c->s->closed) err_raise(L, "ECLOSED", "http", NULL, "the connection is closed");
  return c;
}

http_connection *http_connection_push(lua_State *L, int idx, http_kind kind) {
  stream_check(L, idx, "http");
  box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->tag = &tag;
  b->c.s = NULL;
  luaL_setmetatable(L, HTTP_CONNECTION_CLASS);
  http_connection_init(&b->c, stream_take(L, idx), kind, NULL);
  interrupt_closable(L);
  return &b->c;
}

// --- Connections that idle -------------------------------------------------------------------

typedef struct idle_box {
  const void *tag;
  http_idle *i;
} idle_box;

static const char idle_tag = 0;

http_idle **http_idle_push(lua_State *L) {
  idle_box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->tag = &idle_tag;
  b->i = NULL;
  luaL_setmetatable(L, HTTP_IDLE_CLASS);
  return &b->i;
}

http_idle **http_idle_any(lua_State *L, int idx) {
  idle_box *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof *b || b->tag != &idle_tag)
    arg_type_error(L, idx, "list of connections");
  return &b->i;
}
