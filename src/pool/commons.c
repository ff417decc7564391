// SPDX-License-Identifier: MIT
// Commons. See commons.h.
#include "pool/commons.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/runtime.h"
#include "pool/codec.h"
#include "pool/shared_channel.h"
#include "pool/worker.h"

#define HELD "corun.commons"  // registry: the userdata by which a runtime holds its own

#define LEAST_ROOM 16

typedef struct cell {
  struct cell *next;  // of those in its slot
  shared *channel;
  uint64_t hash;
  size_t len;
  char name[];
} cell;

struct commons {
  atomic_uint refs;
  pthread_mutex_t lock;
  cell **slots;
  size_t count, room;  // room, of slots, is a power of two
};

commons *commons_ref(commons *c) {
  atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
  return c;
}

void commons_unref(commons *c) {
  if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
  for (size_t i = 0; i < c->room; i++) {
    for (cell *each = c->slots[i], *next; each; each = next) {
      next = each->next;
      shared_unref(each->channel);
      free(each);
    }
  }
  pthread_mutex_destroy(&c->lock);
  free(c->slots);
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

static void put(commons *c, cell *each) {
  cell **slot = &c->slots[each->hash & (c->room - 1)];
  each->next = *slot;
  *slot = each;
}

// Make room for one more. The lock is held. Answers 0, or -1 when there is no memory.
static int reserve(commons *c) {
  if (c->count < c->room) return 0;
  size_t before = c->room;
  cell **old = c->slots, **slots = calloc(before ? 2 * before : LEAST_ROOM, sizeof(*slots));
  if (!slots) return -1;
  c->slots = slots;
  c->room = before ? 2 * before : LEAST_ROOM;
  for (size_t i = 0; i < before; i++) {
    for (cell *each = old[i], *next; each; each = next) {
      next = each->next;
      put(c, each);
    }
  }
  free(old);
  return 0;
}

static shared *find(const commons *c, const char *name, size_t len, uint64_t hash) {
  cell *each = c->room ? c->slots[hash & (c->room - 1)] : NULL;
  for (; each; each = each->next)
    if (each->hash == hash && each->len == len && memcmp(each->name, name, len) == 0)
      return shared_ref(each->channel);
  return NULL;
}

// The channel of that name, with a reference; else the cell is added, or `*status` is -1 when there
// is no memory.
static shared *find_or_add(commons *c, cell *made, int *status) {
  pthread_mutex_lock(&c->lock);
  shared *known = find(c, made->name, made->len, made->hash);
  *status = known ? 0 : reserve(c);
  if (!known && *status == 0) {
    put(c, made);
    c->count++;
  }
  pthread_mutex_unlock(&c->lock);
  return known;
}

int commons_push(lua_State *L, const char *name, size_t len) {
  commons *c = commons_of(L);
  int status;
  shared_channel_push(L, 1);
  cell *made = malloc(sizeof *made + len);
  if (!made) return luaL_error(L, "not enough memory");
  memcpy(made->name, name, len);
  made->len = len;
  made->hash = codec_hash((const unsigned char *)name, len);
  made->channel = shared_ref(shared_of(L, -1));
  shared *known = find_or_add(c, made, &status);
  if (!known && status == 0) return 1;
  shared_unref(made->channel);
  free(made);
  if (status < 0) return luaL_error(L, "not enough memory");
  lua_pop(L, 1);
  shared_adopt(L, known);
  return 0;
}
