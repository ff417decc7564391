// SPDX-License-Identifier: MIT
// User coroutines. See coroutine.h. What the functions give and raise is what Lua 5.4's manual says
// (section 6.2); the differences stand in docs/lua.md.
#include "core/coroutine.h"

#include <lauxlib.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/wait.h"

static lua_State *check_coroutine(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "thread");
  return co;
}

// --- The base frame --------------------------------------------------------------------------

// Unwinding happens here, where hooks are on again; then the error goes on to whoever resumed.
static int returned(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
  return lua_error(L);
}

static int base(lua_State *L) {
  int status = lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, returned);
  return returned(L, status, 0);
}

static int l_create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  if (lua_gethook(co) && rt_of(L)->intr.armed) interrupt_disarm(rt_of(L), co);
  lua_pushcfunction(co, base);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

// A coroutine of l_create that was not resumed yet holds its base and the function.
static int is_fresh(lua_State *co) {
  lua_Debug ar;
  return lua_status(co) == LUA_OK && lua_tocfunction(co, 1) == base && !lua_getstack(co, 0, &ar);
}

// --- Resuming --------------------------------------------------------------------------------

enum { SUSPENDED = -2, RAISED = -1 };

static void set_running(rt *r, lua_State *L) {
  atomic_store_explicit(&r->intr.running, L, memory_order_release);
}

// Resume `co` with the `n` values on top of L. Answers the number of results pushed on L, RAISED
// with the error on L, or SUSPENDED when a host suspension has to be relayed.
static int advance(lua_State *L, lua_State *co, int n) {
  rt *r = rt_of(L);
  int nres = 0;
  if (coroutine_is_marked(co)) {
    lua_pop(L, n);
    lua_pushliteral(L, "cannot resume non-suspended coroutine");
    return RAISED;
  }
  if (!lua_checkstack(co, n + 1)) {
    lua_pop(L, n);
    lua_pushliteral(L, "too many arguments to resume");
    return RAISED;
  }
  int fresh = is_fresh(co);
  lua_xmove(L, co, n);
  lua_State *outer = atomic_load_explicit(&r->intr.running, memory_order_relaxed);
  lua_State *pinned = r->pinned;
  if (!pinned && !lua_isyieldable(L)) r->pinned = L;
  set_running(r, co);
  if (atomic_load_explicit(&r->intr.flags, memory_order_relaxed)) interrupt_switch(r, co);
  int status = lua_resume(co, L, n + fresh, &nres);
  set_running(r, outer);
  r->pinned = pinned;
  if (r->intr.armed == co) interrupt_disarm(r, co);
  if (atomic_load_explicit(&r->intr.flags, memory_order_relaxed)) interrupt_switch(r, L);
  if (status == LUA_YIELD && r->current && r->current->state != TASK_RUNNING) {
    coroutine_mark(co);
    return SUSPENDED;
  }
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return RAISED;
  }
  if (!lua_checkstack(L, nres + 1)) {
    lua_pop(co, nres);
    lua_pushliteral(L, "too many results to resume");
    return RAISED;
  }
  lua_xmove(co, L, nres);
  return nres;
}

// The task was woken: hand what it was woken with on to the inner coroutine.
static int advance_relay(lua_State *L, lua_State *co) {
  coroutine_unmark(co);
  return advance(L, co, rt_of(L)->current->nvals);
}

static int resume_relayed(lua_State *L, int status, lua_KContext ctx);

static int finish_resume(lua_State *L, lua_State *co, int n) {
  if (n == SUSPENDED) return wait_relay(L, resume_relayed, (lua_KContext)co);
  lua_pushboolean(L, n >= 0);
  if (n < 0) n = 1;
  lua_insert(L, -n - 1);
  return n + 1;
}

static int resume_relayed(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  return finish_resume(L, (lua_State *)ctx, advance_relay(L, (lua_State *)ctx));
}

static int l_resume(lua_State *L) {
  lua_State *co = check_coroutine(L);
  return finish_resume(L, co, advance(L, co, lua_gettop(L) - 1));
}

