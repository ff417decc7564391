// SPDX-License-Identifier: MIT
// The functions of corun.h for programs that run scripts inside themselves. A corun_runtime is a
// runtime with what the host wants to know of its last script. Invariants: Lua is entered through
// lua_pcall or a turn of the runtime alone; nothing of the process is changed.
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "core/output.h"
#include "core/program.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/stock.h"
#include "corun.h"
#include "embed/builtin.h"
#include "embed/guard.h"
#include "embed/report.h"

#define GRACE 5
#define DESCRIPTORS 8  // libuv aborts when it cannot make the few that it needs at first

// What a host of the first version of the interface knew.
#define LEAST_SIZE (offsetof(corun_options, grace) + sizeof(double))

struct corun_runtime {
  rt *r;
  output output;
  double timeout;
  int args, main;  // in the registry: what scripts get as `...`; the root task while one runs
  int is_running;
  int is_inside;  // one of the functions below is under way
  corun_status status;
  char *report;      // of the last failure, NULL when none could be made
  const char *text;  // what corun_error answers
};

// --- Making ----------------------------------------------------------------------------------

// Take over what this version knows of the options. Answers 0 or a negative errno.
static int read_options(corun_options *to, const corun_options *from) {
  const char *bytes = (const char *)from;
  memset(to, 0, sizeof *to);
  if (!from || from->size < LEAST_SIZE) return UV_EINVAL;
  for (size_t i = sizeof *to; i < from->size; i++)
    if (bytes[i]) return UV_E2BIG;
  memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
  if (to->signals & ~(unsigned)(CORUN_INTERRUPTS | CORUN_SIGNALS)) return UV_EINVAL;
  return to->timeout >= 0 && to->grace >= 0 ? 0 : UV_EINVAL;
}

static int has_descriptors(void) {
  int fds[DESCRIPTORS], n = 0;
  while (n < DESCRIPTORS && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) n++;
  int is_enough = n == DESCRIPTORS;
  while (n > 0) close(fds[--n]);
  return is_enough;
}

// argv -> `arg`, and what scripts get as `...`, which is left on the stack.
static void set_arg(lua_State *L, const char *const *argv) {
  lua_newtable(L);
  if (!argv) return;
  lua_newtable(L);
  for (int i = 0; argv[i]; i++) {
    lua_pushstring(L, argv[i]);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, i);
    if (i > 0)
      lua_rawseti(L, -3, i);
    else
      lua_pop(L, 1);
  }
  lua_setglobal(L, "arg");
}

// runtime, argv
static int l_open(lua_State *L) {
  corun_runtime *c = lua_touserdata(L, 1);
  const char *const *argv = lua_touserdata(L, 2);
  builtin_open(L);
  program_add_library_trees(L);
  stock_unblock(L);
  stock_keep_process(L);
  set_arg(L, argv);
  c->args = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushboolean(L, 0);
  c->main = luaL_ref(L, LUA_REGISTRYINDEX);  // its place, so that keeping it cannot fail
  return 0;
}

static int on_panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  fprintf(stderr, "corun: the host raised an error outside of lua_pcall: %s\n",
          text ? text : "error object is not a string");
  return 0;
}

static void on_wakeup(rt *r) {
  int wanted = 1;
  if (!r->root || !atomic_compare_exchange_strong(&r->asked, &wanted, 2)) return;
  scope_cancel(r, r->root, CANCEL_ASKED);
}

static void set_options(corun_runtime *c, const corun_options *o, rt_options *to) {
  c->timeout = o->timeout;
  c->output.out = o->out;
  c->output.err = o->err;
  c->output.ud = o->write_ud;
  to->grace = o->grace > 0 ? o->grace : GRACE;
  to->own_signals = (o->signals & CORUN_SIGNALS) != 0;
  to->no_interrupts = !o->signals;
  to->is_embedded = 1;
  to->threads = o->threads;
  to->memory = o->memory;
  to->alloc = o->alloc;
  to->alloc_ud = o->alloc_ud;
  to->output = o->out || o->err ? &c->output : NULL;
  pthread_sigmask(SIG_SETMASK, NULL, &to->mask);
}

// C modules find Lua and corun.h among the symbols that all may see. Those of a library which came
// with a plugin of the host are not among them, unless somebody asks for it.
static void publish(void) {
  Dl_info own;
  if (!dladdr((void *)(uintptr_t)corun_new, &own) || !own.dli_fname) return;
  void *library = dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
  if (library) dlclose(library);
}

