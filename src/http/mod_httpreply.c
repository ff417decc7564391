// SPDX-License-Identifier: MIT
// corun.httpreply: sends what a handler returned. It takes only what is as it should be; of the
// rest it says no more than that, and lua/corun/http_reply.lua finds the sentence. Runs on the loop
// thread.
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "data/json.h"
#include "http/connection_lua.h"
#include "http/headers.h"
#include "http/mods.h"
#include "http/reply.h"

#define CLASS "corun.httpreply"
#define TOGETHER ((size_t)4 << 10)  // a body of up to this is copied behind its head

// Stack indexes of `send`: its arguments, then the fields of a table.
enum { CONNECTION = 1, ANSWER, FATE, NO_BODY, FRAMING, HEADERS, BODY, JSON, TOP = JSON };

// --- The table of an answer ------------------------------------------------------------------

// The index that the field is kept at; 0 when there is no such field, or it has another type.
static int place(const char *name, size_t n, int type) {
  static const struct {
    const char *name;
    int type, place;
  } fields[] = {{"headers", LUA_TTABLE, HEADERS}, {"body", LUA_TSTRING, BODY}};
  if (n == 4 && memcmp(name, "json", n) == 0) return JSON;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (n == strlen(fields[i].name) && memcmp(name, fields[i].name, n) == 0)
      return type == fields[i].type ? fields[i].place : 0;
  return 0;
}

// Spread the table at ANSWER over the stack. Answers its status, 0 when it is not as it should be.
static int spread(lua_State *L) {
  lua_Integer status = 200;
  for (lua_pushnil(L); lua_next(L, ANSWER); lua_pop(L, 1)) {
    size_t n;
    if (lua_type(L, -2) != LUA_TSTRING) return 0;
    const char *name = lua_tolstring(L, -2, &n);
    int at = place(name, n, lua_type(L, -1));
    if (at) {
      lua_pushvalue(L, -1);
      lua_replace(L, at);
    } else if (n == 6 && memcmp(name, "status", n) == 0 && lua_isinteger(L, -1)) {
      status = lua_tointeger(L, -1);
    } else {
      return 0;
    }
  }
  int is_double = !lua_isnil(L, JSON) && !lua_isnil(L, BODY);
  return status >= 200 && status <= 999 && !is_double ? (int)status : 0;
}

// --- Headers ---------------------------------------------------------------------------------

// Add a header with the value on top of the stack; 0 when it cannot be sent.
static int add_header(lua_State *L, http_reply *r, const char *name, size_t n) {
  size_t len;
  int type = lua_type(L, -1);
  if (type != LUA_TSTRING && type != LUA_TNUMBER) return 0;
  const char *value = lua_tolstring(L, -1, &len);
  if (!http_value_valid(value, len)) return 0;
  http_reply_header(r, name, n, value, len);
  return 1;
}

// The same with each value of the list on top of the stack.
static int add_headers(lua_State *L, http_reply *r, const char *name, size_t n) {
  int fine = 1;
  for (lua_Integer i = 1; fine && lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
    fine = add_header(L, r, name, n);
    lua_pop(L, 1);
  }
  if (fine) lua_pop(L, 1);
  return fine;
}

static int add_table(lua_State *L, http_reply *r) {
  for (lua_pushnil(L); lua_next(L, HEADERS); lua_pop(L, 1)) {
    size_t n;
    if (lua_type(L, -2) != LUA_TSTRING) return 0;
    const char *name = lua_tolstring(L, -2, &n);
    if (!http_token_valid(name, n)) return 0;
    int is_list = lua_type(L, -1) == LUA_TTABLE;
    if (!(is_list ? add_headers(L, r, name, n) : add_header(L, r, name, n))) return 0;
  }
  return 1;
}

// --- Sending ---------------------------------------------------------------------------------

