// SPDX-License-Identifier: MIT
// Select. See select.h. The frame holds the cases as given, for each case its key, its object and
// the item to send, and at last the selection, which is made only when the task has to wait.
#include "core/select.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/waitable.h"

#define CASES 1  // place of the cases in the frame
#define FEW 8    // cases that need no memory of their own to be tried

enum { KEY, OBJECT, ITEM, PLACES };  // places of a case, from its first on

typedef struct select_case {
  waiter w;  // first, so that a waiter of a select is a case
  int at;    // the place of its key in the frame
} select_case;

struct selection {
  double seconds;
  select_case *won;
  int n;
  select_case cases[];
};

// --- The cases as the script gives them ------------------------------------------------------

static int refuse(lua_State *L, int key, const char *why) {
  return err_misuse(L, "case %s of select %s", luaL_tolstring(L, key, NULL), why);
}

// Complete the case whose key and description are on top of the stack: key, object, item.
static void read_case(lua_State *L, select_case *c) {
  int key = lua_gettop(L) - 1, given = key + 1;
  int sends = lua_istable(L, given);
  if (sends) {
    for (lua_pushnil(L); lua_next(L, given); lua_pop(L, 1)) {
      const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
      if (name ? strcmp(name, "send") == 0 : lua_tointeger(L, -2) == 1) continue;
      lua_pushfstring(L, "has an unknown key \"%s\": {channel, send = value}",
                      luaL_tolstring(L, -2, NULL));
      refuse(L, key, lua_tostring(L, -1));
    }
    lua_rawgeti(L, given, 1);
    lua_pushliteral(L, "send");
    lua_rawget(L, given);
    lua_remove(L, given);
    if (lua_isnil(L, given + 1)) refuse(L, key, "has no value to send: {channel, send = value}");
  } else {
    lua_pushnil(L);
  }
  const waitable *cls = waitable_of(L, given);
  if (!cls) {
    lua_pushfstring(L, "must be a channel or {channel, send = value}, got %s",
                    luaL_typename(L, given));
    refuse(L, key, lua_tostring(L, -1));
  }
  if (sends && !cls->sends) {
    lua_pushfstring(L, "cannot send: %s only gives values", luaL_tolstring(L, given, NULL));
    refuse(L, key, lua_tostring(L, -1));
  }
  c->at = key;
  c->w.L = L;
  c->w.object = lua_touserdata(L, given);
  c->w.cls = cls;
  c->w.item = sends ? key + ITEM : 0;
}

static int comes_before(lua_State *L, const select_case *a, const select_case *b) {
  return lua_type(L, a->at) == lua_type(L, b->at) &&
         (lua_type(L, a->at) == LUA_TSTRING || lua_type(L, a->at) == LUA_TNUMBER) &&
         lua_compare(L, a->at, b->at, LUA_OPLT);
}

// The order of a table differs from run to run: sort, so that the same seed makes the same choice.
static void sort_cases(lua_State *L, select_case *cases, int n) {
  for (int i = 1; i < n; i++) {
    select_case c = cases[i];
    int j = i;
    for (; j > 0 && comes_before(L, &c, &cases[j - 1]); j--) cases[j] = cases[j - 1];
    cases[j] = c;
  }
}

static int count_cases(lua_State *L) {
  int n = 0;
  arg_type(L, CASES, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, CASES); lua_pop(L, 1)) n++;
  if (!n) err_misuse(L, "select needs at least one case");
  luaL_checkstack(L, PLACES * n + LUA_MINSTACK, "too many cases");
  return n;
}

// Read at most `n` cases; answer how many there are (a finaliser may have taken some).
static int read_cases(lua_State *L, select_case *cases, int n) {
  lua_pushnil(L);
  for (int i = 0; i < n; i++) {
    if (i > 0) lua_pushvalue(L, -PLACES);
    if (!lua_next(L, CASES)) return i;
    read_case(L, &cases[i]);
  }
  return n;
}

// --- Deciding --------------------------------------------------------------------------------

// Put the key of the case below its `n` results on top of the stack.
static int give(lua_State *L, const select_case *c, int n) {
  lua_pushvalue(L, c->at + KEY);
  lua_insert(L, -n - 1);
  return n + 1;
}

// Try the cases in random order, so that all that are ready have the same chance.
static int poll_cases(lua_State *L, select_case *cases, int n) {
  rt *r = rt_of(L);
  for (int i = 0; i < n; i++) {
    int j = i + (int)(rt_random(r) % (uint64_t)(n - i));
    select_case c = cases[j];
    cases[j] = cases[i];
    cases[i] = c;
    int results = c.w.cls->poll(L, c.at + OBJECT, c.w.item);
    if (results >= 0) return give(L, &c, results);
  }
  return -1;
}

static void leave_queues(selection *s) {
  for (int i = 0; i < s->n; i++) s->cases[i].w.cls->dequeue(&s->cases[i].w);
}

void select_decide(selection *s, waiter *w) {
  leave_queues(s);
  s->won = (select_case *)(void *)w;
}

static wait_answer cancel_select(task *t, void *arg) {
  (void)t;
  leave_queues(arg);
  return WAIT_STOPPED;
}

static int selected(lua_State *L, void *arg, int rc) {
  selection *s = arg;
  if (rc == UV_ENOMEM) return luaL_error(L, "not enough memory");
  if (!s->won) {
    lua_pushfstring(L, "%f s passed", s->seconds);
    return err_return(L, "ETIMEDOUT", "select", NULL, "%s", lua_tostring(L, -1));
  }
  select_case *c = s->won;
  return give(L, c, c->w.cls->finish(L, c->at + OBJECT, c->w.item, rc));
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  const selection *s = arg;
  int len = 0;
  for (int i = 0; i < s->n && (size_t)len + 1 < n; i++) {
    if (i > 0) len += snprintf(buf + len, n - (size_t)len, ", ");
    if ((size_t)len + 1 >= n) break;
    waitable_describe(t, &s->cases[i].w, buf + len, n - (size_t)len);
    while ((size_t)len + 1 < n && buf[len]) len++;
  }
}

static const wait_ops select_ops = {"select", cancel_select, selected, describe};

// Push a selection of the cases.
static selection *select_new(lua_State *L, const select_case *cases, int n, double seconds) {
  selection *s = lua_newuserdatauv(L, sizeof *s + (size_t)n * sizeof *cases, 0);
  s->seconds = seconds;
  s->won = NULL;
  s->n = n;
  for (int i = 0; i < n; i++) {
    s->cases[i] = cases[i];
    s->cases[i].w.t = task_current(L);
    s->cases[i].w.of = s;
  }
  return s;
}

int select_begin(lua_State *L, double seconds) {
  select_case few[FEW], *cases = few;
  int n = count_cases(L);
  lua_settop(L, CASES);
  if (n > FEW) cases = lua_newuserdatauv(L, (size_t)n * sizeof *cases, 0);
  n = read_cases(L, cases, n);
  if (rt_of(L)->opts.seed) sort_cases(L, cases, n);
  task_checkpoint(L);
  int results = poll_cases(L, cases, n);
  if (results >= 0) return results;
  wait_check(L);
  selection *s = select_new(L, cases, n, seconds);
  results = poll_cases(L, s->cases, n);  // a finaliser may have made one ready meanwhile
  if (results >= 0) return results;
  for (int i = 0; i < n; i++) s->cases[i].w.cls->enqueue(&s->cases[i].w);
  return wait_begin_until(L, &select_ops, s, timer_after(rt_of(L), seconds));
}
