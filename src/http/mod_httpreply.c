// SPDX-License-Identifier: MIT
// corun.httpreply: gives a handler its request and sends what it returned. It takes only what is as
// it should be; of the rest it says no more than that, and lua/corun/http_reply.lua finds the
// sentence. Runs on the loop thread.
#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/wait.h"
#include "data/json.h"
#include "http/connection_lua.h"
#include "http/headers.h"
#include "http/idle.h"
#include "http/mods.h"
#include "http/reply.h"

#define CLASS "corun.httpreply"
#define TOGETHER ((size_t)4 << 10)  // a body of up to this is copied behind its head

// Stack indexes of what is sent: the request, if it is known, the arguments of `send`, the fields
// of a table.
enum { CONNECTION = 1, REQUEST, ANSWER, FATE, NO_BODY, FRAMING, HEADERS, BODY, JSON, TOP = JSON };

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

// Begin the head of the string or the table at ANSWER, and find its body. Answers whether it is as
// it should be.
static int begin_reply(lua_State *L, http_reply *r) {
  static const json_style compact = {0, 0};
  int status = 200;
  lua_settop(L, TOP);
  if (lua_type(L, ANSWER) == LUA_TSTRING) {
    lua_pushvalue(L, ANSWER);
    lua_replace(L, BODY);
  } else {
    status = lua_type(L, ANSWER) == LUA_TTABLE ? spread(L) : 0;
  }
  if (!status) return 0;
  http_reply_begin(r, status);
  if (!lua_isnil(L, HEADERS) && !add_table(L, r)) return 0;
  if (!lua_isnil(L, JSON)) {
    if (!json_append(L, JSON, &compact, &r->body)) return 0;
    http_reply_type(r, "content-type: application/json\r\n");
  }
  if (lua_type(L, ANSWER) == LUA_TSTRING)
    http_reply_type(r, "content-type: text/plain; charset=utf-8\r\n");
  return 1;
}

// send(connection, answer, fate, no_body, framing): send a string or a table as the answer. `fate`
// is what the header Connection says. With `framing` the body is sent later: "chunked", "until the
// end", or its length. Answers false when the answer is not as it should be; else as
// connection:send.
static int l_send(lua_State *L) {
  http_reply *r = lua_touserdata(L, lua_upvalueindex(1));
  http_connection *c = http_connection_check(L);
  lua_settop(L, FRAMING - 1);
  lua_pushnil(L);
  lua_insert(L, REQUEST);
  const char *connection = fate(L);
  if (begin_reply(L, r)) return send_all(L, c, r, end_head(L, r, connection));
  lua_pushboolean(L, 0);
  return 1;
}

// --- Serving ---------------------------------------------------------------------------------

// Stack indexes of `serve`: its arguments, the parts of a request, the request made of them, then
// the message handler and what the script's handler returned.
enum {
  HANDLER = 2,
  LINK,
  SITE,
  IDLE,
  SECONDS,
  IN_PIECES,
  PLAIN,
  METHOD,
  TARGET,
  PATH,
  BLOCK,
  CONTENT,
  MADE,
  RESULTS = MADE + 2
};

// Its upvalues: the text of the answer, the metatable of requests, and from FIELDS on the names of
// what each request has.
enum { REPLY = 1, META, FIELDS };

static const struct {
  const char *name;
  int place;
} fields[] = {
  {"method", METHOD}, {"path", PATH}, {"block", BLOCK}, {"body", CONTENT}, {"link", LINK}};

#define NFIELDS ((int)(sizeof fields / sizeof *fields))

// Push the request. Its target is told if it is not the path.
static void push_request(lua_State *L, const http_connection *c) {
  lua_createtable(L, 0, 8);
  for (int i = 0; i < NFIELDS; i++) {
    lua_pushvalue(L, lua_upvalueindex(FIELDS + i));
    lua_pushvalue(L, fields[i].place);
    lua_rawset(L, MADE);
  }
  if (!lua_rawequal(L, TARGET, PATH)) {
    lua_pushvalue(L, TARGET);
    lua_setfield(L, MADE, "target");
  }
  if (c->p.head.minor == 0) {
    lua_pushliteral(L, "1.0");
    lua_setfield(L, MADE, "version");
  }
  if (lua_isnil(L, CONTENT)) {  // it is read from the connection
    lua_pushvalue(L, CONNECTION);
    lua_setfield(L, MADE, "connection");
    lua_pushboolean(L, 0);
    lua_setfield(L, MADE, "over");
  }
  lua_pushvalue(L, lua_upvalueindex(META));
  lua_setmetatable(L, MADE);
}

