// SPDX-License-Identifier: MIT
// corun.websocketcore: the WebSocket as scripts see it, and what lua/corun/http_websocket.lua needs
// to make one. Functions have what all WebSockets share as upvalue. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"
#include "http/connection_lua.h"
#include "http/headers.h"
#include "http/mods.h"
#include "http/websocket.h"

#define CLASS "corun.websocket"
#define COMMON "corun.websocketcommon"
#define GOODBYE 2.0         // seconds that the peer may take to answer it
#define LONGEST_REASON 123  // bytes, beside the code
#define MOST ((lua_Integer)1 << 30)

static const char tag = 0;  // its address is in every box

typedef struct box {
  const void *tag;  // tells the userdata from others without a look into the registry
  websocket w;
} box;

static websocket *any(lua_State *L, int idx) {
  box *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof *b || b->tag != &tag) arg_type_error(L, idx, "websocket");
  return &b->w;
}

static websocket *check(lua_State *L, int idx) {
  websocket *w = any(L, idx);
  if (!w->s) err_raise(L, "ECLOSED", NULL, NULL, "it was collected");  // in another's finaliser
  return w;
}

// --- Making one --------------------------------------------------------------------------------

// Read what was agreed on: {threshold=, send_bits=, send_takeover=, recv_takeover=}, or nil.
static void read_deflate(lua_State *L, int idx, websocket *w) {
  if (lua_isnil(L, idx)) return;
  websocket_deflate *d = calloc(1, sizeof *d);
  if (!d) luaL_error(L, "not enough memory");
  w->deflate = d;
  buffer_init(&d->packed);
  lua_getfield(L, idx, "threshold");
  d->threshold = (size_t)lua_tointeger(L, -1);
  lua_getfield(L, idx, "send_bits");
  d->send_bits = (uint8_t)lua_tointeger(L, -1);
  lua_getfield(L, idx, "send_takeover");
  d->send_takeover = lua_toboolean(L, -1) != 0;
  lua_getfield(L, idx, "recv_takeover");
  d->recv_takeover = lua_toboolean(L, -1) != 0;
  lua_pop(L, 4);
}

// adopt(connection, is_server, max, ping, deflate, protocol): the WebSocket that the connection has
// agreed to become.
static int l_adopt(lua_State *L) {
  websocket_common *common = lua_touserdata(L, lua_upvalueindex(1));
  http_connection *c = http_connection_check(L);
  lua_settop(L, 6);
  lua_Integer max = arg_integer(L, 3);
  double ping = arg_number(L, 4);
  box *b = lua_newuserdatauv(L, sizeof *b, 1);
  b->tag = &tag;
  b->w.s = NULL;
  luaL_setmetatable(L, CLASS);
  websocket_init(&b->w, http_connection_take(c), common, lua_toboolean(L, 2));
  b->w.max = (uint64_t)(max < MOST ? max : MOST);
  read_deflate(L, 5, &b->w);
  lua_pushvalue(L, 6);
  lua_setiuservalue(L, -2, 1);
  websocket_set_ping(&b->w, ping);
  interrupt_closable(L);
  return 1;
}

// --- What a request asks for ---------------------------------------------------------------------

// The fields of a request for a WebSocket, in the order in which `fields` gives them.
enum { HOST, ORIGIN, KEY, VERSION, PROTOCOLS, EXTENSIONS, FIELDS };

static const char *const field_names[] = {"host",
                                          "origin",
                                          "sec-websocket-key",
                                          "sec-websocket-version",
                                          "sec-websocket-protocol",
                                          "sec-websocket-extensions"};

// Put a value at its place, behind those of the same name.
static void add_field(lua_State *L, int at, const char *value, size_t n) {
  lua_pushlstring(L, value, n);
  if (!lua_isnil(L, at)) {
    lua_pushvalue(L, at);
    lua_pushliteral(L, ", ");
    lua_rotate(L, -3, -1);
    lua_concat(L, 3);
  }
  lua_replace(L, at);
}

// fields(block): whether the header lines ask for an upgrade to WebSocket; then what they say of
// host, origin, key, version, subprotocols and extensions, nil where they say nothing. It saves the
// table of all headers, which most handlers of WebSocket have no use for.
static int l_fields(lua_State *L) {
  size_t size;
  const char *s = arg_lstring(L, 1, &size), *end = s + size;
  int upgrade = 0, connection = 0;
  lua_settop(L, 1 + FIELDS);
  for (const char *line = s, *eol; line < end; line = eol + 1) {
    eol = memchr(line, '\n', (size_t)(end - line));
    const char *colon = eol ? memchr(line, ':', (size_t)(eol - line)) : NULL;
    if (!eol) break;
    if (!colon) continue;
    const char *value = colon + 1, *last = eol;
    size_t n = (size_t)(colon - line);
    while (value < last && (*value == ' ' || *value == '\t')) value++;
    while (last > value && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r')) last--;
    size_t len = (size_t)(last - value);
    if (http_equals(line, n, "upgrade")) upgrade |= http_list_has(value, len, "websocket");
    if (http_equals(line, n, "connection")) connection |= http_list_has(value, len, "upgrade");
    for (int i = 0; i < FIELDS; i++)
      if (http_equals(line, n, field_names[i])) add_field(L, 2 + i, value, len);
  }
  lua_pushboolean(L, upgrade && connection);
  lua_replace(L, 1);
  return 1 + FIELDS;
}

// --- Messages ------------------------------------------------------------------------------------

static uint64_t receive_until(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  if (!opt_check(L, 2, "recv", names)) return TIMER_NEVER;
  return timer_after(rt_of(L), opt_seconds(L, 2, "recv", "timeout", HUGE_VAL));
}

static void check_alone(lua_State *L, const websocket *w) {
  if (websocket_is_busy(w))
    err_raise(L, "EBUSY", "recv", NULL, "another task is receiving from this WebSocket");
}

// ws:recv([{timeout=}])
static int l_recv(lua_State *L) {
  websocket *w = check(L, 1);
  uint64_t until = receive_until(L);
  task_checkpoint(L);
  check_alone(L, w);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_recv);
  return websocket_receive(L, w, until, 0);
}

