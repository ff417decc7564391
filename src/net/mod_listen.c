// SPDX-License-Identifier: MIT
// corun.listen: the bindings of listeners, of TCP and of Unix sockets. Part of corun.net. Runs on
// the loop thread.
#include <fcntl.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/pipe.h"
#include "io/stream_lua.h"
#include "net/endpoint_lua.h"
#include "net/handed.h"
#include "net/listener.h"
#include "net/mods.h"
#include "net/resolve.h"

#define LISTENER_CLASS "corun.listener"
#define BACKLOG 1024
#define PAUSE 0.05  // seconds until accepting is tried again after running out of descriptors

// --- Listening -------------------------------------------------------------------------------

// The frame of listen: what it was asked, the target's text, the userdata of the listener.
enum { CALL = 1, TARGET, BOX };

typedef struct listen_call {
  endpoint at;
  listen_options o;
} listen_call;

static int finish_listen(lua_State *L, int rc) {
  if (rc < 0) return err_return_uv(L, rc, "listen", lua_tostring(L, TARGET));
  interrupt_closable(L);
  lua_settop(L, BOX);
  return 1;
}

static int open_listener(lua_State *L, address_list *hosts) {
  const listen_call *c = lua_touserdata(L, CALL);
  listener **box = lua_touserdata(L, BOX);
  int rc = UV_EADDRNOTAVAIL;
  for (int i = 0; i < hosts->n && !*box; i++)
    rc = listener_open(rt_of(L), &hosts->a[i], &c->o, box);
  return finish_listen(L, *box ? 0 : rc);
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
  const listen_call *c = lua_touserdata(L, CALL);
  address_list hosts = {.n = 0};
  if (rc == 0) rc = resolve_take(arg, c->at.port, &hosts);
  if (rc < 0) return resolve_fail(L, rc, "listen", lua_tostring(L, TARGET));
  prefer_ipv4(&hosts);
  return open_listener(L, &hosts);
}

static const wait_ops listen_ops = {"the address of", resolve_cancel, on_listen_resolved,
                                    resolve_describe};

// Read the permissions of a Unix socket, "660" or 432: an octal text or a number.
static int read_mode(lua_State *L, const char *op) {
  int type = lua_getfield(L, 2, "mode");
  lua_Integer mode = -1;
  if (type == LUA_TSTRING) {
    const char *digits = lua_tostring(L, -1);
    char *end;
    mode = strtol(digits, &end, 8);
    if ((size_t)(end - digits) != lua_rawlen(L, -1) || strspn(digits, "01234567") == 0) mode = -1;
  } else if (lua_isnumber(L, -1)) {
    int is_whole;
    mode = lua_tointegerx(L, -1, &is_whole);
    if (!is_whole) mode = -1;
  }
  if (type != LUA_TNIL && (mode < 0 || mode > 0777))
    err_misuse(L, "option \"mode\" for %s must be permissions such as \"660\", got %s", op,
               err_show(L, -1));
  lua_pop(L, 1);
  return (int)mode;
}

static void read_listen_options(lua_State *L, const char *op, listen_call *c) {
  static const char *const names[] = {"backlog", "reuse", "reuse_port", "mode", NULL};
  c->o = (listen_options){.backlog = BACKLOG, .reuse = 1, .mode = -1};
  if (!opt_check(L, 2, op, names)) return;
  lua_Integer backlog = opt_count(L, 2, op, "backlog", 1, BACKLOG);
  c->o.backlog = backlog > INT32_MAX ? INT32_MAX : (int)backlog;
  c->o.reuse = opt_flag(L, 2, op, "reuse", 1);
  c->o.reuse_port = opt_flag(L, 2, op, "reuse_port", 0);
  c->o.mode = read_mode(L, op);
  if (c->o.mode >= 0 && !c->at.is_path)
    err_misuse(L, "option \"mode\" for %s is for Unix sockets", op);
}

// Listen for the function that the script has called `op`.
static int start(lua_State *L, const char *op) {
  listen_call c;
  char target[ENDPOINT_TEXT];
  endpoint_read(L, 1, op, &c.at);
  read_listen_options(L, op, &c);
  task_checkpoint(L);
  endpoint_format(&c.at, target, sizeof target);
  lua_settop(L, 0);
  memcpy(lua_newuserdatauv(L, sizeof c, 0), &c, sizeof c);
  lua_pushstring(L, target);
  listener **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, LISTENER_CLASS);
  address_list hosts;
  if (c.at.is_path) return finish_listen(L, listener_open_path(rt_of(L), c.at.host, &c.o, box));
  if (resolve_numeric(&c.at, &hosts) == 0) return open_listener(L, &hosts);
  return resolve_begin(L, &c.at, TIMER_NEVER, &listen_ops);
}

static int l_listen(lua_State *L) {
  return start(L, "listen");
}

// open(address, options, op)
static int l_open(lua_State *L) {
  const char *op = arg_string(L, 3);
  return start(L, op);
}

// --- Sockets that were handed over -----------------------------------------------------------

// What is wrong with the descriptor.
static const char *wrong(int rc) {
  switch (rc) {
    case UV_ENOENT: return "was not handed over";
    case UV_EBADF: return "is not open";
    case UV_ENOTSOCK: return "is no socket";
    case UV_EPROTOTYPE: return "is no stream socket";
    case UV_EINVAL: return "is a socket that does not listen";
    case UV_EAFNOSUPPORT: return "is neither a TCP nor a Unix socket";
    default: return err_reason_of(rc);
  }
}

// Whether another program has left it open for this one: all that is our own is closed on exec.
static int is_inherited(int fd) {
  int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && !(flags & FD_CLOEXEC);
}