// Answers 0 or UV_ENOMEM.
static int open_scripts(corun_runtime *c, const char *const *argv) {
  rt *r = c->r;
  guard g;
  guard_enter(&g, r);
  r->on_wakeup = on_wakeup;
  lua_atpanic(r->L, on_panic);
  lua_pushcfunction(r->L, l_open);
  lua_pushlightuserdata(r->L, c);
  lua_pushlightuserdata(r->L, (void *)(uintptr_t)argv);
  int rc = lua_pcall(r->L, 2, 0, 0) == LUA_OK ? 0 : UV_ENOMEM;
  if (rc < 0) rt_close(r, HUGE_VAL);
  guard_leave(&g);
  return rc;
}

int corun_new(corun_runtime **out, const corun_options *options) {
  corun_options o;
  rt_options opts = {0};
  *out = NULL;
  int rc = read_options(&o, options);
  if (rc == 0 && !has_descriptors()) rc = UV_EMFILE;
  if (rc < 0) return rc;
  corun_runtime *c = calloc(1, sizeof *c);
  if (!c) return UV_ENOMEM;
  c->text = "";
  publish();
  pthread_mutex_init(&c->output.lock, NULL);
  set_options(c, &o, &opts);
  c->r = rt_new(&opts, &rc);
  if (c->r) rc = open_scripts(c, o.argv);
  if (rc == 0) {
    *out = c;
    return 0;
  }
  pthread_mutex_destroy(&c->output.lock);
  free(c);
  return rc;
}

// --- How a script ended ------------------------------------------------------------------------

static void set_text(corun_runtime *c, const char *text) {
  free(c->report);
  c->report = NULL;
  c->text = text;
}

// Pop the error and keep what is to be said of it.
static corun_status fail(corun_runtime *c) {
  size_t n = 0;
  set_text(c, "not enough memory");
  FILE *f = open_memstream(&c->report, &n);
  if (!f) {
    lua_pop(c->r->L, 1);
    return c->status = CORUN_FAILED;
  }
  report_write(c->r->L, f, "");
  if (fclose(f) == 0 && c->report) {
    if (n && c->report[n - 1] == '\n') c->report[n - 1] = 0;
    c->text = c->report;
  }
  return c->status = CORUN_FAILED;
}

// A function was called when it must not be: that is no end of the script that runs, if one does.
static corun_status refuse(corun_runtime *c, const char *why) {
  if (c->is_inside) {
    c->text = why;
    return CORUN_FAILED;
  }
  set_text(c, why);
  return CORUN_FAILED;
}

// The root task has ended: answer how.
static corun_status conclude(corun_runtime *c) {
  rt *r = c->r;
  lua_State *L = r->L;
  c->is_running = 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->main);
  lua_pushboolean(L, 0);
  lua_rawseti(L, LUA_REGISTRYINDEX, c->main);
  int status = rt_finish(r);
  fflush(r->out);
  if (r->deadlocked || r->timed_out) {
    if (status != LUA_OK) lua_pop(L, 1);
    set_text(c, r->deadlocked ? "deadlock: no task could ever run again"
                              : "the timeout of the options has passed");
    return c->status = r->deadlocked ? CORUN_DEADLOCK : CORUN_TIMEOUT;
  }
  if (status != LUA_OK) return fail(c);
  if (r->stopped_by || atomic_load(&r->asked) == 2) {
    set_text(c, r->stopped_by ? "cancelled by a signal" : "cancelled by corun_stop");
    return c->status = CORUN_CANCELLED;
  }
  set_text(c, "");
  return c->status = r->exit_code >= 0 ? CORUN_EXITED : CORUN_DONE;
}

const char *corun_error(const corun_runtime *c) {
  return c->text;
}

int corun_exitcode(const corun_runtime *c) {
  return c->r->exit_code >= 0 ? c->r->exit_code : 0;
}

// --- Running -----------------------------------------------------------------------------------

// Answer why nothing can be started; NULL when it can.
static const char *reason_against(const corun_runtime *c) {
  if (c->is_inside) return "the runtime was called from within what it calls";
  return c->is_running ? "a script runs already" : NULL;
}

// Answer whether the main state has a function and so many arguments of the host's on it.
static int is_startable(const corun_runtime *c, int nargs) {
  return nargs >= 0 && lua_gettop(c->r->L) > nargs;
}

// Start the function on the stack.
static corun_status start(corun_runtime *c, int nargs) {
  rt *r = c->r;
  if (c->timeout > 0) rt_limit(r, c->timeout);
  if (rt_start(r, nargs) != LUA_OK) return fail(c);
  lua_rawseti(r->L, LUA_REGISTRYINDEX, c->main);
  c->is_running = 1;
  set_text(c, "");
  return c->status = CORUN_RUNNING;
}