// ws(): the same, for loops.
static int l_call(lua_State *L) {
  websocket *w = check(L, 1);
  lua_settop(L, 1);
  task_checkpoint(L);
  check_alone(L, w);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_call);
  return websocket_receive(L, w, TIMER_NEVER, 1);
}

// The opcode that the argument names.
static unsigned opcode_of(lua_State *L, int idx) {
  static const char *const kinds[] = {"text", "binary", NULL};
  return arg_option(L, idx, "text", kinds) ? WEBSOCKET_BINARY : WEBSOCKET_TEXT;
}

// Raise unless the string at `idx` can be sent as such a message.
static void check_message(lua_State *L, int idx, unsigned opcode) {
  size_t n;
  uint32_t state = 0;
  const char *p = arg_lstring(L, idx, &n);
  if (n > (size_t)MOST) err_misuse(L, "a message is longer than 1 GiB");
  if (opcode != WEBSOCKET_TEXT) return;
  if (!websocket_utf8(&state, (const unsigned char *)p, n) || state)
    err_misuse(L, "the message is not UTF-8: send it as \"binary\"");
}

// ws:send(data[, kind])
static int l_send(lua_State *L) {
  websocket *w = check(L, 1);
  unsigned opcode = opcode_of(L, 3);
  check_message(L, 2, opcode);
  task_checkpoint(L);
  if (w->is_shut) err_raise(L, "ECLOSED", "send", NULL, "the WebSocket was closed");
  lua_settop(L, 2);
  lua_pushinteger(L, opcode);
  return websocket_send(L, w);
}

// --- The end -------------------------------------------------------------------------------------

// ws:close([code[, why]])
static int l_close(lua_State *L) {
  websocket *w = any(L, 1);
  uint32_t state = 0;
  size_t n = 0;
  lua_Integer code = arg_opt_integer(L, 2, WEBSOCKET_NORMAL);
  const char *why = arg_opt_string(L, 3, NULL);
  if (why) why = lua_tolstring(L, 3, &n);
  if (code != WEBSOCKET_NORMAL && code != WEBSOCKET_GOING_AWAY &&
      (code < 1000 || code > 4999 || !websocket_code_valid((unsigned)code)))
    err_misuse(L,
               "%I is no close code that can be sent: those are 1000 to 1003, 1007 to 1014 and "
               "3000 to 4999",
               (LUAI_UACINT)code);
  if (n > LONGEST_REASON) err_misuse(L, "the reason to close is longer than 123 bytes");
  if (!websocket_utf8(&state, (const unsigned char *)why, n) || state)
    err_misuse(L, "the reason to close is not UTF-8");
  if (!w->s) {  // it was collected
    lua_pushboolean(L, 1);
    return 1;
  }
  task_checkpoint(L);
  wait_check(L);
  w->is_shut = 1;
  return websocket_close(L, w, (unsigned)code, why, n, GOODBYE);
}

// leave(ws, code): begin to close it, without waiting.
static int l_leave(lua_State *L) {
  websocket_leave(check(L, 1), (unsigned)arg_integer(L, 2), GOODBYE);
  return 0;
}

// is_open(ws)
static int l_is_open(lua_State *L) {
  const websocket *w = any(L, 1);
  lua_pushboolean(L, w->s && !w->s->closed);
  return 1;
}

// sent(ws): the bytes that went over its connection.
static int l_sent(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L, 1)->s->bytes_out);
  return 1;
}

static int l_gc(lua_State *L) {
  websocket_fini(any(L, 1));
  return 0;
}

static int l_tostring(lua_State *L) {
  const websocket *w = any(L, 1);
  char target[128] = "";
  if (w->s) w->s->t->describe(w->s, target, sizeof target);
  const char *state =
    w->s && !w->s->closed && !w->over ? w->said_bye ? "closing" : "open" : "closed";
  lua_pushfstring(L, "websocket (%s, %s)", target, state);
  return 1;
}

