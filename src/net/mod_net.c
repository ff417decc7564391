// SPDX-License-Identifier: MIT
// corun.netcore: the bindings of tcp streams, connect and listen; lua/corun/net.lua makes the
// module corun.net of them. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/stream_lua.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/mods.h"
#include "net/resolve.h"
#include "net/tcp.h"

#define LISTENER_CLASS "corun.listener"
#define BACKLOG 1024
#define PAUSE 0.05  // seconds until accepting is tried again after running out of descriptors

// --- Addresses -------------------------------------------------------------------------------

static void bad_address(lua_State *L, int idx, const char *operation, const char *why) {
  err_misuse(L, "bad address for %s: %s, got %s", operation, why, luaL_tolstring(L, idx, NULL));
}

static void read_table(lua_State *L, int idx, const char *operation, endpoint *e) {
  static const char *const names[] = {"host", "port", "path", NULL};
  opt_check(L, idx, operation, names);
  size_t len = 0;
  if (opt_string(L, idx, operation, "path", NULL))
    err_misuse(L, "bad address for %s: unix sockets are not supported", operation);
  const char *host = opt_string(L, idx, operation, "host", &len);
  lua_Integer port = opt_count(L, idx, operation, "port", 0, -1);
  if (!host || port < 0)
    err_misuse(L, "bad address for %s: the table needs host and port", operation);
  const char *why = endpoint_make(host, len, port, e);
  if (why) err_misuse(L, "bad address for %s: %s", operation, why);
}

// Read the address at `idx`: "host:port", "[v6]:port", {host=, port=}.
static void read_endpoint(lua_State *L, int idx, const char *operation, endpoint *e) {
  if (lua_istable(L, idx)) {
    read_table(L, idx, operation, e);
    return;
  }
  if (lua_type(L, idx) != LUA_TSTRING)
    err_misuse(L, "the address for %s must be a string or a table, got %s", operation,
               luaL_typename(L, idx));
  size_t len;
  const char *text = lua_tolstring(L, idx, &len);
  if (strncmp(text, "unix:", 5) == 0)
    bad_address(L, idx, operation, "unix sockets are not supported");
  const char *why = endpoint_parse(text, len, e);
  if (why) bad_address(L, idx, operation, why);
}

