// SPDX-License-Identifier: MIT
// corun.processcore: the bindings of child processes; lua/corun/process.lua checks what scripts ask
// for and makes run and spawn of them. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "io/stream_lua.h"
#include "io/stream_write.h"
#include "sys/child.h"
#include "sys/child_io.h"
#include "sys/mods.h"
#include "sys/signame.h"

#define PROCESS_CLASS "corun.process"
#define PIPE_CLASS "corun.process.pipe"
#define PTY_CLASS "corun.process.pty"

#ifdef __APPLE__
extern char **environ;
#endif

// --- What to start ---------------------------------------------------------------------------

// The frame of spawn: what is asked for, the two vectors, the userdata to be filled.
enum { SPEC = 1, ARGV, ENV, PROCESS, STREAMS };

// Push a vector of the strings in the list at `idx`, which keeps them; nil when there is no list.
static char **push_vector(lua_State *L, int idx) {
  if (!lua_istable(L, idx)) {
    lua_pushnil(L);
    return NULL;
  }
  size_t n = lua_rawlen(L, idx);
  char **v = lua_newuserdatauv(L, (n + 1) * sizeof *v, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    v[i] = (char *)(uintptr_t)arg_string(L, -1);
    lua_pop(L, 1);
  }
  v[n] = NULL;
  return v;
}

static char **push_field_vector(lua_State *L, const char *name) {
  lua_getfield(L, SPEC, name);
  char **v = push_vector(L, lua_gettop(L));
  lua_remove(L, -2);
  return v;
}

static void read_want(lua_State *L, const char *name, child_io_want *w) {
  static const char *const words[] = {"null", "pipe", "inherit", "stdout", "socket", NULL};
  switch (lua_getfield(L, SPEC, name)) {
    case LUA_TSTRING: w->kind = (child_io_kind)arg_option(L, -1, NULL, words); break;
    case LUA_TTABLE:
      w->kind = CHILD_IO_PATH;
      lua_getfield(L, -1, "append");
      w->append = lua_toboolean(L, -1);
      lua_getfield(L, -2, "path");
      w->path = arg_string(L, -1);
      lua_pop(L, 2);
      break;
    case LUA_TUSERDATA: {
      luaL_Stream *f = arg_object(L, -1, LUA_FILEHANDLE);
      w->kind = CHILD_IO_FD;
      fflush(f->f);
      w->fd = fileno(f->f);
      break;
    }
    default: w->kind = CHILD_IO_NULL; break;
  }
  lua_pop(L, 1);
}

static void read_stdio(lua_State *L, child_io_plan *p) {
  static const char *const names[] = {"stdin", "stdout", "stderr"};
  lua_getfield(L, SPEC, "cols");
  lua_getfield(L, SPEC, "rows");
  p->is_pty = !lua_isnil(L, -2);
  p->cols = (int)lua_tointeger(L, -2);
  p->rows = (int)lua_tointeger(L, -1);
  lua_pop(L, 2);
  for (int i = 0; i < 3; i++) read_want(L, names[i], &p->want[i]);
}

// --- Starting --------------------------------------------------------------------------------

// What kept a program from running: a code of its own where libuv has no name for it.
static int fail_program(lua_State *L, int rc, const char *op, const char *name) {
  switch (rc) {
    case -ENOEXEC:
      return err_return(L, "ENOEXEC", op, name,
                        "it is no program, nor a script with its interpreter in the first line");
    case UV_ENOENT:
      return err_return(L, "ENOENT", op, name, "no such program%s",
                        strchr(name, '/') ? "" : " in PATH");
    case UV_EACCES: return err_return(L, "EACCES", op, name, "the program may not be run");
    default: return err_return_uv(L, rc, op, name);
  }
}

static int fail_start(lua_State *L, int rc, spawn_stage stage, const spawn_plan *p) {
  const char *name = p->file ? p->file : p->argv[0];
  lua_getfield(L, SPEC, "op");
  const char *op = lua_tostring(L, -1);
  switch (stage) {
    case SPAWN_CWD:
      return err_return(L, err_code_of(rc), op, name, "the folder %s: %s", p->cwd,
                        err_reason_of(rc));
    case SPAWN_INTERPRETER:
      return err_return(L, err_code_of(rc), op, name,
                        "the program is there, but not the interpreter that it names");
    case SPAWN_PROGRAM: return fail_program(L, rc, op, name);
    case SPAWN_SYSTEM: break;
  }
  return err_return_uv(L, rc, op, name);
}