// Send the head with what follows it: the string at BODY, or what was encoded.
static int send_all(lua_State *L, http_connection *c, http_reply *r, size_t length) {
  uv_buf_t bufs[2];
  const char *body = lua_isnil(L, BODY) ? buffer_bytes(&r->body) : lua_tostring(L, BODY);
  if (lua_toboolean(L, NO_BODY) || !http_reply_has_body(r->status)) length = 0;
  int is_near = length <= TOGETHER && buffer_append(&r->head, body, length) == 0;
  bufs[0] = uv_buf_init(buffer_bytes(&r->head), (unsigned)buffer_len(&r->head));
  if (!is_near && length > HTTP_CONNECTION_AT_ONCE) {
    lua_pushlstring(L, bufs[0].base, bufs[0].len);
    lua_replace(L, 2);
    if (lua_isnil(L, BODY)) {
      lua_pushlstring(L, body, length);
      lua_replace(L, BODY);
    }
    lua_pushvalue(L, BODY);
    lua_replace(L, 3);
    return http_connection_send(L, c);
  }
  if (!is_near) bufs[1] = uv_buf_init((char *)(uintptr_t)body, (unsigned)length);
  return http_connection_send_bytes(L, c, bufs, is_near ? 1 : 2);
}

static const char *fate(lua_State *L) {
  static const char *const fates[] = {"", "close", "keep-alive", NULL};
  int i = arg_option(L, FATE, "", fates);
  return i ? fates[i] : NULL;
}

// End the head. Answers the bytes of the body that follow it at once.
static size_t end_head(lua_State *L, http_reply *r, const char *connection) {
  size_t length = lua_isnil(L, BODY) ? buffer_len(&r->body) : (size_t)lua_rawlen(L, BODY);
  http_reply_framing framing = HTTP_REPLY_LENGTH;
  uint64_t announced = length;
  if (lua_type(L, FRAMING) == LUA_TSTRING)
    framing = *lua_tostring(L, FRAMING) == 'c' ? HTTP_REPLY_CHUNKED : HTTP_REPLY_CLOSE;
  else if (!lua_isnil(L, FRAMING))
    announced = (uint64_t)lua_tointeger(L, FRAMING);
  if (!http_reply_end(r, framing, announced, connection)) luaL_error(L, "not enough memory");
  return length;
}

// send(connection, answer, fate, no_body, framing): send a string or a table as the answer. `fate`
// is what the header Connection says. With `framing` the body is sent later: "chunked", "until the
// end", or its length. Answers false when the answer is not as it should be; else as
// connection:send.
static int l_send(lua_State *L) {
  http_reply *r = lua_touserdata(L, lua_upvalueindex(1));
  http_connection *c = http_connection_check(L);
  const char *connection = fate(L);
  int status = 200, fine = 1;
  static const json_style compact = {0, 0};
  lua_settop(L, FRAMING);
  lua_settop(L, TOP);
  if (lua_type(L, ANSWER) == LUA_TSTRING) {
    lua_pushvalue(L, ANSWER);
    lua_replace(L, BODY);
  } else {
    status = lua_type(L, ANSWER) == LUA_TTABLE ? spread(L) : 0;
  }
  http_reply_begin(r, status);
  if (status && !lua_isnil(L, HEADERS)) fine = add_table(L, r);
  if (fine && status && !lua_isnil(L, JSON)) fine = json_append(L, JSON, &compact, &r->body);
  if (!status || !fine) {
    lua_pushboolean(L, 0);
    return 1;
  }
  if (!lua_isnil(L, JSON)) http_reply_type(r, "application/json");
  if (lua_type(L, ANSWER) == LUA_TSTRING) http_reply_type(r, "text/plain; charset=utf-8");
  return send_all(L, c, r, end_head(L, r, connection));
}

// reason(status): its phrase.
static int l_reason(lua_State *L) {
  lua_pushstring(L, http_reply_reason((int)arg_integer(L, 1)));
  return 1;
}

static int l_gc(lua_State *L) {
  http_reply_fini(lua_touserdata(L, 1));
  return 0;
}

int luaopen_corun_httpreply(lua_State *L) {
  static const luaL_Reg functions[] = {{"send", l_send}, {"reason", l_reason}, {NULL, NULL}};
  luaL_newlibtable(L, functions);
  http_reply_init(lua_newuserdatauv(L, sizeof(http_reply), 0));
  if (luaL_newmetatable(L, CLASS)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  luaL_setfuncs(L, functions, 1);
  return 1;
}
