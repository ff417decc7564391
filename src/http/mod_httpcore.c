// SPDX-License-Identifier: MIT
// corun.httpcore: what lua/corun/http*.lua stands on: connections, those that idle, header blocks,
// and checks of what is sent. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "core/args.h"
#include "core/runtime.h"
#include "http/connection_lua.h"
#include "http/headers.h"
#include "http/idle.h"
#include "http/mods.h"

// connection(stream, "request" | "response"): what is received; takes the stream over.
static int l_connection(lua_State *L) {
  static const char *const kinds[] = {"request", "response", NULL};
  http_kind kind = arg_option(L, 2, NULL, kinds) == 0 ? HTTP_KIND_REQUEST : HTTP_KIND_RESPONSE;
  http_connection_push(L, 1, kind);
  return 1;
}

// Read pause, total, max_body from `idx` on.
static void set_limits(lua_State *L, http_connection *c, int idx) {
  http_connection_limit(c, arg_opt_number(L, idx, -1), arg_opt_number(L, idx + 1, -1));
  c->p.limits.body = (uint64_t)arg_opt_integer(L, idx + 2, 0);
}

// c:time(head, total, pause): how long requests may take.
static int l_time(lua_State *L) {
  http_connection *c = http_connection_check(L);
  c->timing = (http_timing){arg_number(L, 2), arg_number(L, 3), arg_number(L, 4)};
  return 0;
}

// The limit at `idx`; beyond what the parser counts to there is none that is higher.
static uint32_t bound(lua_State *L, int idx) {
  lua_Integer n = arg_integer(L, idx);
  return n < HTTP_MOST ? (uint32_t)n : HTTP_MOST;
}

// c:bound(head, headers, target, body): the most bytes, or headers, of what is received.
static int l_bound(lua_State *L) {
  http_limits *l = &http_connection_check(L)->p.limits;
  l->head = bound(L, 2);
  l->headers = bound(L, 3);
  l->target = bound(L, 4);
  l->body = (uint64_t)arg_integer(L, 5);
  return 0;
}

static int exchange(lua_State *L, http_part part) {
  http_connection *c = http_connection_check(L);
  arg_string(L, 2);
  arg_opt_string(L, 3, NULL);
  set_limits(L, c, 5);
  if (lua_toboolean(L, 4)) http_parser_expect_no_body(&c->p);
  return http_connection_exchange(L, c, part);
}

// c:exchange(head, body, no_body, pause, total, max_body)
static int l_exchange(lua_State *L) {
  return exchange(L, HTTP_PART_WHOLE);
}

// c:offer(): the next request offers another protocol, so that the answer may be a 101.
static int l_offer(lua_State *L) {
  http_connection_check(L)->offers = 1;
  return 0;
}

// c:open(head, body, no_body, pause, total, max_body): as exchange, up to the body.
static int l_open(lua_State *L) {
  return exchange(L, HTTP_PART_HEAD);
}

// c:begin(head, no_body, pause, total, max_body): a request whose body is sent by c:write.
static int l_begin(lua_State *L) {
  http_connection *c = http_connection_check(L);
  arg_string(L, 2);
  set_limits(L, c, 4);
  if (lua_toboolean(L, 3)) http_parser_expect_no_body(&c->p);
  return http_connection_begin(L, c);
}

// c:write(text[, text[, text]]): of a connection that was closed meanwhile, an error to return.
static int l_write(lua_State *L) {
  http_connection *c = http_connection_any(L, 1);
  if (!c->s) http_connection_check(L);
  for (int i = 2; i <= 4; i++) arg_opt_string(L, i, NULL);
  return http_connection_write(L, c);
}

// c:sent(): all of the body was written.
static int l_sent(lua_State *L) {
  http_connection *c = http_connection_any(L, 1);
  if (c->s) http_connection_sent(c);
  return 0;
}

// c:head([seconds]): with seconds wait for 100 Continue too.
static int l_head(lua_State *L) {
  http_connection *c = http_connection_any(L, 1);
  if (!c->s) http_connection_check(L);
  return http_connection_head(L, c, arg_opt_number(L, 2, -1));
}

// block(bytes): what pieces can be gathered in.
static int l_block(lua_State *L) {
  block_new(L, (size_t)arg_count(L, 1, 1));
  return 1;
}

// c:piece([seconds[, block]]): of a connection that was closed meanwhile, an error to return.
static int l_piece(lua_State *L) {
  http_connection *c = http_connection_any(L, 1);
  if (!c->s) http_connection_check(L);
  return http_connection_piece(L, c, arg_opt_number(L, 2, HUGE_VAL), block_test(L, 3));
}