static int push_address(lua_State *L, const address *a) {
  char text[ADDRESS_TEXT];
  address_format(a, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

// --- Connecting ------------------------------------------------------------------------------

// The frame of connect: what it was asked, the target's text, the userdata of the stream.
enum { CALL = 1, TARGET, BOX };

typedef struct connect_call {
  endpoint to;
  dial_options o;
  uint64_t when;
} connect_call;

static int fail_connect(lua_State *L, int rc) {
  const char *target = lua_tostring(L, TARGET);
  if (rc == UV_ETIMEDOUT)
    return err_return(L, "ETIMEDOUT", "connect", target, "no connection in time");
  return err_return_uv(L, rc, "connect", target);
}

static int on_dialed(lua_State *L, void *arg, int rc) {
  tcp *conn = NULL;
  if (rc == 0) rc = dial_take(arg, &conn);
  if (rc < 0) return fail_connect(L, rc);
  ((stream_box *)lua_touserdata(L, BOX))->s = &conn->base.s;
  interrupt_closable(L);
  lua_settop(L, BOX);
  return 1;
}

static const wait_ops dial_ops = {"a connection to", dial_cancel, on_dialed, dial_describe};

static int dial_all(lua_State *L, const address_list *hosts) {
  const connect_call *c = lua_touserdata(L, CALL);
  return dial_begin(L, hosts, &c->o, c->when, &dial_ops);
}

static int on_resolved(lua_State *L, void *arg, int rc) {
  address_list hosts;
  if (rc == 0) rc = resolve_take(arg, &hosts);
  return rc < 0 ? fail_connect(L, rc) : dial_all(L, &hosts);
}

static const wait_ops resolve_ops = {"the address of", resolve_cancel, on_resolved,
                                     resolve_describe};

static void read_bind(lua_State *L, address *out) {
  endpoint e;
  if (lua_getfield(L, 2, "bind") != LUA_TNIL) {
    read_endpoint(L, lua_gettop(L), "option \"bind\" of connect", &e);
    if (!e.host[0] || address_parse(e.host, e.port, out) < 0)
      err_misuse(L, "option \"bind\" for connect must be a numeric address");
  }
  lua_pop(L, 1);
}

static int l_connect(lua_State *L) {
  static const char *const names[] = {"timeout", "bind", "nodelay", NULL};
  connect_call c = {.o.nodelay = 1, .when = TIMER_NEVER};
  char target[ADDRESS_HOST + 16];
  read_endpoint(L, 1, "connect", &c.to);
  if (!c.to.host[0]) err_misuse(L, "the address for connect needs a host");
  if (opt_check(L, 2, "connect", names)) {
    double timeout = opt_seconds(L, 2, "connect", "timeout", HUGE_VAL);
    c.when = timer_after(rt_of(L), timeout);
    c.o.nodelay = opt_flag(L, 2, "connect", "nodelay", 1);
    read_bind(L, &c.o.bind);
  }
  task_checkpoint(L);
  endpoint_format(&c.to, target, sizeof target);
  lua_settop(L, 0);
  memcpy(lua_newuserdatauv(L, sizeof c, 0), &c, sizeof c);
  lua_pushstring(L, target);
  stream_newbox(L, TCP_CLASS);
  address_list hosts;
  if (resolve_numeric(&c.to, &hosts) == 0) return dial_all(L, &hosts);
  return resolve_begin(L, &c.to, c.when, &resolve_ops);
}

// The tcp stream at index 1: methods can be called with streams of other classes.
static tcp *check_tcp(lua_State *L, const char *op) {
  stream *s = stream_check(L, 1, op);
  if (s->t != &tcp_transport) luaL_typeerror(L, 1, "tcp stream");
  return (tcp *)(void *)s;
}

static int l_peer(lua_State *L) {
  return push_address(L, &check_tcp(L, "peer")->peer);
}

static int l_stream_address(lua_State *L) {
  tcp *t = check_tcp(L, "address");
  address a;
  int size = sizeof a;
  int rc = uv_tcp_getsockname(&t->uv, &a.sa, &size);
  return rc < 0 ? err_return_uv(L, rc, "address", NULL) : push_address(L, &a);
}

// --- Listening -------------------------------------------------------------------------------

typedef struct listen_call {
  endpoint at;
  int backlog, reuse;
} listen_call;

static int open_listener(lua_State *L, address_list *hosts) {
  const listen_call *c = lua_touserdata(L, CALL);
  int rc = UV_EADDRNOTAVAIL;
  listener **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, LISTENER_CLASS);
  for (int i = 0; i < hosts->n && !*box; i++)
    rc = listener_open(rt_of(L), &hosts->a[i], c->backlog, c->reuse, box);
  if (!*box) return err_return_uv(L, rc, "listen", lua_tostring(L, TARGET));
  interrupt_closable(L);
  return 1;
}

// A name that stands for both is listened on with IPv4, which is what peers mean by "localhost:80".
static void prefer_ipv4(address_list *hosts) {
  for (int i = 1; i < hosts->n; i++) {
    if (hosts->a[0].sa.sa_family == AF_INET || hosts->a[i].sa.sa_family != AF_INET) continue;
    address first = hosts->a[i];
    hosts->a[i] = hosts->a[0];
    hosts->a[0] = first;
  }
}

static int on_listen_resolved(lua_State *L, void *arg, int rc) {
  address_list hosts = {.n = 0};
  if (rc == 0) rc = resolve_take(arg, &hosts);
  if (rc < 0) return err_return_uv(L, rc, "listen", lua_tostring(L, TARGET));
  prefer_ipv4(&hosts);
  return open_listener(L, &hosts);
}

static const wait_ops listen_ops = {"the address of", resolve_cancel, on_listen_resolved,
                                    resolve_describe};

static int l_listen(lua_State *L) {
  static const char *const names[] = {"backlog", "reuse", NULL};
  listen_call c;
  char target[ADDRESS_HOST + 16];
  read_endpoint(L, 1, "listen", &c.at);
  opt_check(L, 2, "listen", names);
  lua_Integer backlog = opt_count(L, 2, "listen", "backlog", 1, BACKLOG);
  c.backlog = backlog > INT32_MAX ? INT32_MAX : (int)backlog;
  c.reuse = opt_flag(L, 2, "listen", "reuse", 1);
  task_checkpoint(L);
  endpoint_format(&c.at, target, sizeof target);
  lua_settop(L, 0);
  memcpy(lua_newuserdatauv(L, sizeof c, 0), &c, sizeof c);
  lua_pushstring(L, target);
  address_list hosts;
  if (resolve_numeric(&c.at, &hosts) == 0) return open_listener(L, &hosts);
  return resolve_begin(L, &c.at, TIMER_NEVER, &listen_ops);
}

static listener *check_listener(lua_State *L, const char *op) {
  listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER_CLASS);
  char target[ADDRESS_TEXT] = "";
  if (l && l->fd >= 0) return l;
  if (l) address_format(&l->local, target, sizeof target);
  const char *site = l && l->closed_at ? site_text(rt_of(L), l->closed_at) : NULL;
  err_raise_closed(L, op, *target ? target : NULL, "listener", site, l && l->by_scope);
  return NULL;
}

// --- Accepting: the frame is the listener and the userdata of the stream
// ---------------------------

static int is_shortage(int rc) {
  return rc == UV_EMFILE || rc == UV_ENFILE || rc == UV_ENOBUFS || rc == UV_ENOMEM;
}

