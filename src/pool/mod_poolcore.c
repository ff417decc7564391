// SPDX-License-Identifier: MIT
// Binding of pools and of what a worker's servers call; lua/corun/pool.lua and worker.lua build on
// it. The userdata owns its pool; in a worker's runtime the pool that it works for is only lent.
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/options.h"
#include "core/program.h"
#include "core/task.h"
#include "core/wait.h"
#include "pool/mods.h"
#include "pool/worker.h"

#define CLASS "corun.pool"

typedef struct box {
  pool *p;
  int is_lent;
} box;

// Upvalue 1 of the functions here is the class: finding it by its name costs more than the lock.
static pool *check_pool(lua_State *L, int idx) {
  const box *b = lua_touserdata(L, idx);
  if (b && lua_getmetatable(L, idx)) {
    int is = lua_rawequal(L, -1, lua_upvalueindex(1));
    lua_pop(L, 1);
    if (is) return b->p;
  }
  b = arg_object(L, idx, CLASS);
  return b->p;
}

static void check_function(lua_State *L, int idx) {
  if (lua_isfunction(L, idx)) return;
  if (luaL_getmetafield(L, idx, "__call") == LUA_TNIL)
    err_misuse(L, "run needs a function, got %s", luaL_typename(L, idx));
  lua_pop(L, 1);
}

static box *push_box(lua_State *L) {
  box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->p = NULL;
  b->is_lent = 0;
  luaL_setmetatable(L, CLASS);
  return b;
}

// --- Making ----------------------------------------------------------------------------------

static char *copy_text(lua_State *L, const char *text) {
  char *copy = strdup(text ? text : "");
  if (!copy) err_no_memory(L);
  return copy;
}

static char *copy_path(lua_State *L, const char *field) {
  lua_getglobal(L, "package");
  if (lua_istable(L, -1)) lua_getfield(L, -1, field);
  char *copy = copy_text(L, lua_tostring(L, -1));
  lua_pop(L, 1);
  return copy;
}

static void take_options(lua_State *L, pool *p) {
  static const char *const names[] = {"size", "idle", "name", "memory", "init", "keeps", NULL};
  rt *r = rt_of(L);
  opt_check(L, 1, "pool.new", names);
  unsigned size = r->opts.threads ? r->opts.threads : uv_available_parallelism();
  p->size = (unsigned)opt_range(L, 1, "pool.new", "size", 1, 1024, size);
  p->idle_seconds = opt_seconds(L, 1, "pool.new", "idle", 10);
  p->name = copy_text(L, opt_string(L, 1, "pool.new", "name", NULL));
  p->path = copy_path(L, "path");
  p->cpath = copy_path(L, "cpath");
  p->modules = r->modules;
  p->opts = r->opts;
  p->opts.own_signals = 0;
  p->opts.fail_alloc = 0;
  p->opts.alloc = NULL;  // another thread's
  p->opts.memory = (size_t)opt_count(L, 1, "pool.new", "memory", 1, 0);
  lua_getfield(L, 1, "keeps");
  if (lua_toboolean(L, -1) && !(p->home = home_new())) err_no_memory(L);
  if (lua_getfield(L, 1, "init") == LUA_TNIL) return;
  if (message_encode(L, &p->init, lua_gettop(L), 1, "init", 0) < 0)
    err_misuse(L, "%s", lua_tostring(L, -1));
}

static int l_new(lua_State *L) {
  lua_settop(L, 1);
  box *b = push_box(L);
  b->p = pool_new(L);
  if (!b->p) err_no_memory(L);
  take_options(L, b->p);
  lua_settop(L, 2);
  if (b->p->home) home_set_owner(L, b->p->home);
  return 1;
}

// The pool that this runtime works for, nil when it is no worker's.
static int l_own(lua_State *L) {
  const worker *w = worker_of(rt_of(L));
  if (!w || w->is_apart) return 0;
  box *b = push_box(L);
  b->p = w->of;
  b->is_lent = 1;
  return 1;
}

// What runs here from now on has a default pool of its own: this worker's are busy for good.
static int l_apart(lua_State *L) {
  worker_of(rt_of(L))->is_apart = 1;
  return 0;
}

static int l_gc(lua_State *L) {
  box *b = lua_touserdata(L, 1);
  if (b->p && !b->is_lent) {
    pool_close(b->p, 1);
    pool_unref(b->p);
  }
  b->p = NULL;
  return 0;
}