static corun_status finish(corun_runtime *c) {
  while (rt_turn(c->r, 1)) continue;
  return conclude(c);
}

typedef struct script {
  const corun_runtime *of;
  const char *path;  // or
  const char *code, *name;
  size_t n;
} script;

// script -> its function and arguments
static int l_load(lua_State *L) {
  const script *s = lua_touserdata(L, 1);
  lua_settop(L, 0);
  int status;
  if (!s->code) {
    status = luaL_loadfile(L, s->path);
  } else {
    const char *name = s->name ? s->name : lua_pushlstring(L, s->code, s->n);
    status = luaL_loadbuffer(L, s->code, s->n, name);
  }
  if (status != LUA_OK) return lua_error(L);
  int fn = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->of->args);
  int args = fn + 1, n = (int)lua_rawlen(L, args);
  luaL_checkstack(L, n, "too many arguments");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, args, i);
  lua_remove(L, args);
  return n + 1;
}

static corun_status run(corun_runtime *c, script *s) {
  const char *why = reason_against(c);
  if (why) return refuse(c, why);
  lua_State *L = c->r->L;
  guard g;
  c->is_inside = 1;
  guard_enter(&g, c->r);
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    set_text(c, "not enough memory");
    c->status = CORUN_FAILED;
  } else {
    int top = lua_gettop(L);
    s->of = c;
    lua_pushcfunction(L, l_load);
    lua_pushlightuserdata(L, s);
    if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK)
      fail(c);
    else if (start(c, lua_gettop(L) - top - 1) == CORUN_RUNNING)
      finish(c);
  }
  guard_leave(&g);
  c->is_inside = 0;
  return c->status;
}

corun_status corun_run_file(corun_runtime *c, const char *path) {
  script s = {.path = path};
  return run(c, &s);
}

corun_status corun_run_string(corun_runtime *c, const char *code, size_t n, const char *name) {
  script s = {.code = n ? code : "", .n = n, .name = name};
  return run(c, &s);
}

corun_status corun_start(corun_runtime *c, int nargs) {
  const char *why = reason_against(c);
  if (!why && !is_startable(c, nargs)) return refuse(c, "there is no function to start");
  if (why && !c->is_inside && is_startable(c, nargs)) lua_pop(c->r->L, nargs + 1);
  if (why) return refuse(c, why);
  guard g;
  c->is_inside = 1;
  guard_enter(&g, c->r);
  start(c, nargs);
  guard_leave(&g);
  c->is_inside = 0;
  return c->status;
}

// Go on with what was started.
static corun_status go_on(corun_runtime *c, int may_sleep) {
  if (c->is_inside) return refuse(c, reason_against(c));
  if (!c->is_running) return c->status;
  guard g;
  c->is_inside = 1;
  guard_enter(&g, c->r);
  if (may_sleep)
    finish(c);
  else if (!rt_turn(c->r, 0))
    conclude(c);
  guard_leave(&g);
  c->is_inside = 0;
  return c->status;
}

corun_status corun_finish(corun_runtime *c) {
  return go_on(c, 1);
}

corun_status corun_step(corun_runtime *c) {
  return go_on(c, 0);
}

// --- From outside --------------------------------------------------------------------------------

lua_State *corun_state(corun_runtime *c) {
  return c->r->L;
}

int corun_pollfd(const corun_runtime *c) {
  return uv_backend_fd(&c->r->loop);
}

int corun_timeout(corun_runtime *c) {
  return rt_timeout(c->r);
}

void corun_stop(corun_runtime *c) {
  int none = 0, saved = errno;
  atomic_compare_exchange_strong(&c->r->asked, &none, 1);
  host_ask(c->r);
  errno = saved;
}

int corun_close(corun_runtime *c) {
  if (!c) return 0;
  lua_Debug called;
  if (c->is_inside || lua_getstack(c->r->L, 0, &called)) return UV_EBUSY;
  guard g;
  c->is_inside = 1;
  guard_enter(&g, c->r);
  if (c->is_running) {
    rt_stop(c->r, -1);
    finish(c);
  }
  int rc = rt_close(c->r, HUGE_VAL);
  assert(rc == 0);
  (void)rc;
  guard_leave(&g);
  free(c->report);
  pthread_mutex_destroy(&c->output.lock);
  free(c);
  return 0;
}
