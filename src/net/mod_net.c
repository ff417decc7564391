// SPDX-License-Identifier: MIT
// corun.netcore: the bindings of tcp and unix streams and of connect; lua/corun/net.lua makes the
// module corun.net of them. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/pipe.h"
#include "io/stream_lua.h"
#include "net/dial.h"
#include "net/endpoint_lua.h"
#include "net/mods.h"
#include "net/resolve.h"
#include "net/tcp.h"

#define KEEPALIVE 60          // seconds of silence after which a peer is asked whether it is there
#define KEEPALIVE_MOST 32767  // as many as Linux takes

// --- Connecting ------------------------------------------------------------------------------

// The frame of connect: what it was asked, the target's text, the userdata of the stream.
enum { CALL = 1, TARGET, BOX };

typedef struct connect_call {
  endpoint to;
  dial_options o;
  uint64_t when;
  lua_Integer queue;  // bytes that may wait to be sent, 0: as usual
  int family;         // that resolve is asked for
} connect_call;

static int fail_connect(lua_State *L, int rc) {
  const char *target = lua_tostring(L, TARGET);
  if (rc == UV_ETIMEDOUT)
    return err_return(L, "ETIMEDOUT", "connect", target, "no connection in time");
  return resolve_fail(L, rc, "connect", target);
}

static int on_dialed(lua_State *L, void *arg, int rc) {
  stream *conn = NULL;
  if (rc == 0) rc = dial_take(arg, &conn);
  if (rc < 0) return fail_connect(L, rc);
  ((stream_box *)lua_touserdata(L, BOX))->s = conn;
  stream_set_bound(conn, ((const connect_call *)lua_touserdata(L, CALL))->queue);
  interrupt_closable(L);
  lua_settop(L, BOX);
  return 1;
}

static const wait_ops dial_ops = {"a connection to", dial_cancel, on_dialed, dial_describe};

// Leave those that can be reached from the address to bind; answer how many.
static int keep_family(address_list *hosts, int family) {
  int n = 0;
  for (int i = 0; i < hosts->n; i++)
    if (hosts->a[i].sa.sa_family == family) hosts->a[n++] = hosts->a[i];
  return hosts->n = n;
}

static int dial_all(lua_State *L, address_list *hosts) {
  const connect_call *c = lua_touserdata(L, CALL);
  int family = c->o.bind.sa.sa_family;
  if (family != AF_UNSPEC && !keep_family(hosts, family))
    return err_return(L, "EAFNOSUPPORT", "connect", lua_tostring(L, TARGET),
                      "the option \"bind\" is an address of IPv%d, the host has none",
                      family == AF_INET6 ? 6 : 4);
  return dial_begin(L, hosts, &c->o, c->when, &dial_ops);
}

static int on_resolved(lua_State *L, void *arg, int rc) {
  const connect_call *c = lua_touserdata(L, CALL);
  address_list hosts;
  if (rc == 0) rc = resolve_take(arg, c->to.port, &hosts);
  return rc < 0 ? fail_connect(L, rc) : dial_all(L, &hosts);
}

static const wait_ops resolve_ops = {"the address of", resolve_cancel, on_resolved,
                                     resolve_describe};

// Read the option "keepalive": seconds, or true. 0 stands for never.
static unsigned read_keepalive(lua_State *L, int idx, const char *operation) {
  double seconds = 0;
  int type = lua_getfield(L, idx, "keepalive");
  if (type == LUA_TBOOLEAN)
    seconds = lua_toboolean(L, -1) ? KEEPALIVE : 0;
  else if (type != LUA_TNIL)
    seconds = opt_seconds(L, idx, operation, "keepalive", 0);
  lua_pop(L, 1);
  if (seconds > KEEPALIVE_MOST) seconds = KEEPALIVE_MOST;
  return (unsigned)ceil(seconds);
}

static void read_connect_options(lua_State *L, connect_call *c) {
  static const char *const names[] = {"timeout", "bind", "nodelay", "keepalive",
                                      "queue",   "tls",  NULL};  // tls: net.lua
  c->o.nodelay = 1;
  c->when = TIMER_NEVER;
  c->queue = 0;
  if (!opt_check(L, 2, "connect", names)) return;
  c->when = timer_after(rt_of(L), opt_seconds(L, 2, "connect", "timeout", HUGE_VAL));
  c->queue = opt_count(L, 2, "connect", "queue", 1, 0);
  c->o.nodelay = opt_flag(L, 2, "connect", "nodelay", 1) != 0;
  c->o.keepalive = read_keepalive(L, 2, "connect");
  endpoint_read_numeric(L, 2, "connect", "bind", &c->o.bind);
  if (c->to.is_path && c->o.bind.sa.sa_family)
    err_misuse(L, "option \"bind\" for connect is not for Unix sockets");
}

static int l_connect(lua_State *L) {
  connect_call c = {.queue = 0};
  char target[ENDPOINT_TEXT];
  endpoint_read(L, 1, "connect", &c.to);
  if (!c.to.host[0]) err_misuse(L, "the address for connect needs a host");
  read_connect_options(L, &c);
  task_checkpoint(L);
  endpoint_format(&c.to, target, sizeof target);
  lua_settop(L, 0);
  memcpy(lua_newuserdatauv(L, sizeof c, 0), &c, sizeof c);
  lua_pushstring(L, target);
  stream_newbox(L, c.to.is_path ? UNIX_CLASS : TCP_CLASS);
  if (c.to.is_path) return dial_begin_path(L, c.to.host, c.when, &dial_ops);
  address_list hosts;
  if (resolve_numeric(&c.to, &hosts) == 0) return dial_all(L, &hosts);
  return resolve_begin(L, &c.to, c.when, &resolve_ops);
}

