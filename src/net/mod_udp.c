// SPDX-License-Identifier: MIT
// corun.udp: the bindings of UDP sockets. Part of corun.net. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/state.h"
#include "net/endpoint_lua.h"
#include "net/mods.h"
#include "net/resolve.h"
#include "net/udp.h"

#define UDP_CLASS "corun.udp"

// --- The userdata ----------------------------------------------------------------------------

static udp *to_udp(lua_State *L) {
  return *(udp **)arg_object(L, 1, UDP_CLASS);
}

static udp *check_udp(lua_State *L, const char *op) {
  udp *u = to_udp(L);
  if (u && u->fd >= 0) return u;
  const char *site = u && u->closed_at ? site_text(rt_of(L), u->closed_at) : NULL;
  err_raise_closed(L, op, u ? u->local : NULL, "socket", site, u && u->by_scope);
  return NULL;
}

static int fail(lua_State *L, const udp *u, int rc, const char *op, const char *target) {
  char text[ADDRESS_TEXT];
  if (!target && u->connected) {
    address_format(&u->peer, text, sizeof text);
    target = text;
  }
  if (!target) target = u->local;
  if (rc == UV_ECANCELED)
    return err_return(L, "ECLOSED", op, target, "the socket was closed meanwhile at %s",
                      u->closed_at ? site_text(rt_of(L), u->closed_at) : "the end");
  if (rc == UV_ETIMEDOUT) return err_return(L, "ETIMEDOUT", op, target, "it took too long");
  return err_return_uv(L, rc, op, target);
}

static int succeed(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int give(lua_State *L, const udp *u, int rc, const char *op, const char *target) {
  return rc < 0 ? fail(L, u, rc, op, target) : succeed(L);
}

// --- Opening ---------------------------------------------------------------------------------

// What is set on a new socket; -1: not given.
typedef struct udp_settings {
  int broadcast, ttl, multicast_ttl, multicast_loop;
} udp_settings;

// The datagrams of a group may be bound to this machine (0), others must get to a router.
static void read_settings(lua_State *L, int idx, udp_settings *set) {
  set->broadcast = opt_flag(L, idx, "udp", "broadcast", -1);
  set->ttl = (int)opt_range(L, idx, "udp", "ttl", 1, 255, -1);
  set->multicast_ttl = (int)opt_range(L, idx, "udp", "multicast_ttl", 0, 255, -1);
  set->multicast_loop = opt_flag(L, idx, "udp", "multicast_loop", -1);
}

// Answers 0 or an error.
static int set_up(udp *u, const udp_settings *set) {
  int rc = 0;
  if (set->broadcast >= 0) rc = udp_set(u, UDP_BROADCAST, set->broadcast);
  if (rc == 0 && set->ttl >= 0) rc = udp_set(u, UDP_TTL, set->ttl);
  if (rc == 0 && set->multicast_ttl >= 0) rc = udp_set(u, UDP_MULTICAST_TTL, set->multicast_ttl);
  if (rc == 0 && set->multicast_loop >= 0) rc = udp_set(u, UDP_MULTICAST_LOOP, set->multicast_loop);
  return rc;
}

static void check_local(lua_State *L, const endpoint *e, int rc) {
  if (rc == UV_ENODEV)
    err_misuse(L, "bad address for udp: this machine has no network interface \"%s\"",
               strchr(e->host, '%') + 1);
  if (rc < 0)
    err_misuse(L, "bad address for udp: the local address must be numeric, got %s", e->host);
}

// udp([addr[, o]])
static int l_udp(lua_State *L) {
  static const char *const names[] = {"reuse",         "broadcast",      "ttl",
                                      "multicast_ttl", "multicast_loop", NULL};
  endpoint e = {.host = "0.0.0.0"};
  address a;
  char target[ENDPOINT_TEXT];
  if (lua_isnoneornil(L, 1))
    address_parse(e.host, 0, &a);
  else
    endpoint_read(L, 1, "udp", &e);
  if (e.is_path) err_misuse(L, "bad address for udp: a Unix socket has no datagrams here");
  if (!e.host[0])
    address_any(AF_INET6, e.port, &a);
  else
    check_local(L, &e, address_parse(e.host, e.port, &a));
  udp_settings set;
  opt_check(L, 2, "udp", names);
  read_settings(L, 2, &set);
  int reuse = opt_flag(L, 2, "udp", "reuse", 0);
  endpoint_format(&e, target, sizeof target);
  udp **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, UDP_CLASS);
  int rc = udp_open(rt_of(L), &a, reuse, box);
  if (rc == UV_EAFNOSUPPORT && !e.host[0]) {  // a machine without IPv6
    address_any(AF_INET, e.port, &a);
    rc = udp_open(rt_of(L), &a, reuse, box);
  }
  if (rc == 0) rc = set_up(*box, &set);
  if (rc == 0) {
    interrupt_closable(L);
    return 1;
  }
  if (*box) udp_close(*box, 0);
  return err_return_uv(L, rc, "udp", target);
}