// --- Jobs ------------------------------------------------------------------------------------

// Push a job for a pool.
static pool_job *push_job(lua_State *L, const work_type *type, pool *p, job_kind kind) {
  task_checkpoint(L);
  wait_check(L);
  pool_job *j = (pool_job *)(void *)work_new(L, type, sizeof *j);
  list_init(&j->link);
  j->in = p;
  j->kind = (uint8_t)kind;
  j->w.target = p->name;
  return j;
}

// pool, function, arguments -> results; for messages the first `hidden` of them do not count
static int start(lua_State *L, job_kind kind, int hidden) {
  pool *p = check_pool(L, 1);
  int n = lua_gettop(L);
  pool_job *j = push_job(L, &pool_job_type, p, kind);
  j->flags = MESSAGE_ONCE | (p->home ? MESSAGE_KEEP : 0);
  j->call.home = p->home;
  j->call.hidden = hidden;
  if (message_encode(L, &j->call, 2, n - 1, "argument", MESSAGE_ONCE) < 0)
    return err_misuse(L, "%s", lua_tostring(L, -1));
  worker_block(L);
  return work_begin(L, &j->w, TIMER_NEVER);
}

static int l_run(lua_State *L) {
  check_function(L, 2);
  return start(L, JOB_CALL, 0);
}

static int l_map(lua_State *L) {
  return start(L, JOB_MAP, 0);
}

// pool, number of hidden values, function, arguments -> results
static int l_call(lua_State *L) {
  int hidden = (int)arg_integer(L, 2);
  lua_remove(L, 2);
  return start(L, JOB_CALL, hidden);
}

// --- Proxies -----------------------------------------------------------------------------------

static shared *check_proxy(lua_State *L) {
  return shared_check(L, 1, &proxy_type);
}

// Make the table the metatable of proxies.
static int l_proxy_class(lua_State *L) {
  lua_settop(L, 1);
  shared_register(L, &proxy_type);
  return 0;
}