static int fail_accept(lua_State *L, const listener *l, int rc) {
  char target[ADDRESS_TEXT];
  address_format(&l->local, target, sizeof target);
  if (rc == UV_ECANCELED)
    return err_return(L, "ECLOSED", "accept", target, "the listener was closed meanwhile at %s",
                      site_text(rt_of(L), l->closed_at));
  return err_return_uv(L, rc, "accept", target);
}

static int accept_again(lua_State *L, void *arg, int rc);
static int accept_paused(lua_State *L, void *arg, int rc);
static int accept_rested(lua_State *L, void *arg, int rc);

static void describe_accept(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  address_format(&((const listener *)arg)->local, buf, n);
}

static const wait_ops accept_ops = {"a connection at", listener_cancel, accept_again,
                                    describe_accept};
static const wait_ops pause_ops = {"a free descriptor for", NULL, accept_paused, describe_accept};
static const wait_ops rest_ops = {"other tasks", NULL, accept_rested, NULL};

static int try_accept(lua_State *L, listener *l, int may_pause) {
  tcp *conn;
  int rc = listener_accept(l, io_state_of(L), &conn);
  if (rc == UV_EAGAIN) return listener_wait(L, l, 1, &accept_ops);
  if (is_shortage(rc) && may_pause)
    return wait_begin_until(L, &pause_ops, l, timer_after(rt_of(L), PAUSE));
  if (rc < 0) return fail_accept(L, l, rc);
  ((stream_box *)lua_touserdata(L, 2))->s = &conn->base.s;
  interrupt_closable(L);
  lua_settop(L, 2);
  return 1;
}

static int accept_again(lua_State *L, void *arg, int rc) {
  rc = listener_take_turn(arg, rc);
  return rc < 0 ? fail_accept(L, arg, rc) : try_accept(L, arg, 1);
}

static int accept_now(lua_State *L, listener *l, int may_pause) {
  return l->fd < 0 ? fail_accept(L, l, UV_ECANCELED) : try_accept(L, l, may_pause);
}

static int accept_paused(lua_State *L, void *arg, int rc) {
  (void)rc;
  return accept_now(L, arg, 0);
}

static int accept_rested(lua_State *L, void *arg, int rc) {
  (void)rc;
  return accept_now(L, arg, 1);
}

static int l_accept(lua_State *L) {
  rt *r = rt_of(L);
  listener *l = check_listener(L, "accept");
  task_checkpoint(L);
  lua_settop(L, 1);
  stream_newbox(L, TCP_CLASS);
  if (listener_is_taken(l)) return listener_wait(L, l, 0, &accept_ops);
  if (!io_may_go_on(r, io_state_of(L))) return wait_begin_until(L, &rest_ops, l, timer_after(r, 0));
  return try_accept(L, l, 1);
}

static int l_listener_address(lua_State *L) {
  return push_address(L, &check_listener(L, "address")->local);
}

static int l_listener_close(lua_State *L) {
  listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER_CLASS);
  if (l) listener_close(l, site_here(L, 0));
  return 0;
}

static int l_listener_meta_close(lua_State *L) {
  listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER_CLASS);
  if (l && l->fd >= 0) l->by_scope = 1;
  return l_listener_close(L);
}

static int l_listener_gc(lua_State *L) {
  listener **box = lua_touserdata(L, 1);
  if (!*box) return 0;
  listener_close(*box, 0);
  listener_unref(*box);
  *box = NULL;
  return 0;
}

static int l_listener_tostring(lua_State *L) {
  const listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER_CLASS);
  char target[ADDRESS_TEXT] = "";
  if (l) address_format(&l->local, target, sizeof target);
  lua_pushfstring(L, "listener (%s, %s)", target, l && l->fd >= 0 ? "open" : "closed");
  return 1;
}

// --- Opening ---------------------------------------------------------------------------------

static void open_listener_class(lua_State *L) {
  static const luaL_Reg methods[] = {{"accept", l_accept},
                                     {"address", l_listener_address},
                                     {"close", l_listener_close},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_listener_meta_close},
                                  {"__gc", l_listener_gc},
                                  {"__tostring", l_listener_tostring},
                                  {NULL, NULL}};
  if (luaL_newmetatable(L, LISTENER_CLASS)) {
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "listener");
    lua_setfield(L, -2, "__name");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}

int luaopen_corun_netcore(lua_State *L) {
  static const luaL_Reg functions[] = {{"connect", l_connect}, {"listen", l_listen}, {NULL, NULL}};
  static const luaL_Reg extra[] = {
    {"shutdown", stream_l_shutdown}, {"peer", l_peer}, {"address", l_stream_address}, {NULL, NULL}};
  stream_class(L, TCP_CLASS, "tcp stream", extra);
  open_listener_class(L);
  luaL_newlib(L, functions);
  return 1;
}