// --- Where datagrams go: the frame is the socket, the data, the target's text, the endpoint ------

enum { SELF = 1, DATA, TARGET, PLACE };

typedef int placed(lua_State *L, udp *u, const address *a);

// An IPv4 address as a socket of IPv6 takes it (RFC 4291, section 2.5.5.2).
static void map_address(const udp *u, address *a) {
  if (u->family != AF_INET6 || a->sa.sa_family != AF_INET) return;
  address v4 = *a;
  memset(a, 0, sizeof *a);
  a->in6.sin6_family = AF_INET6;
  a->in6.sin6_port = v4.in.sin_port;
  a->in6.sin6_addr.s6_addr[10] = a->in6.sin6_addr.s6_addr[11] = 0xff;
  memcpy(a->in6.sin6_addr.s6_addr + 12, &v4.in.sin_addr, 4);
}

// Take the first address that this socket can reach.
static int take_place(lua_State *L, void *arg, int rc, const char *op, placed *then) {
  const endpoint *e = lua_touserdata(L, PLACE);
  udp *u = to_udp(L);
  address_list hosts = {.n = 0};
  if (rc == 0) rc = resolve_take(arg, e->port, &hosts);
  if (rc < 0) return resolve_fail(L, rc, op, lua_tostring(L, TARGET));
  if (u->fd < 0) return fail(L, u, UV_ECANCELED, op, lua_tostring(L, TARGET));
  for (int i = 0; i < hosts.n; i++) {
    if (u->family == AF_INET && hosts.a[i].sa.sa_family != AF_INET) continue;
    map_address(u, &hosts.a[i]);
    return then(L, u, &hosts.a[i]);
  }
  return fail(L, u, UV_EAFNOSUPPORT, op, lua_tostring(L, TARGET));
}

// Find the address at index TARGET and go on with it.
static int place(lua_State *L, udp *u, const char *op, placed *then, const wait_ops *ops) {
  endpoint e;
  char text[ENDPOINT_TEXT];
  endpoint_read(L, TARGET, op, &e);
  if (e.is_path || !e.host[0]) err_misuse(L, "the address for %s needs a host", op);
  address_list hosts;
  int is_numeric = resolve_numeric(&e, &hosts) == 0;
  if (is_numeric && u->family == AF_INET && hosts.a[0].sa.sa_family != AF_INET)
    err_misuse(L, "the address for %s is of IPv6, the socket of IPv4", op);
  if (!is_numeric || lua_type(L, TARGET) != LUA_TSTRING) {
    endpoint_format(&e, text, sizeof text);
    lua_pushstring(L, text);
    lua_replace(L, TARGET);
  }
  if (is_numeric) {
    map_address(u, &hosts.a[0]);
    return then(L, u, &hosts.a[0]);
  }
  memcpy(lua_newuserdatauv(L, sizeof e, 0), &e, sizeof e);
  return resolve_begin(L, &e, TIMER_NEVER, ops);
}

// --- Sending ---------------------------------------------------------------------------------

static int send_again(lua_State *L, void *arg, int rc);

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  snprintf(buf, n, "%s", ((const udp *)arg)->local);
}

static const wait_ops send_ops = {"room to send at", udp_cancel_send, send_again, describe};