// Start it and take the streams. Must not call into Lua: much is open and owned by nobody yet.
static int start(rt *r, const spawn_plan *plan, child_io_set *set, double grace, child **out,
                 spawn_stage *stage) {
  int rc = child_start(r, plan, grace, out, stage);
  child_io_release(set);  // that leaves a descriptor to watch it by
  if (rc == 0) {
    rc = child_watch(*out);
    *stage = SPAWN_SYSTEM;
  }
  if (rc < 0) child_io_abandon(set);
  return rc;
}

// spawn(spec): process, stdin, stdout, stderr | nil, err
static int l_spawn(lua_State *L) {
  rt *r = rt_of(L);
  child_io_plan io = {.is_pty = 0};
  spawn_plan plan = {.argv = NULL};
  child_io_set set;
  spawn_stage stage;
  const char *culprit;
  task_checkpoint(L);
  lua_settop(L, SPEC);
  plan.argv = push_field_vector(L, "argv");
  plan.env = push_field_vector(L, "env");
  lua_getfield(L, SPEC, "cwd");
  plan.cwd = lua_tostring(L, -1);
  lua_getfield(L, SPEC, "grace");
  double grace = lua_tonumber(L, -1);
  lua_getfield(L, SPEC, "file");
  plan.file = lua_tostring(L, -1);
  lua_getfield(L, SPEC, "background");
  int is_background = lua_toboolean(L, -1);
  lua_pop(L, 4);
  read_stdio(L, &io);
  lua_getfield(L, SPEC, "label");
  io.program = lua_isstring(L, -1) ? lua_tostring(L, -1) : plan.argv[0];
  lua_pop(L, 1);
  child **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, PROCESS_CLASS);
  io_state *state = io_state_of(L);
  for (int i = 0; i < 3; i++) {
    child_io_kind kind = io.want[i].kind;
    if (io.is_pty ? i == 0 : kind == CHILD_IO_PIPE || kind == CHILD_IO_SOCKET)
      stream_newbox(L, io.is_pty ? PTY_CLASS : PIPE_CLASS);
    else
      lua_pushnil(L);
  }
  int rc = child_io_open(r, state, &io, &set, &culprit);
  if (rc < 0) {
    if (!culprit) return fail_start(L, rc, SPAWN_SYSTEM, &plan);
    lua_getfield(L, SPEC, "op");
    return err_return(L, err_code_of(rc), lua_tostring(L, -1), io.program, "%s: %s", culprit,
                      err_reason_of(rc));
  }
  memcpy(plan.fds, set.fds, sizeof plan.fds);
  plan.tty = io.is_pty ? set.tty : NULL;
  // In a group of its own it would be stopped when it reads from our terminal.
  plan.shares_group = !io.is_pty && io.want[0].kind == CHILD_IO_INHERIT && isatty(STDIN_FILENO);
  rc = start(r, &plan, &set, grace, box, &stage);
  if (rc < 0) {
    *box = NULL;
    return fail_start(L, rc, stage, &plan);
  }
  for (int i = 0; i < 3; i++) {
    if (!set.ours[i]) continue;
    stream *s = &set.ours[i]->base.s;
    ((stream_box *)lua_touserdata(L, STREAMS + i))->s = stream_ref(s);
  }
  if (is_background) child_unhold(*box);
  interrupt_closable(L);
  lua_settop(L, STREAMS + 2);
  return 4;
}

// --- The end ---------------------------------------------------------------------------------

static child *check(lua_State *L, const char *op) {
  child *c = *(child **)arg_object(L, 1, PROCESS_CLASS);
  if (c && !c->is_closed) return c;
  char target[16] = "";
  if (c) snprintf(target, sizeof target, "%d", (int)c->pid);
  const char *site = c && c->closed_at ? site_text(rt_of(L), c->closed_at) : NULL;
  err_raise_closed(L, op, *target ? target : NULL, "process", site, c && c->by_scope);
  return NULL;
}

static double seconds_of(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void set_number(lua_State *L, const char *key, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, key);
}