// adopt(descriptor, address, noted): a listener of a socket that is open; `noted` says that it is
// one of handed(). A script's integer that is no descriptor was not handed over.
static int l_adopt(lua_State *L) {
  lua_Integer n = lua_tointeger(L, 1);
  const char *target = arg_string(L, 2);
  int fd = n > INT32_MAX ? -1 : (int)n;
  lua_settop(L, 3);
  listener **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, LISTENER_CLASS);
  int rc = UV_ENOENT;
  if (lua_toboolean(L, 3) || is_inherited(fd)) rc = listener_open_fd(rt_of(L), fd, box);
  if (rc < 0)
    return err_return(L, err_code_of(rc), "listen", target, "descriptor %I %s", n, wrong(rc));
  interrupt_closable(L);
  return 1;
}

// handed(): the names of the sockets that were handed over, nil in a worker. It is the checkpoint
// of listening at one of them.
static int l_handed(lua_State *L) {
  task_checkpoint(L);
  handed_push(L);
  return 1;
}

static listener *check_listener(lua_State *L, const char *op) {
  listener *l = *(listener **)arg_object(L, 1, LISTENER_CLASS);
  if (l && l->fd >= 0) return l;
  const char *site = l && l->closed_at ? site_text(rt_of(L), l->closed_at) : NULL;
  err_raise_closed(L, op, l ? l->local : NULL, "listener", site, l && l->by_scope);
  return NULL;
}

// --- Accepting: the frame is the listener, the stream and the instant at which to give up ------

static int is_shortage(int rc) {
  return rc == UV_EMFILE || rc == UV_ENFILE || rc == UV_ENOBUFS || rc == UV_ENOMEM;
}

static int fail_accept(lua_State *L, const listener *l, int rc) {
  if (rc == UV_ECANCELED)
    return err_return(L, "ECLOSED", "accept", l->local, "the listener was closed meanwhile at %s",
                      site_text(rt_of(L), l->closed_at));
  if (rc == UV_ETIMEDOUT) return err_return(L, "ETIMEDOUT", "accept", l->local, "it took too long");
  return err_return_uv(L, rc, "accept", l->local);
}

static int accept_again(lua_State *L, void *arg, int rc);
static int accept_paused(lua_State *L, void *arg, int rc);
static int accept_rested(lua_State *L, void *arg, int rc);

static void describe_accept(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  snprintf(buf, n, "%s", ((const listener *)arg)->local);
}

static const wait_ops accept_ops = {"a connection at", listener_cancel, accept_again,
                                    describe_accept};
static const wait_ops pause_ops = {"a free descriptor for", NULL, accept_paused, describe_accept};
static const wait_ops rest_ops = {"other tasks", NULL, accept_rested, NULL};

static uint64_t limit_of(lua_State *L) {
  return (uint64_t)lua_tointeger(L, 3);
}

static int wait_for_connection(lua_State *L, listener *l, int first) {
  return listener_wait(L, l, first, limit_of(L), &accept_ops);
}

static int try_accept(lua_State *L, listener *l, int may_pause) {
  stream *conn;
  int rc = listener_accept(l, io_state_of(L), &conn);
  if (rc == UV_EAGAIN && timer_now(rt_of(L)) >= limit_of(L)) rc = UV_ETIMEDOUT;
  if (rc == UV_EAGAIN) return wait_for_connection(L, l, 1);
  if (is_shortage(rc) && may_pause) {
    uint64_t until = timer_after(rt_of(L), PAUSE);
    return wait_begin_until(L, &pause_ops, l, until < limit_of(L) ? until : limit_of(L));
  }
  if (rc < 0) return fail_accept(L, l, rc);
  ((stream_box *)lua_touserdata(L, 2))->s = conn;
  interrupt_closable(L);
  lua_settop(L, 2);
  return 1;
}

// When the time limit passed, a connection may have come since the loop polled last.
static int accept_again(lua_State *L, void *arg, int rc) {
  rc = listener_take_turn(arg, rc);
  int is_late = rc == UV_ETIMEDOUT && !listener_is_taken(arg);
  return rc < 0 && !is_late ? fail_accept(L, arg, rc) : try_accept(L, arg, !is_late);
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
  static const char *const names[] = {"timeout", NULL};
  listener *l = check_listener(L, "accept");
  opt_check(L, 2, "accept", names);
  uint64_t when = timer_after(rt_of(L), opt_seconds(L, 2, "accept", "timeout", HUGE_VAL));
  task_checkpoint(L);
  lua_settop(L, 1);
  stream_newbox(L, l->is_path ? UNIX_CLASS : TCP_CLASS);
  lua_pushinteger(L, (lua_Integer)when);
  if (listener_is_taken(l)) return wait_for_connection(L, l, 0);
  if (!wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, l, timer_after(rt_of(L), 0));
  return try_accept(L, l, 1);
}

static int l_listener_address(lua_State *L) {
  lua_pushstring(L, check_listener(L, "address")->local);
  return 1;
}

static int l_listener_close(lua_State *L) {
  listener *l = *(listener **)arg_object(L, 1, LISTENER_CLASS);
  if (l) listener_close(l, site_here(L, 0));
  return 0;
}

static int l_listener_meta_close(lua_State *L) {
  listener *l = *(listener **)arg_object(L, 1, LISTENER_CLASS);
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
  const listener *l = *(listener **)arg_object(L, 1, LISTENER_CLASS);
  lua_pushfstring(L, "listener (%s, %s)", l ? l->local : "", l && l->fd >= 0 ? "open" : "closed");
  return 1;
}

// --- Opening ---------------------------------------------------------------------------------

int luaopen_corun_listen(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"listen", l_listen}, {"open", l_open}, {"adopt", l_adopt}, {"handed", l_handed}, {NULL, NULL}};
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
  luaL_newlib(L, functions);
  return 1;
}