// --- Closing ---------------------------------------------------------------------------------

#define MAX_CLOSING 190  // as many nested C calls as Lua allows

// Close what is pending in `co`; a suspension in there is refused (S30).
static int reset(lua_State *L, lua_State *co) {
  rt *r = rt_of(L);
  if (r->closing_coroutines >= MAX_CLOSING) {  // Lua 5.4.4 counts no C calls here and would crash
    lua_pushliteral(co, "C stack overflow");
    return LUA_ERRRUN;
  }
  lua_State *outer = atomic_load_explicit(&r->intr.running, memory_order_relaxed);
  r->closing_coroutines++;
  set_running(r, co);
  int status = lua_resetthread(co);
  set_running(r, outer);
  if (r->intr.armed == co) interrupt_disarm(r, co);
  r->closing_coroutines--;
  return status;
}

static const char *status_of(lua_State *L, lua_State *co) {
  lua_Debug ar;
  if (co == L) return "running";
  if (coroutine_is_marked(co)) return "normal";
  if (lua_status(co) == LUA_YIELD) return "suspended";
  if (lua_status(co) != LUA_OK) return "dead";
  if (lua_getstack(co, 0, &ar)) return "normal";
  return lua_gettop(co) == 0 ? "dead" : "suspended";
}

static int l_close(lua_State *L) {
  lua_State *co = check_coroutine(L);
  const char *status = status_of(L, co);
  if (*status == 'n' || *status == 'r') return luaL_error(L, "cannot close a %s coroutine", status);
  if (reset(L, co) == LUA_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  return 2;
}

// --- Wrapping --------------------------------------------------------------------------------

static int wrap_relayed(lua_State *L, int status, lua_KContext ctx);

static int finish_wrap(lua_State *L, lua_State *co, int n) {
  if (n == SUSPENDED) return wait_relay(L, wrap_relayed, (lua_KContext)co);
  if (n >= 0) return n;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {  // it raised: close its pending variables
    lua_pop(L, 1);
    status = reset(L, co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap_relayed(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  return finish_wrap(L, (lua_State *)ctx, advance_relay(L, (lua_State *)ctx));
}

static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  return finish_wrap(L, co, advance(L, co, lua_gettop(L)));
}

static int l_wrap(lua_State *L) {
  l_create(L);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

// --- The rest --------------------------------------------------------------------------------

static int is_task_thread(lua_State *L, lua_State *co) {
  const task *t = rt_of(L)->current;
  return t && t->co == co;
}

static int l_yield(lua_State *L) {
  const task *t = rt_of(L)->current;
  if (is_task_thread(L, L)) {
    lua_pushliteral(L, "attempt to yield from outside a coroutine");
    return lua_error(L);
  }
  if (t && t->in && t->in->owner == t && t->in->L == L)
    return err_misuse(L, "cannot yield out of scope opened at %s",
                      site_text(rt_of(L), t->in->site));
  return wait_user_yield(L, lua_gettop(L));
}

static int l_status(lua_State *L) {
  lua_pushstring(L, status_of(L, check_coroutine(L)));
  return 1;
}

static int l_isyieldable(lua_State *L) {
  lua_State *co = lua_isnone(L, 1) ? L : check_coroutine(L);
  lua_pushboolean(L, !is_task_thread(L, co) && lua_isyieldable(co));
  return 1;
}

static int l_running(lua_State *L) {
  int is_main = is_task_thread(L, L);
  if (is_main) rt_of(L)->current->flags |= TASK_EXPOSED;
  int is_state = lua_pushthread(L);
  lua_pushboolean(L, is_main || is_state);
  return 2;
}

void coroutine_open(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"create", l_create}, {"resume", l_resume},   {"wrap", l_wrap},
    {"yield", l_yield},   {"status", l_status},   {"isyieldable", l_isyieldable},
    {"close", l_close},   {"running", l_running}, {NULL, NULL}};
  lua_getglobal(L, "coroutine");
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