static void push_usage(lua_State *L, const struct rusage *u) {
#ifdef __APPLE__
  const lua_Integer unit = 1;
#else
  const lua_Integer unit = 1024;
#endif
  lua_createtable(L, 0, 3);
  set_number(L, "user", seconds_of(u->ru_utime));
  set_number(L, "system", seconds_of(u->ru_stime));
  lua_pushinteger(L, (lua_Integer)u->ru_maxrss * unit);
  lua_setfield(L, -2, "max_rss");
}

static void push_signal(lua_State *L, int number) {
  const char *name = signame_of(number);
  if (name)
    lua_pushstring(L, name);
  else
    lua_pushfstring(L, "SIG%d", number);
}

// How the process ended.
static int push_result(lua_State *L, const child *c) {
  lua_createtable(L, 0, 8);
  lua_pushboolean(L, WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0);
  lua_setfield(L, -2, "ok");
  if (WIFEXITED(c->status)) {
    lua_pushinteger(L, WEXITSTATUS(c->status));
    lua_setfield(L, -2, "code");
  } else {
    push_signal(L, WTERMSIG(c->status));
    lua_setfield(L, -2, "signal");
  }
  push_usage(L, &c->usage);
  lua_setfield(L, -2, "usage");
  set_number(L, "duration", (double)(c->ended - c->started) / 1e9);
  return 1;
}

static int on_over(lua_State *L, void *arg, int rc) {
  const child *c = arg;
  char target[16];
  if (rc == 0 && c->rc == 0) return push_result(L, c);
  snprintf(target, sizeof target, "%d", (int)c->pid);
  if (rc == UV_ETIMEDOUT) return err_return(L, "ETIMEDOUT", "wait", target, "it has not ended yet");
  if (c->rc == CHILD_LOST)
    return err_return(L, "ECHILD", "wait", target, "other code took the status of the process");
  return err_return(L, err_code_of(c->rc), "wait", target,
                    "it belongs to another user now and "
                    "could not be ended");
}

// One that was stopped by a cancellation has no result that matters.
static int on_own_over(lua_State *L, void *arg, int rc) {
  if (((const child *)arg)->is_stopping) task_checkpoint(L);
  return on_over(L, arg, rc);
}

static const wait_ops watch_ops = {"the end of process", child_cancel_watch, on_over,
                                   child_describe};
static const wait_ops own_ops = {"the end of process", child_cancel_own, on_own_over,
                                 child_describe};

static int wait_for(lua_State *L, const wait_ops *ops) {
  child *c = check(L, "wait");
  double seconds = arg_opt_number(L, 2, HUGE_VAL);
  lua_settop(L, 1);
  task_checkpoint(L);
  return child_wait(L, c, timer_after(rt_of(L), seconds), ops);
}

// wait(process[, seconds]): how it ended | nil, err
static int l_wait(lua_State *L) {
  return wait_for(L, &watch_ops);
}

// own(process[, seconds]): the same; a cancellation of the task stops the process and its group,
// and is raised when that has ended.
static int l_own(lua_State *L) {
  return wait_for(L, &own_ops);
}

// stop(process): TERM, and KILL when its grace is over. Does not wait.
static int l_stop(lua_State *L) {
  child *c = *(child **)arg_object(L, 1, PROCESS_CLASS);
  if (c) child_stop(c);
  return 0;
}

static int signal_arg(lua_State *L, int idx) {
  if (lua_isnoneornil(L, idx)) return SIGTERM;
  if (lua_isinteger(L, idx)) {
    lua_Integer n = lua_tointeger(L, idx);
    if (n > 0 && n < NSIG) return (int)n;
  } else if (lua_type(L, idx) == LUA_TSTRING) {
    size_t len;
    const char *name = lua_tolstring(L, idx, &len);
    int n = strlen(name) == len ? signame_number(name) : 0;
    if (n) return n;
  }
  return err_misuse(L, "kill takes the name of a signal such as \"SIGTERM\" or its number, got %s",
                    err_show(L, idx));
}