// c:send(head[, body])
static int l_send(lua_State *L) {
  http_connection *c = http_connection_check(L);
  arg_string(L, 2);
  arg_opt_string(L, 3, NULL);
  return http_connection_send(L, c);
}

// c:keeps(): whether the connection may serve another request after this one.
static int l_keeps(lua_State *L) {
  lua_pushboolean(L, http_connection_keeps(http_connection_any(L, 1)));
  return 1;
}

// c:handles(request): whether the handler of this request is at work; scripts may keep others.
static int l_handles(lua_State *L) {
  const void *request = http_connection_any(L, 1)->request;
  lua_pushboolean(L, request && request == lua_topointer(L, 2));
  return 1;
}

// c:waits(): whether the client waits for 100 Continue.
static int l_waits(lua_State *L) {
  lua_pushboolean(L, http_connection_any(L, 1)->go_on_due);
  return 1;
}

// c:has_more(): whether there is something to receive already.
static int l_has_more(lua_State *L) {
  lua_pushboolean(L, http_connection_has_more(http_connection_check(L)));
  return 1;
}

// c:watch(): wait until the peer sends no more.
static int l_watch(lua_State *L) {
  return http_connection_watch(L, http_connection_check(L));
}

// c:drain(seconds)
static int l_drain(lua_State *L) {
  return http_connection_drain(L, http_connection_check(L), arg_number(L, 2));
}

// c:finish()
static int l_finish(lua_State *L) {
  return http_connection_finish(L, http_connection_any(L, 1));
}

// c:keep_head(): of the messages to come.
static int l_keep_head(lua_State *L) {
  http_parser_keep_raw(&http_connection_check(L)->p);
  return 0;
}

// c:raw_head(): the head of the message received last, as it came, if it was to be kept.
static int l_raw_head(lua_State *L) {
  http_text raw = http_parser_raw(&http_connection_any(L, 1)->p);
  lua_pushlstring(L, raw.s, raw.n);
  return 1;
}

static int l_reusable(lua_State *L) {
  lua_pushboolean(L, http_connection_is_reusable(http_connection_any(L, 1)));
  return 1;
}

static int l_peer(lua_State *L) {
  const http_connection *c = http_connection_check(L);
  char target[128] = "";
  c->s->t->describe(c->s, target, sizeof target);
  lua_pushstring(L, target);
  return 1;
}

// c:traffic(): the bytes received and sent; also of one that is closed.
static int l_traffic(lua_State *L) {
  const http_connection *c = http_connection_any(L, 1);
  lua_pushinteger(L, c->s ? (lua_Integer)c->s->bytes_in : 0);
  lua_pushinteger(L, c->s ? (lua_Integer)c->s->bytes_out : 0);
  return 2;
}

static int l_close(lua_State *L) {
  http_connection_close(http_connection_any(L, 1));
  return 0;
}

static int l_gc(lua_State *L) {
  http_connection_fini(http_connection_any(L, 1));
  return 0;
}

static int l_tostring(lua_State *L) {
  const http_connection *c = http_connection_any(L, 1);
  lua_pushfstring(L, "http connection %p (%s)", (const void *)c,
                  c->s && !c->s->closed ? "open" : "closed");
  return 1;
}

// --- Connections that idle -------------------------------------------------------------------

// idle(seconds[, warm]): closes what has idled for so long, if that is not infinite; so many keep
// the memory of their last message.
static int l_idle(lua_State *L) {
  double seconds = arg_number(L, 1);
  unsigned warm = (unsigned)arg_opt_integer(L, 2, 0);
  http_idle **i = http_idle_push(L);
  if (http_idle_open(rt_of(L), seconds, warm, i) < 0) return luaL_error(L, "not enough memory");
  return 1;
}

// idle:add(c)
static int l_idle_add(lua_State *L) {
  http_idle **i = http_idle_any(L, 1);
  http_connection *c = http_connection_any(L, 2);
  if (*i && c->s && !c->s->closed) http_idle_add(*i, c);
  return 0;
}

// idle:close_all()
static int l_idle_close_all(lua_State *L) {
  http_idle **i = http_idle_any(L, 1);
  if (*i) http_idle_close_all(*i);
  return 0;
}

// idle:close_silent()
static int l_idle_close_silent(lua_State *L) {
  http_idle **i = http_idle_any(L, 1);
  if (*i) http_idle_close_silent(*i);
  return 0;
}