// proxy -> the pool in whose worker its value is
static int l_keeper(lua_State *L) {
  check_proxy(L);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int l_proxy_name(lua_State *L) {
  lua_pushstring(L, proxy_name(check_proxy(L)));
  return 1;
}

static int l_shut(lua_State *L) {
  proxy_shut(check_proxy(L));
  return 0;
}

static int l_is_open(lua_State *L) {
  lua_pushboolean(L, proxy_is_open(check_proxy(L)));
  return 1;
}

// pool -> jobs that run or wait, proxies that are open
static int l_load(lua_State *L) {
  pool *p = check_pool(L, 1);
  pool_counts c = pool_count(p);
  lua_pushinteger(L, (lua_Integer)c.queued + c.running);
  lua_pushinteger(L, p->home ? (lua_Integer)home_open(p->home) : 0);
  return 2;
}

// --- Jobs of other processes -----------------------------------------------------------------

// pack(what, ...): the values after it as bytes for a process of this program's; `what` they are is
// for the message when one cannot cross.
static int l_pack(lua_State *L) {
  const char *what = arg_string(L, 1);
  message m = {.n = 0};
  if (message_encode(L, &m, 2, lua_gettop(L) - 1, what, MESSAGE_NO_SHARED) < 0)
    return err_misuse(L, "%s", lua_tostring(L, -1));
  lua_pushlstring(L, (const char *)m.bytes, m.len);
  message_fini(&m);
  return 1;
}

// relay(pool, kind, bytes): run the job whose function and arguments are in the bytes; its outcome
// and the bytes of its reply.
static int l_relay(lua_State *L) {
  pool *p = check_pool(L, 1);
  size_t len;
  int kind = arg_integer(L, 2) == JOB_MAP ? JOB_MAP : JOB_CALL;
  const char *call = arg_lstring(L, 3, &len);
  pool_job *j = push_job(L, &pool_relay_type, p, kind);
  j->flags = MESSAGE_NO_SHARED;
  unsigned char *copy = malloc(len + 1);
  if (!copy) return luaL_error(L, "not enough memory");
  memcpy(copy, call, len);
  message_adopt(&j->call, copy, len);
  return work_begin(L, &j->w, TIMER_NEVER);
}

// conclude(name, outcome, bytes): what the job gave that the pool `name` has run elsewhere: its
// results, or the error is raised.
static int l_conclude(lua_State *L) {
  const char *name = arg_string(L, 1);
  lua_Integer outcome = arg_integer(L, 2);
  size_t len;
  message m = {.n = 0};
  const char *bytes = arg_lstring(L, 3, &len);
  message_adopt(&m, (unsigned char *)(uintptr_t)bytes, len);  // the string keeps them
  return pool_conclude(L, (job_outcome)outcome, &m, name);
}

// program(): the file of the program, nil if that is not corun or the system does not tell; how
// many workers a pool has for which no size is given; the options for a worker process's runtime.
static int l_program(lua_State *L) {
  const rt_options *o = &rt_of(L)->opts;
  lua_Integer n = 0;
  char path[PROGRAM_PATH_MAX];
  if (!o->is_embedded && program_path(path) == 0)
    lua_pushstring(L, path);
  else
    lua_pushnil(L);
  lua_pushinteger(L, o->threads ? o->threads : uv_available_parallelism());
  lua_newtable(L);
  lua_pushfstring(L, "--grace=%f", o->grace);
  lua_rawseti(L, -2, ++n);
  if (o->threads) {
    lua_pushfstring(L, "--threads=%d", (int)o->threads);
    lua_rawseti(L, -2, ++n);
  }
  if (o->dev) {
    lua_pushliteral(L, "--dev");
    lua_rawseti(L, -2, ++n);
  }
  return 3;
}

// --- Closing ---------------------------------------------------------------------------------

static int l_close(lua_State *L) {
  const box *b = arg_object(L, 1, CLASS);
  if (b->is_lent) return err_misuse(L, "a worker cannot close the pool that it works for");
  pool_close(b->p, lua_toboolean(L, 2));
  return 0;
}

static wait_answer cancel_join(task *t, void *arg) {
  pool *p = arg;
  (void)t;
  p->life.t = NULL;
  p->life.r->njobs--;
  return WAIT_STOPPED;
}

static int joined(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  rt_of(L)->njobs--;
  return 0;
}

static const wait_ops join_ops = {"the threads of its pool", cancel_join, joined, NULL};

// Wait until the threads of a pool have ended; once, in the same step as the first close.
static int l_join(lua_State *L) {
  pool *p = check_pool(L, 1);
  wait_check(L);
  p->life.t = task_current(L);
  rt_of(L)->njobs++;
  return wait_begin(L, &join_ops, p);
}

static void set_count(lua_State *L, const char *name, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

static int l_stats(lua_State *L) {
  pool *p = check_pool(L, 1);
  pool_counts c = pool_count(p);
  lua_createtable(L, 0, 8);
  set_count(L, "size", p->size);
  set_count(L, "workers", c.workers);
  set_count(L, "idle", c.idle);
  set_count(L, "queued", c.queued);
  set_count(L, "running", c.running);
  set_count(L, "done", c.done);
  set_count(L, "failed", c.failed);
  set_count(L, "cancelled", c.cancelled);
  return 1;
}

int luaopen_corun_poolcore(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", l_new},
                                       {"own", l_own},
                                       {"run", l_run},
                                       {"map", l_map},
                                       {"close", l_close},
                                       {"join", l_join},
                                       {"stats", l_stats},
                                       {"init", worker_init},
                                       {"pack", l_pack},
                                       {"relay", l_relay},
                                       {"conclude", l_conclude},
                                       {"program", l_program},
                                       {"take", worker_take},
                                       {"perform", worker_perform},
                                       {"fail", worker_fail},
                                       {"lose", worker_lose},
                                       {"missing", worker_missing},
                                       {"decode", worker_decode},
                                       {"apart", l_apart},
                                       {"call", l_call},
                                       {"proxy_class", l_proxy_class},
                                       {"keeper", l_keeper},
                                       {"proxy_name", l_proxy_name},
                                       {"shut", l_shut},
                                       {"is_open", l_is_open},
                                       {"load", l_load},
                                       {NULL, NULL}};
  luaL_newmetatable(L, CLASS);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "pool");
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
  luaL_newlibtable(L, functions);
  luaL_getmetatable(L, CLASS);
  luaL_setfuncs(L, functions, 1);
  return 1;
}
