// SPDX-License-Identifier: MIT
// Commons. See commons.h.
#include "pool/commons.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/runtime.h"
#include "pool/shared_channel.h"
#include "pool/worker.h"

#define HELD "corun.commons"  // registry: the userdata by which a runtime holds its own

typedef struct cell {
  struct cell *next;
  shared *channel;
  char name[];
} cell;

struct commons {
  atomic_uint refs;
  pthread_mutex_t lock;
  cell *cells;
};

commons *commons_ref(commons *c) {
  atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
  return c;
}

void commons_unref(commons *c) {
  if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
  while (c->cells) {
    cell *first = c->cells;
    c->cells = first->next;
    shared_unref(first->channel);
    free(first);
  }
  pthread_mutex_destroy(&c->lock);
  free(c);
}

static int on_collect(lua_State *L) {
  commons **box = lua_touserdata(L, 1);
  commons_unref(*box);
  *box = NULL;
  return 0;
}

commons *commons_of(lua_State *L) {
  const worker *w = worker_of(rt_of(L));
  if (w) return w->of->commons;
  if (lua_getfield(L, LUA_REGISTRYINDEX, HELD) == LUA_TNIL) {
    commons **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, on_collect);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    *box = calloc(1, sizeof **box);
    if (!*box) err_no_memory(L);
    atomic_init(&(*box)->refs, 1);
    pthread_mutex_init(&(*box)->lock, NULL);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, HELD);
    lua_replace(L, -2);
  }
  commons *c = *(commons **)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return c;
}

static shared *find(const commons *c, const char *name) {
  for (const cell *each = c->cells; each; each = each->next)
    if (strcmp(each->name, name) == 0) return shared_ref(each->channel);
  return NULL;
}

// Add the cell unless there is one of its name; answer what that one leads to.
static shared *add(commons *c, cell *made) {
  pthread_mutex_lock(&c->lock);
  shared *known = find(c, made->name);
  if (!known) {
    made->next = c->cells;
    c->cells = made;
  }
  pthread_mutex_unlock(&c->lock);
  return known;
}

int commons_push(lua_State *L, const char *name) {
  commons *c = commons_of(L);
  size_t size = strlen(name) + 1;
  shared_channel_push(L, 1);
  cell *made = malloc(sizeof *made + size);
  if (!made) return luaL_error(L, "not enough memory");
  memcpy(made->name, name, size);
  made->channel = shared_ref(shared_of(L, -1));
  shared *known = add(c, made);
  if (!known) return 1;
  shared_unref(made->channel);
  free(made);
  lua_pop(L, 1);
  shared_adopt(L, known);
  return 0;
}