static int l_idle_close(lua_State *L) {
  http_idle **i = http_idle_any(L, 1);
  if (*i) http_idle_close(*i);
  *i = NULL;
  return 0;
}

// --- Header blocks ---------------------------------------------------------------------------

// Add a value to the table on top: several are joined by ", ", but those of Set-Cookie are a list.
static void add_header(lua_State *L, const char *name, size_t n, const char *value, size_t len) {
  static const char cookie[] = "set-cookie";
  int table = lua_gettop(L);
  lua_pushlstring(L, name, n);
  lua_pushvalue(L, -1);
  int known = lua_rawget(L, table);
  if (n == sizeof cookie - 1 && memcmp(name, cookie, n) == 0) {
    if (known == LUA_TNIL) {
      lua_pop(L, 1);
      lua_newtable(L);
    }
    lua_pushlstring(L, value, len);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  } else if (known == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushlstring(L, value, len);
  } else {
    lua_pushliteral(L, ", ");
    lua_pushlstring(L, value, len);
    lua_concat(L, 3);
  }
  lua_rawset(L, table);
}

// headers(block): the table of a block of header lines that the parser has passed.
static int l_headers(lua_State *L) {
  size_t size;
  const char *s = arg_lstring(L, 1, &size), *end = s + size;
  lua_newtable(L);
  for (const char *line = s, *eol; line < end; line = eol + 1) {
    eol = memchr(line, '\n', (size_t)(end - line));
    if (!eol) break;
    const char *colon = memchr(line, ':', (size_t)(eol - line));
    if (!colon) continue;
    const char *value = colon + 1, *last = eol;
    while (value < last && (*value == ' ' || *value == '\t')) value++;
    while (last > value && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r')) last--;
    add_header(L, line, (size_t)(colon - line), value, (size_t)(last - value));
  }
  return 1;
}

// --- Checks of what is sent ------------------------------------------------------------------

static int l_is_token(lua_State *L) {
  size_t n;
  const char *s = arg_lstring(L, 1, &n);
  lua_pushboolean(L, http_token_valid(s, n));
  return 1;
}

static int l_is_value(lua_State *L) {
  size_t n;
  const char *s = arg_lstring(L, 1, &n);
  lua_pushboolean(L, http_value_valid(s, n));
  return 1;
}

static int l_is_target(lua_State *L) {
  size_t n;
  const char *s = arg_lstring(L, 1, &n);
  lua_pushboolean(L, http_target_valid(s, n));
  return 1;
}

static void make_class(lua_State *L, const char *name, const luaL_Reg *methods,
                       const luaL_Reg *meta) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_corun_httpcore(lua_State *L) {
  static const luaL_Reg methods[] = {{"time", l_time},
                                     {"bound", l_bound},
                                     {"exchange", l_exchange},
                                     {"open", l_open},
                                     {"begin", l_begin},
                                     {"write", l_write},
                                     {"sent", l_sent},
                                     {"head", l_head},
                                     {"piece", l_piece},
                                     {"send", l_send},
                                     {"keeps", l_keeps},
                                     {"drain", l_drain},
                                     {"handles", l_handles},
                                     {"waits", l_waits},
                                     {"has_more", l_has_more},
                                     {"reusable", l_reusable},
                                     {"keep_head", l_keep_head},
                                     {"raw_head", l_raw_head},
                                     {"peer", l_peer},
                                     {"traffic", l_traffic},
                                     {"offer", l_offer},
                                     {"watch", l_watch},
                                     {"finish", l_finish},
                                     {"close", l_close},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {
    {"__gc", l_gc}, {"__close", l_close}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg idle_methods[] = {{"add", l_idle_add},
                                          {"close_all", l_idle_close_all},
                                          {"close_silent", l_idle_close_silent},
                                          {"close", l_idle_close},
                                          {NULL, NULL}};
  static const luaL_Reg idle_meta[] = {{"__gc", l_idle_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"connection", l_connection}, {"idle", l_idle},
                                       {"block", l_block},           {"headers", l_headers},
                                       {"is_token", l_is_token},     {"is_value", l_is_value},
                                       {"is_target", l_is_target},   {NULL, NULL}};
  make_class(L, HTTP_CONNECTION_CLASS, methods, meta);
  make_class(L, HTTP_IDLE_CLASS, idle_methods, idle_meta);
  luaL_newlib(L, functions);
  return 1;
}