// kill(process[, signal]): to its group, if it has one. true | nil, err
static int l_kill(lua_State *L) {
  child *c = check(L, "kill");
  char target[16];
  int rc = child_signal(c, signal_arg(L, 2));
  snprintf(target, sizeof target, "%d", (int)c->pid);
  if (rc == UV_ESRCH) return err_return(L, "ESRCH", "kill", target, "the process has ended");
  if (rc < 0) return err_return_uv(L, rc, "kill", target);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_pid(lua_State *L) {
  lua_pushinteger(L, (*(child **)arg_object(L, 1, PROCESS_CLASS))->pid);
  return 1;
}

// state(process): "running", "ended" or "closed"
static int l_state(lua_State *L) {
  const child *c = *(child **)arg_object(L, 1, PROCESS_CLASS);
  lua_pushstring(L, !c || c->is_closed ? "closed" : c->is_over ? "ended" : "running");
  return 1;
}

// --- Closing ---------------------------------------------------------------------------------

static const wait_ops close_ops = {"the end of process", child_cancel_close, on_over,
                                   child_describe};

static int close_process(lua_State *L, int by_scope) {
  child *c = *(child **)arg_object(L, 1, PROCESS_CLASS);
  if (!c) return 0;
  if (!c->is_closed) {
    c->is_closed = 1;
    c->by_scope = by_scope != 0;
    c->closed_at = site_here(L, 0);
  }
  child_stop(c);
  lua_settop(L, 1);
  if (!rt_of(L)->current || !wait_is_possible(L)) return 0;
  return child_wait(L, c, TIMER_NEVER, &close_ops);
}

// close(process[, by_scope]): stop it, and wait until it is over: how it ended | nil, err. Where no
// suspension is possible it answers nothing.
static int l_close(lua_State *L) {
  return close_process(L, lua_toboolean(L, 2));
}

static int l_meta_close(lua_State *L) {
  return close_process(L, 1);
}

static int l_gc(lua_State *L) {
  child **box = arg_object(L, 1, PROCESS_CLASS);
  if (*box) child_unref(*box);
  *box = NULL;
  return 0;
}

// abandon(stream): close it now; what is queued is not written.
static int l_abandon(lua_State *L) {
  if (!stream_is(L, 1)) return arg_type_error(L, 1, "stream");
  stream *s = ((stream_box *)lua_touserdata(L, 1))->s;
  if (!s) return 0;
  if (!s->closed) stream_close(s, site_here(L, 0));
  if (!s->gone) stream_finish(s, UV_ECANCELED);
  return 0;
}

// --- The rest --------------------------------------------------------------------------------

// claim(): the stream over the socket that this process was given as its standard input | nil, err
static int l_claim(lua_State *L) {
  pipe_stream *p;
  stream_box *box = stream_newbox(L, PIPE_CLASS);
  int rc = child_io_claim(rt_of(L), io_state_of(L), &p);
  if (rc < 0) return err_return_uv(L, rc, "claim", NULL);
  box->s = stream_ref(&p->base.s);
  return 1;
}

// resize(pty stream, cols, rows): true | nil, err
static int l_resize(lua_State *L) {
  stream *s = stream_check(L, 1, "resize");
  char target[PIPE_TARGET];
  if (s->t != &pty_transport) arg_type_error(L, 1, "pty stream");
  int rc = pty_resize(s, (int)arg_integer(L, 2), (int)arg_integer(L, 3));
  s->t->describe(s, target, sizeof target);
  if (rc < 0) return err_return_uv(L, rc, "resize", target);
  lua_pushboolean(L, 1);
  return 1;
}

// environment(): the names and values of this process's.
static int l_environment(lua_State *L) {
  lua_newtable(L);
  for (char **e = environ; e && *e; e++) {
    const char *equal = strchr(*e, '=');
    if (!equal) continue;
    lua_pushlstring(L, *e, (size_t)(equal - *e));
    lua_pushstring(L, equal + 1);
    lua_rawset(L, -3);
  }
  return 1;
}

int luaopen_corun_processcore(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"spawn", l_spawn}, {"wait", l_wait},     {"own", l_own},
    {"stop", l_stop},   {"kill", l_kill},     {"pid", l_pid},
    {"state", l_state}, {"close", l_close},   {"abandon", l_abandon},
    {"claim", l_claim}, {"resize", l_resize}, {"environment", l_environment},
    {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_meta_close}, {"__gc", l_gc}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  stream_class(L, PIPE_CLASS, "pipe stream", none);
  stream_class(L, PTY_CLASS, "pty stream", none);
  if (luaL_newmetatable(L, PROCESS_CLASS)) luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