static int on_rested(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  return succeed(L);
}

static const wait_ops rest_ops = {"other tasks", NULL, on_rested, NULL};

// The datagram has gone, or could not: a task that never has to wait lets others run now and then.
static int finish_send(lua_State *L, const udp *u, int rc) {
  if (rc == 0 && !wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, NULL, timer_after(rt_of(L), 0));
  return give(L, u, rc, "send", lua_tostring(L, TARGET));
}

// Send the data to the address that the userdata PLACE holds, or to the peer.
static int send_now(lua_State *L, udp *u) {
  size_t n;
  const char *data = lua_tolstring(L, DATA, &n);
  const address *to = lua_touserdata(L, PLACE);
  int rc = udp_send(u, data, n, to);
  if (rc == UV_EAGAIN) return udp_wait_send(L, u, &send_ops);
  return finish_send(L, u, rc);
}

static int send_again(lua_State *L, void *arg, int rc) {
  udp *u = arg;
  rc = udp_take_send(u, rc);
  return rc < 0 ? fail(L, u, rc, "send", lua_tostring(L, TARGET)) : send_now(L, u);
}

static int send_to(lua_State *L, udp *u, const address *to) {
  lua_settop(L, TARGET);
  size_t n;
  const char *data = lua_tolstring(L, DATA, &n);
  int rc = udp_send(u, data, n, to);
  if (rc != UV_EAGAIN) return finish_send(L, u, rc);
  memcpy(lua_newuserdatauv(L, sizeof *to, 0), to, sizeof *to);
  return udp_wait_send(L, u, &send_ops);
}

static int on_send_placed(lua_State *L, void *arg, int rc) {
  return take_place(L, arg, rc, "send", send_to);
}

static const wait_ops send_place_ops = {"the address of", resolve_cancel, on_send_placed,
                                        resolve_describe};

// u:send(data[, addr])
static int l_send(lua_State *L) {
  udp *u = check_udp(L, "send");
  arg_string(L, DATA);
  lua_settop(L, TARGET);
  int to_peer = lua_isnil(L, TARGET);
  if (to_peer && !u->connected)
    return err_misuse(L, "send needs an address: the socket is not connected");
  if (!to_peer && u->connected)
    return err_misuse(L, "send takes no address: the socket is connected");
  task_checkpoint(L);
  if (!to_peer) return place(L, u, "send", send_to, &send_place_ops);
  lua_pushnil(L);
  return send_now(L, u);
}

// --- Receiving -------------------------------------------------------------------------------

typedef struct recv_call {
  size_t max;
  uint64_t when;
} recv_call;

static int recv_again(lua_State *L, void *arg, int rc);

static const wait_ops recv_ops = {"a datagram at", udp_cancel_recv, recv_again, describe};

// The frame is the socket and the recv_call.
static int recv_now(lua_State *L, udp *u) {
  const recv_call *c = lua_touserdata(L, 2);
  io_state *io = io_state_of(L);
  address from = {.sa.sa_family = AF_UNSPEC};
  char *block = io_block(io);
  if (!block) return fail(L, u, UV_ENOMEM, "recv", NULL);
  ssize_t n = udp_recv(u, block, c->max, &from);
  if (n == UV_EAGAIN) return udp_wait_recv(L, u, c->when, &recv_ops);
  if (n < 0) return fail(L, u, (int)n, "recv", NULL);
  int is_cut = (size_t)n > c->max;
  lua_pushlstring(L, block, is_cut ? c->max : (size_t)n);
  endpoint_push(L, from.sa.sa_family == AF_UNSPEC ? &u->peer : &from);
  if (!is_cut) return 2;
  lua_pushboolean(L, 1);
  return 3;
}

static int recv_again(lua_State *L, void *arg, int rc) {
  udp *u = arg;
  rc = udp_take_recv(u, rc);
  return rc < 0 ? fail(L, u, rc, "recv", NULL) : recv_now(L, u);
}