// --- Names -----------------------------------------------------------------------------------

// Read the option "family" of the table at index 2: 4, 6 or nothing.
static int read_family(lua_State *L) {
  int family = AF_UNSPEC, type = lua_getfield(L, 2, "family");
  lua_Integer n = lua_tointeger(L, -1);
  if (type != LUA_TNIL && n != 4 && n != 6)
    err_misuse(L, "option \"family\" for resolve must be 4 or 6, got %s", err_show(L, -1));
  if (type != LUA_TNIL) family = n == 4 ? AF_INET : AF_INET6;
  lua_pop(L, 1);
  return family;
}

// Push the list of the texts of the addresses, without ports, of one family or of both.
static int push_hosts(lua_State *L, const address *hosts, int count, int family) {
  lua_Integer n = 0;
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    char text[ADDRESS_TEXT];
    if (family != AF_UNSPEC && hosts[i].sa.sa_family != family) continue;
    address_format_host(&hosts[i], text, sizeof text);
    lua_pushstring(L, text);
    lua_rawseti(L, -2, ++n);
  }
  if (n) return 1;
  return err_return(L, "EAI_NONAME", "resolve", lua_tostring(L, TARGET),
                    "the name has no address of this family");
}

static int on_names(lua_State *L, void *arg, int rc) {
  address hosts[RESOLVE_ALL];
  const char *target = lua_tostring(L, TARGET);
  if (rc == UV_ETIMEDOUT) return err_return(L, "ETIMEDOUT", "resolve", target, "no answer in time");
  rc = resolve_take_all(arg, hosts);
  if (rc < 0) return resolve_fail(L, rc, "resolve", target);
  return push_hosts(L, hosts, rc, ((const connect_call *)lua_touserdata(L, CALL))->family);
}

static const wait_ops names_ops = {"the address of", resolve_cancel, on_names, resolve_describe};

static int l_resolve(lua_State *L) {
  static const char *const names[] = {"family", "timeout", NULL};
  connect_call c = {.when = TIMER_NEVER, .family = AF_UNSPEC};
  size_t len;
  const char *host = arg_lstring(L, 1, &len);
  const char *why = len ? endpoint_make(host, len, 0, &c.to) : "the name is empty";
  if (why) err_misuse(L, "bad name for resolve: %s", why);
  if (opt_check(L, 2, "resolve", names)) {
    c.when = timer_after(rt_of(L), opt_seconds(L, 2, "resolve", "timeout", HUGE_VAL));
    c.family = read_family(L);
  }
  task_checkpoint(L);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_resolve);
  lua_settop(L, 1);
  memcpy(lua_newuserdatauv(L, sizeof c, 0), &c, sizeof c);
  lua_insert(L, CALL);
  address_list hosts;
  if (resolve_numeric(&c.to, &hosts) == 0) return push_hosts(L, hosts.a, hosts.n, c.family);
  return resolve_begin(L, &c.to, c.when, &names_ops);
}

// --- Methods of tcp streams ------------------------------------------------------------------

// The tcp stream at index 1: methods can be called with streams of other classes. TLS changes the
// transport of a stream, its handle stays what it is.
static tcp *check_tcp(lua_State *L, const char *op) {
  stream *s = stream_check(L, 1, op);
  if (s->h.kind != tcp_transport.kind) arg_type_error(L, 1, "tcp stream");
  return (tcp *)(void *)s;
}

static int l_peer(lua_State *L) {
  return endpoint_push(L, &check_tcp(L, "peer")->peer);
}

static int l_address(lua_State *L) {
  tcp *t = check_tcp(L, "address");
  address a;
  int size = sizeof a;
  int rc = uv_tcp_getsockname(&t->uv, &a.sa, &size);
  return rc < 0 ? err_return_uv(L, rc, "address", NULL) : endpoint_push(L, &a);
}

static int l_configure(lua_State *L) {
  static const char *const names[] = {"timeout", "queue", "nodelay", "keepalive", NULL};
  tcp *t = check_tcp(L, "configure");
  stream_configure(L, &t->base.s, names);
  int rc = 0;
  if (lua_getfield(L, 2, "nodelay") != LUA_TNIL)
    rc = uv_tcp_nodelay(&t->uv, opt_flag(L, 2, "configure", "nodelay", 1));
  if (rc == 0 && lua_getfield(L, 2, "keepalive") != LUA_TNIL) {
    unsigned seconds = read_keepalive(L, 2, "configure");
    rc = uv_tcp_keepalive(&t->uv, seconds > 0, seconds);
  }
  if (rc < 0) return stream_fail(L, &t->base.s, rc, "configure");
  lua_settop(L, 1);
  return 1;
}

// --- Methods of unix streams: both ends have the address of the listener ---------------------

static int l_path(lua_State *L) {
  const stream *s = stream_check(L, 1, "address");
  char text[ADDRESS_TEXT];
  s->t->describe(s, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

// --- Opening ---------------------------------------------------------------------------------

int luaopen_corun_netcore(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"connect", l_connect}, {"resolve", l_resolve}, {NULL, NULL}};
  static const luaL_Reg of_tcp[] = {{"shutdown", stream_l_shutdown},
                                    {"peer", l_peer},
                                    {"address", l_address},
                                    {"configure", l_configure},
                                    {NULL, NULL}};
  static const luaL_Reg of_unix[] = {
    {"shutdown", stream_l_shutdown}, {"peer", l_path}, {"address", l_path}, {NULL, NULL}};
  stream_class(L, TCP_CLASS, "tcp stream", of_tcp);
  stream_class(L, UNIX_CLASS, "unix stream", of_unix);
  luaL_newlib(L, functions);
  return 1;
}
