// SPDX-License-Identifier: MIT
// Traces. See trace.h.
#include "core/trace.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/wait.h"

#define MOST_LINES 200
#define MOST_DEPTH 40
#define BASE_FRAME "\n\t[C]: in ?"
#define C_FRAME "\n\t[C]: in "
#define TAIL_CALL "\n\t(...tail calls...)"
#define OWN_SOURCE "[corun "
#define OWN_FRAME "\n\t" OWN_SOURCE

// --- Tracebacks ------------------------------------------------------------------------------

// The traceback of an error object is kept under the object. Of the strings that were raised last
// it is kept in a ring: the string at 2 i - 1, its traceback at 2 i, the next i at 0.
#define RING 8

static int is_object(lua_State *L, int idx) {
  return lua_istable(L, idx) || lua_isuserdata(L, idx);
}

// With the table of traces on top: the place in the ring of the value at `idx`, 0 if there is none.
static int find_in_ring(lua_State *L, int idx) {
  for (int i = 1; i <= RING; i++) {
    lua_rawgeti(L, -1, 2 * i - 1);
    lua_rawgeti(L, -2, 2 * i);
    int same = lua_rawequal(L, -2, idx) && !lua_isnil(L, -1);  // the error may be nil
    lua_pop(L, 2);
    if (same) return i;
  }
  return 0;
}

void trace_push(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt_of(L)->refs.traces);
  if (is_object(L, idx)) {
    lua_pushvalue(L, idx);
    lua_rawget(L, -2);
  } else {
    int i = find_in_ring(L, idx);
    if (i)
      lua_rawgeti(L, -1, 2 * i);
    else
      lua_pushnil(L);
  }
  lua_remove(L, -2);
}

void trace_keep(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt_of(L)->refs.traces);
  lua_insert(L, -2);  // table, text
  if (is_object(L, idx)) {
    lua_pushvalue(L, idx);
    lua_insert(L, -2);
    lua_rawset(L, -3);
  } else {
    lua_rawgeti(L, -2, 0);
    int i = 1 + (int)lua_tointeger(L, -1) % RING;
    lua_pop(L, 1);
    lua_rawseti(L, -2, 2 * i);
    lua_pushvalue(L, idx);
    lua_rawseti(L, -2, 2 * i - 1);
    lua_pushinteger(L, i);
    lua_rawseti(L, -2, 0);
  }
  lua_pop(L, 1);
}

void trace_inherit(lua_State *L) {
  trace_push(L, -2);
  if (lua_isstring(L, -1))
    trace_keep(L, lua_gettop(L) - 1);
  else
    lua_pop(L, 1);
}

// Push where the task and its forebears were spawned, a line each.
static void push_spawn_sites(lua_State *L, const task *t) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  int lines = 0;
  for (const scope *home; t && (home = task_home(t)); t = home->owner, lines++) {
    if (lines >= MOST_LINES / 4) continue;
    char line[160];
    snprintf(line, sizeof line, "%sspawned at %s (task %u)", lines ? "\n" : "",
             site_text(rt_of(L), t->site), t->id);
    luaL_addstring(&b, line);
  }
  if (lines >= MOST_LINES / 4) luaL_addstring(&b, "\n...");
  luaL_pushresult(&b);
}

void trace_returned(lua_State *L, const task *t) {
  int err = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  trace_push(L, err);
  if (lua_isnil(L, -1) && task_home(t)) {
    push_spawn_sites(L, t);
    trace_keep(L, err);
  }
  lua_settop(L, err);
}

static int begins(const char *line, const char *with) {
  return strncmp(line, with, strlen(with)) == 0;
}

// Whether the line is that of a function in C by which one of corun's modules raises, and not one
// that it was given to call.
static int is_raise(const char *line) {
  return begins(line, C_FRAME) &&
         (begins(line, C_FRAME "function 'error'") || !begins(line, C_FRAME "function '"));
}

// Copy a traceback without the frames of corun's own modules: how they raise, and the mark of a
// tail call that they made, go with them.
static void copy_frames(luaL_Buffer *b, const char *text) {
  int left = 0, is_hidden = 0;
  for (const char *line = text, *next; line; line = next) {
    next = strchr(line + 1, '\n');
    if (next && begins(next, OWN_FRAME) && is_raise(line)) continue;
    is_hidden = begins(line, OWN_FRAME) || (is_hidden && begins(line, TAIL_CALL));
    if (is_hidden) continue;
    luaL_addlstring(b, line, next ? (size_t)(next - line) : strlen(line));
    left += line != text;
  }
  if (!left) luaL_addstring(b, TAIL_CALL);
}

// Push the traceback of the script's frames; of all where corun itself has failed.
static void push_frames(lua_State *L, const char *err) {
  size_t len;
  luaL_Buffer b;
  luaL_traceback(L, L, NULL, 1);
  const char *text = lua_tolstring(L, -1, &len);
  if (len >= sizeof BASE_FRAME && strcmp(text + len - sizeof BASE_FRAME + 1, BASE_FRAME) == 0) {
    text = lua_pushlstring(L, text, len - sizeof BASE_FRAME + 1);
    lua_remove(L, -2);
  }
  if (err && begins(err, OWN_SOURCE)) return;
  luaL_buffinit(L, &b);
  copy_frames(&b, text);
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

// Push the traceback of what runs: its frames, and where its task was spawned. `err` is the error's
// text, if it is one.
static void push_here(lua_State *L, const char *err) {
  push_frames(L, err);
  push_spawn_sites(L, rt_of(L)->current);
  if (lua_rawlen(L, -1) > 0) {
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
  } else {
    lua_pop(L, 1);
  }
}

void trace_push_here(lua_State *L) {
  push_here(L, NULL);
}

int trace_handler(lua_State *L) {
  if (err_is_cancel(L, 1)) return 1;
  trace_push(L, 1);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    push_here(L, lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL);
    trace_keep(L, 1);
  }
  lua_settop(L, 1);
  return 1;
}