// The fields that are no methods.
static int push_field(lua_State *L, const websocket *w, const char *name) {
  if (strcmp(name, "code") == 0 && w->code)
    lua_pushinteger(L, w->code);
  else if (strcmp(name, "reason") == 0 && w->code)
    lua_pushlstring(L, w->reason ? w->reason : "", w->reason_len);
  else if (strcmp(name, "protocol") == 0)
    lua_getiuservalue(L, 1, 1);
  else
    lua_pushnil(L);
  return 1;
}

// __index. Upvalue: the methods.
static int l_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  return lua_type(L, 2) == LUA_TSTRING ? push_field(L, any(L, 1), lua_tostring(L, 2)) : 1;
}

// --- Broadcasts ----------------------------------------------------------------------------------

// Stack of a broadcast: the list, the message, its opcode, the bound, whether slow ones are closed,
// the userdata of the message, the next place in the list, how many got it, how many did not.
enum { LIST = 1, MESSAGE, OPCODE, BOUND, CLOSES, CAST, NEXT, SENT, SLOW };

#define CASTER "corun.websocketcast"

static int cast_gc(lua_State *L) {
  websocket_broadcast *b = lua_touserdata(L, 1);
  buffer_fini(&b->plain);
  buffer_fini(&b->packed);
  return 0;
}

static int cast(lua_State *L);

static int on_rested(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  return cast(L);
}

static const wait_ops cast_ops = {"other tasks", NULL, on_rested, NULL};

static void count(lua_State *L, int idx) {
  lua_pushinteger(L, lua_tointeger(L, idx) + 1);
  lua_replace(L, idx);
}

static int cast(lua_State *L) {
  websocket_broadcast *b = lua_touserdata(L, CAST);
  lua_Integer n = (lua_Integer)lua_rawlen(L, LIST);
  for (lua_Integer i = lua_tointeger(L, NEXT); i <= n; i++) {
    lua_rawgeti(L, LIST, i);
    websocket *w = any(L, -1);
    int rc = websocket_cast(w, b);
    if (rc == UV_EAGAIN && lua_toboolean(L, CLOSES)) websocket_leave(w, 1013, GOODBYE);
    lua_pop(L, 1);
    if (rc == 0) count(L, SENT);
    if (rc == UV_EAGAIN) count(L, SLOW);
    if (i == n || wait_may_go_on(L, WAIT_SYSTEM_CALL)) continue;
    lua_pushinteger(L, i + 1);
    lua_replace(L, NEXT);
    return wait_begin_until(L, &cast_ops, NULL, timer_after(rt_of(L), 0));
  }
  lua_settop(L, SLOW);
  return 2;
}

// cast(list, data, kind, bound, closes): how many of the list got it, how many were too slow.
static int l_cast(lua_State *L) {
  unsigned opcode = opcode_of(L, OPCODE);
  check_message(L, MESSAGE, opcode);
  lua_Integer bound = arg_integer(L, BOUND);
  task_checkpoint(L);
  lua_settop(L, CLOSES);
  websocket_broadcast *b = lua_newuserdatauv(L, sizeof *b, 0);
  memset(b, 0, sizeof *b);
  b->data = lua_tolstring(L, MESSAGE, &b->len);
  b->opcode = (uint8_t)opcode;
  b->most = (size_t)bound;
  if (luaL_newmetatable(L, CASTER)) {
    lua_pushcfunction(L, cast_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, 0);
  return cast(L);
}

// is(value): whether it is a WebSocket.
static int l_is(lua_State *L) {
  const box *b = lua_touserdata(L, 1);
  lua_pushboolean(L, b && lua_rawlen(L, 1) == sizeof *b && b->tag == &tag);
  return 1;
}

// --- The module ----------------------------------------------------------------------------------

static int common_gc(lua_State *L) {
  websocket_common *c = lua_touserdata(L, 1);
  websocket_states_fini(&c->states);
  buffer_fini(&c->packed);
  buffer_fini(&c->masked);
  return 0;
}

static void push_common(lua_State *L) {
  memset(lua_newuserdatauv(L, sizeof(websocket_common), 0), 0, sizeof(websocket_common));
  if (luaL_newmetatable(L, COMMON)) {
    lua_pushcfunction(L, common_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
}

// The module, and the metatable, for what Lua adds to it.
int luaopen_corun_websocketcore(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"recv", l_recv}, {"send", l_send}, {"close", l_close}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
    {"__call", l_call}, {"__gc", l_gc}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
    {"adopt", l_adopt}, {"leave", l_leave}, {"is_open", l_is_open}, {"sent", l_sent},
    {"cast", l_cast},   {"is", l_is},       {"fields", l_fields},   {NULL, NULL}};
  luaL_newlibtable(L, functions);
  push_common(L);
  luaL_setfuncs(L, functions, 1);
  luaL_newmetatable(L, CLASS);
  luaL_setfuncs(L, meta, 0);
  lua_pushliteral(L, "websocket");
  lua_setfield(L, -2, "__name");
  luaL_newlib(L, methods);
  lua_pushcclosure(L, l_index, 1);
  lua_setfield(L, -2, "__index");
  lua_setfield(L, -2, "metatable");
  return 1;
}