// u:recv([max][, o])
static int l_recv(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  udp *u = check_udp(L, "recv");
  recv_call c = {UDP_MOST, TIMER_NEVER};
  int at = lua_istable(L, 2) ? 2 : 3;
  if (at == 3 && !lua_isnoneornil(L, 2)) {
    lua_Integer max = arg_count(L, 2, 1);
    if ((size_t)max < c.max) c.max = (size_t)max;
  }
  if (opt_check(L, at, "recv", names))
    c.when = timer_after(rt_of(L), opt_seconds(L, at, "recv", "timeout", HUGE_VAL));
  task_checkpoint(L);
  if (u->reader)
    return err_raise(L, "EBUSY", "recv", NULL, "another task is receiving from this socket");
  lua_settop(L, 1);
  memcpy(lua_newuserdatauv(L, sizeof c, 0), &c, sizeof c);
  if (!wait_may_go_on(L, WAIT_SYSTEM_CALL)) return udp_wait_recv(L, u, c.when, &recv_ops);
  return recv_now(L, u);
}

// --- Peers and groups ------------------------------------------------------------------------

static int connect_to(lua_State *L, udp *u, const address *to) {
  return give(L, u, udp_connect(u, to), "connect", lua_tostring(L, TARGET));
}

static int on_connect_placed(lua_State *L, void *arg, int rc) {
  return take_place(L, arg, rc, "connect", connect_to);
}

static const wait_ops connect_place_ops = {"the address of", resolve_cancel, on_connect_placed,
                                           resolve_describe};

// u:connect(addr)
static int l_connect(lua_State *L) {
  udp *u = check_udp(L, "connect");
  lua_settop(L, 2);
  lua_pushnil(L);
  lua_insert(L, DATA);
  task_checkpoint(L);
  return place(L, u, "connect", connect_to, &connect_place_ops);
}

static int member(lua_State *L, int join, const char *op) {
  udp *u = check_udp(L, op);
  const char *group = arg_string(L, 2), *interface = arg_opt_string(L, 3, NULL);
  address a;
  if (address_parse(group, 0, &a) < 0 || a.sa.sa_family != u->family)
    return err_misuse(
      L, "the group for %s must be a numeric address of the socket's family, got %s", op, group);
  return give(L, u, udp_member(u, &a, interface, join), op, group);
}

static int l_join(lua_State *L) {
  return member(L, 1, "join");
}

static int l_leave(lua_State *L) {
  return member(L, 0, "leave");
}

static int l_address(lua_State *L) {
  lua_pushstring(L, check_udp(L, "address")->local);
  return 1;
}

static int l_peer(lua_State *L) {
  const udp *u = check_udp(L, "peer");
  if (u->connected) return endpoint_push(L, &u->peer);
  lua_pushnil(L);
  return 1;
}

// --- Closing ---------------------------------------------------------------------------------

static int l_close(lua_State *L) {
  udp *u = to_udp(L);
  if (u) udp_close(u, site_here(L, 0));
  return 0;
}

static int l_meta_close(lua_State *L) {
  udp *u = to_udp(L);
  if (u && u->fd >= 0) u->by_scope = 1;
  return l_close(L);
}

static int l_gc(lua_State *L) {
  udp **box = lua_touserdata(L, 1);
  if (!*box) return 0;
  udp_close(*box, 0);
  udp_unref(*box);
  *box = NULL;
  return 0;
}

static int l_tostring(lua_State *L) {
  const udp *u = to_udp(L);
  lua_pushfstring(L, "udp socket (%s, %s)", u ? u->local : "", u && u->fd >= 0 ? "open" : "closed");
  return 1;
}

int luaopen_corun_udp(lua_State *L) {
  static const luaL_Reg functions[] = {{"udp", l_udp}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
    {"send", l_send},   {"recv", l_recv},       {"connect", l_connect},
    {"join", l_join},   {"leave", l_leave},     {"peer", l_peer},
    {"close", l_close}, {"address", l_address}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
    {"__close", l_meta_close}, {"__gc", l_gc}, {"__tostring", l_tostring}, {NULL, NULL}};
  if (luaL_newmetatable(L, UDP_CLASS)) {
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "udp socket");
    lua_setfield(L, -2, "__name");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