// --- The function that forbids a suspension --------------------------------------------------

// With the table of a module on top and the function at `fn`: push the key that has it as its value
// and answer 1, or answer 0.
static int find_key(lua_State *L, int fn) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, fn)) continue;
    lua_pop(L, 1);
    return 1;
  }
  return 0;
}

// Push the name under which a loaded module has the function at `fn`, nil if none has. Lua's own
// modules come first, as others may give away their functions too.
static void push_library_name(lua_State *L, int fn) {
  static const char *const own[] = {
    LUA_GNAME, LUA_TABLIBNAME, LUA_STRLIBNAME, LUA_COLIBNAME, LUA_LOADLIBNAME, LUA_DBLIBNAME, NULL};
  int top = lua_gettop(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  for (const char *const *m = own; *m; m++, lua_settop(L, top + 1)) {
    if (lua_getfield(L, top + 1, *m) != LUA_TTABLE || !find_key(L, fn)) continue;
    if (m != own) lua_pushfstring(L, "%s.%s", *m, lua_tostring(L, -1));
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return;
  }
  for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, top + 2)) {
    if (!lua_istable(L, -1) || lua_type(L, top + 2) != LUA_TSTRING || !find_key(L, fn)) continue;
    lua_pushfstring(L, "%s.%s", lua_tostring(L, top + 2), lua_tostring(L, -1));
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return;
  }
  lua_settop(L, top);
  lua_pushnil(L);
}

// Whether a suspension can pass through the C function of that name.
static int lets_pass(const char *name) {
  static const char *const names[] = {"pcall", "xpcall", "dofile", NULL};
  for (const char *const *n = names; *n; n++)
    if (strcmp(*n, name) == 0) return 1;
  return strncmp(name, "corun.", 6) == 0 || strncmp(name, "coroutine.", 10) == 0;
}

const char *trace_boundary(lua_State *L, lua_State *at) {
  lua_Debug ar;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  for (int level = 0; lua_checkstack(at, 1) && lua_getstack(at, level, &ar); level++) {
    lua_getinfo(at, "nS", &ar);
    if (ar.name && strcmp(ar.namewhat, "metamethod") == 0 && strstr(ar.name, "gc"))
      return "a __gc finaliser";
    if (level == 0 || *ar.what != 'C') continue;
    lua_getinfo(at, "f", &ar);
    if (at != L) lua_xmove(at, L, 1);
    push_library_name(L, lua_gettop(L));
    const char *name = lua_tostring(L, -1);
    if (name && strcmp(name, "error") == 0)
      return "a message handler";  // only that is called by it
    if (name && !lets_pass(name)) return name;
    if (!name && ar.name) return lua_pushstring(L, ar.name);
    lua_pop(L, 2);
  }
  return "a message handler or a callback of C code";
}

// --- The task tree ---------------------------------------------------------------------------

static const char *status_text(const task *t) {
  static const char *const names[] = {"ready", "running", "waiting", "done", "failed", "cancelled"};
  return names[t->state];
}

void trace_describe(rt *r, const task *t, char *buf, size_t n) {
  char what[80] = "";
  const wait_ops *ops = t->state == TASK_WAITING ? t->ops : NULL;
  if (ops && ops->describe) ops->describe(t, t->warg, what, sizeof what);
  int len =
    snprintf(buf, n, t == r->main ? "main (task %u): %s" : "task %u: %s", t->id, status_text(t));
  if (ops && (size_t)len < n)
    len += snprintf(buf + len, n - (size_t)len, " for %s%s%s", ops->name, *what ? " " : "", what);
  if (t->in && t->in->by && (size_t)len < n)
    len += snprintf(buf + len, n - (size_t)len, ", cancelled");
  if (t != r->main && (size_t)len < n)
    snprintf(buf + len, n - (size_t)len, ", spawned at %s", site_text(r, t->site));
}

static void print_task(rt *r, task *t, int depth, int *left) {
  char line[400];
  if (--*left < 0) return;
  trace_describe(r, t, line, sizeof line);
  fprintf(r->err, "%*s%s\n", 2 * depth + 2, "", line);
  scope *home = task_home(t);
  for (scope *s = t->in; s != home; s = s->parent) {
    if (depth == MOST_DEPTH) {
      if (!list_empty(&s->tasks)) fprintf(r->err, "%*s...\n", 2 * depth + 4, "");
      continue;
    }
    for (list *l = s->tasks.next; l != &s->tasks; l = l->next)
      print_task(r, list_entry(l, task, siblings), depth + 1, left);
  }
}

void trace_tree(rt *r) {
  int left = MOST_LINES;
  fprintf(r->err, "corun: %u task%s\n", r->ntasks, r->ntasks == 1 ? "" : "s");
  if (r->main && !task_ended(r->main)) print_task(r, r->main, 0, &left);
  if (left < 0) fprintf(r->err, "  ... and %d more\n", -left);
}

void trace_deadlock(rt *r) {
  fprintf(r->err, "corun: deadlock: no task can ever run again\n");
  trace_tree(r);
}

void trace_running(lua_State *L) {
  luaL_traceback(L, L, NULL, 0);
  fprintf(rt_of(L)->err, "%s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
}

void trace_slow_step(rt *r, lua_State *L) {
  const task *t = r->current;
  fprintf(r->err, "corun: warning: task %u has kept the loop for more than 100 ms\n",
          t ? t->id : 0);
  trace_running(L);
}