// Say whether nothing is left to do but to send what the handler returned, if that is as it should
// be.
static int is_plain(lua_State *L, const http_connection *c) {
  const http_idle *i = *http_idle_any(L, IDLE);
  if (!lua_toboolean(L, PLAIN) || !i || i->is_closing) return 0;
  if (!c->s || c->s->closed || c->busy || c->p.head.minor == 0 || !http_connection_keeps(c))
    return 0;
  int has_kept = lua_rawgeti(L, LINK, 4) == LUA_TTABLE;  // what is to be closed before the next
  lua_pop(L, 1);
  return !has_kept;
}

// The handler is done, in one way or the other.
static int handled(lua_State *L, scope *s, scope_outcome o) {
  scope_attended(L, s, o);
  http_connection *c = http_connection_any(L, CONNECTION);
  c->request = NULL;
  if (o != SCOPE_OK) {
    lua_pushvalue(L, MADE);
    lua_pushnil(L);
    lua_rotate(L, -3, 2);
    return 3;
  }
  if (lua_gettop(L) < RESULTS) lua_pushboolean(L, 1);
  int type = lua_type(L, RESULTS);
  if ((type != LUA_TSTRING && type != LUA_TTABLE) || !is_plain(L, c)) {
    lua_copy(L, MADE, RESULTS - 1);
    return lua_gettop(L) - RESULTS + 2;
  }
  http_reply *r = lua_touserdata(L, lua_upvalueindex(REPLY));
  lua_copy(L, RESULTS, ANSWER);
  lua_copy(L, MADE, REQUEST);
  lua_settop(L, ANSWER);
  if (begin_reply(L, r) && !r->closes) {
    lua_pushboolean(L, c->p.ll.method == HTTP_HEAD);
    lua_replace(L, NO_BODY);
    return send_all(L, c, r, end_head(L, r, NULL));
  }
  lua_settop(L, ANSWER);
  return 2;
}

static int take(lua_State *L, http_connection *c) {
  if (c->p.ll.method == HTTP_CONNECT) {  // its target is no path, and what follows it no HTTP
    lua_pushboolean(L, 0);
    return 1;
  }
  task_checkpoint(L);
  wait_check(L);
  push_request(L, c);
  c->request = lua_topointer(L, MADE);
  lua_pushvalue(L, HANDLER);
  lua_pushvalue(L, MADE);
  return scope_attend(L, (uint32_t)lua_tointeger(L, SITE), MADE + 1, handled);
}

// serve(connection, handler, link, site, idle, seconds, in_pieces, plain): wait for a request, and
// have the handler answer it in a scope of its own. While no byte of it has come the connection is
// among those that idle, for so many seconds at most. With `plain`, an answer after which nothing
// else is to be done is sent. Results: true when that was done; the request and what the handler
// returned, or nil and its error; false for a request that no handler takes; or those of a failure,
// see http_connection_receive.
static int l_serve(lua_State *L) {
  http_connection *c = http_connection_check(L);
  arg_integer(L, SITE);
  double seconds = arg_number(L, SECONDS);
  http_idle **i = http_idle_any(L, IDLE);
  lua_settop(L, PLAIN);
  if (*i) http_idle_add(*i, c);
  http_part part = lua_toboolean(L, IN_PIECES) ? HTTP_PART_HEAD : HTTP_PART_WHOLE;
  return http_connection_receive(L, c, part, seconds, take);
}

// server(metatable): the function `serve` whose requests have this metatable.
static int l_server(lua_State *L) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  for (int n = 0; n < NFIELDS; n++) lua_pushstring(L, fields[n].name);
  lua_pushcclosure(L, l_serve, 2 + NFIELDS);
  return 1;
}

// reason(status): its phrase.
static int l_reason(lua_State *L) {
  lua_pushstring(L, http_reply_reason((int)arg_integer(L, 1)));
  return 1;
}

// has_body(status): whether an answer of this status has a body at all.
static int l_has_body(lua_State *L) {
  lua_pushboolean(L, http_reply_has_body((int)arg_integer(L, 1)));
  return 1;
}

static int l_gc(lua_State *L) {
  http_reply_fini(lua_touserdata(L, 1));
  return 0;
}

int luaopen_corun_httpreply(lua_State *L) {
  static const luaL_Reg functions[] = {{"send", l_send},
                                       {"server", l_server},
                                       {"reason", l_reason},
                                       {"has_body", l_has_body},
                                       {NULL, NULL}};
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
