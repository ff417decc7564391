// SPDX-License-Identifier: MIT
// Shared things. See shared.h.
#include "pool/shared.h"

#include <lauxlib.h>

#include "core/args.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/weak.h"

// Key in a metatable that marks it as one of shared things; key in the registry of the table with
// weak values: shared thing -> its userdata.
static const char is_shared, boxes;

void shared_init(shared *s, const shared_type *type) {
  s->type = type;
  atomic_init(&s->refs, 1);
}

shared *shared_ref(shared *s) {
  atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

int shared_revive(shared *s) {
  unsigned n = atomic_load_explicit(&s->refs, memory_order_relaxed);
  while (n > 0 && !atomic_compare_exchange_weak_explicit(&s->refs, &n, n + 1, memory_order_relaxed,
                                                         memory_order_relaxed)) {
  }
  return n > 0;
}

void shared_unref(shared *s) {
  if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) s->type->free(s);
}

typedef struct box {
  shared *s;
  void *view;
} box;

static int on_collect(lua_State *L) {
  box *b = lua_touserdata(L, 1);
  shared *s = b->s;
  b->s = NULL;
  if (!s) return 0;
  if (b->view)
    s->type->drop_view(b->view);
  else
    shared_unref(s);
  return 0;
}

void shared_register(lua_State *L, const shared_type *type) {
  lua_pushstring(L, type->name);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, on_collect);
  lua_setfield(L, -2, "__gc");
  lua_pushboolean(L, 1);
  lua_rawsetp(L, -2, &is_shared);
  lua_rawsetp(L, LUA_REGISTRYINDEX, type);
}

void shared_push(lua_State *L, shared *s) {
  luaL_checkstack(L, 6, NULL);
  if (s->type->push_own && s->type->push_own(L, s)) return;
  weak_push(L, &boxes, "v");
  if (lua_rawgetp(L, -1, s) == LUA_TNIL) {
    lua_pop(L, 1);
    box *b = lua_newuserdatauv(L, sizeof *b, s->type->bind ? 1 : 0);
    *b = (box){NULL, NULL};
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, s->type) != LUA_TTABLE)
      err_misuse(L, "nothing that knows a %s is loaded here", s->type->name);
    lua_setmetatable(L, -2);
    if (s->type->view) b->view = s->type->view(rt_of(L), s);
    if (s->type->view && !b->view) err_no_memory(L);
    b->s = shared_ref(s);
    if (s->type->bind) s->type->bind(L, s);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, -3, s);
    if (s->type->weight) collector_weigh(L, s->type->weight(s));
  }
  lua_remove(L, -2);
}

shared *shared_of(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return NULL;
  int marked = lua_rawgetp(L, -1, &is_shared) == LUA_TBOOLEAN;
  lua_pop(L, 2);
  return marked ? ((box *)lua_touserdata(L, idx))->s : NULL;
}

static int l_push(lua_State *L) {
  shared_push(L, lua_touserdata(L, 1));
  return 1;
}

void shared_adopt(lua_State *L, shared *s) {
  lua_pushcfunction(L, l_push);
  lua_pushlightuserdata(L, s);
  int status = lua_pcall(L, 1, 1, 0);
  shared_unref(s);
  if (status != LUA_OK) lua_error(L);
}

void *shared_view(void *userdata) {
  return ((box *)userdata)->view;
}

shared *shared_check(lua_State *L, int idx, const shared_type *type) {
  shared *s = shared_of(L, idx);
  if (!s || s->type != type) arg_type_error(L, idx, type->name);
  return s;
}
