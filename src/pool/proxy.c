// SPDX-License-Identifier: MIT
// Proxies. See proxy.h.
#include "pool/proxy.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/weak.h"
#include "pool/worker.h"

struct home {
  atomic_uint refs;
  pthread_mutex_t lock;
  // Guarded by the lock.
  rt *r;         // NULL while there is no worker
  list dropped;  // proxies without references; their memory is the worker's
  size_t open;
  int littered;
  size_t kept;  // [its loop]
};

typedef struct proxy {
  shared s;
  home *at;
  list link;                // in at->dropped
  int is_counted, is_shut;  // guarded by the lock of the home
  char name[];
} proxy;

// Keys in the registry. Of the worker's runtime: the table proxy -> value and value -> proxy, and
// at NAME a string that must not be made while a message is encoded. Of the runtime that calls: the
// table with weak values home -> the owner of its proxies.
static const char values, owners;

#define NAME 1

// --- Homes -----------------------------------------------------------------------------------

home *home_new(void) {
  home *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  atomic_init(&h->refs, 1);
  pthread_mutex_init(&h->lock, NULL);
  list_init(&h->dropped);
  return h;
}

void home_unref(home *h) {
  if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) return;
  pthread_mutex_destroy(&h->lock);
  free(h);
}

static void free_memory(proxy *p) {
  home *h = p->at;
  free(p);
  home_unref(h);
}

void home_leave(home *h, const rt *r) {
  list dropped;
  list_init(&dropped);
  pthread_mutex_lock(&h->lock);
  if (h->r == r) {
    h->r = NULL;
    h->kept = 0;
    for (list *l; (l = list_shift(&h->dropped));) list_push(&dropped, l);
  }
  pthread_mutex_unlock(&h->lock);
  for (list *l; (l = list_shift(&dropped));) free_memory(list_entry(l, proxy, link));
}

void home_litter(home *h) {
  pthread_mutex_lock(&h->lock);
  h->littered = 1;
  pthread_mutex_unlock(&h->lock);
}

int home_is_littered(home *h) {
  pthread_mutex_lock(&h->lock);
  int is = h->littered;
  pthread_mutex_unlock(&h->lock);
  return is;
}

size_t home_kept(const home *h) {
  return h->kept;
}

size_t home_open(home *h) {
  pthread_mutex_lock(&h->lock);
  size_t n = h->open;
  pthread_mutex_unlock(&h->lock);
  return n;
}

void home_enter(lua_State *L, home *h) {
  weak_push(L, &values, NULL);
  lua_pushliteral(L, "__name");
  lua_rawseti(L, -2, NAME);
  lua_pop(L, 1);
  pthread_mutex_lock(&h->lock);
  h->r = rt_of(L);
  pthread_mutex_unlock(&h->lock);
}

// Take the value out of the table on top of the stack; it may have got another proxy since.
static void let_go(lua_State *L, const proxy *p) {
  lua_rawgetp(L, -1, p);
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  int is_current = lua_touserdata(L, -1) == p;
  lua_pop(L, 1);
  if (is_current) {
    lua_pushnil(L);
    lua_rawset(L, -3);
  } else {
    lua_pop(L, 1);
  }
  lua_pushnil(L);
  lua_rawsetp(L, -2, p);
}

void home_clean(lua_State *L, home *h) {
  pthread_mutex_lock(&h->lock);
  int littered = h->littered;
  h->littered = 0;
  pthread_mutex_unlock(&h->lock);
  weak_push(L, &values, NULL);
  for (;;) {
    pthread_mutex_lock(&h->lock);
    list *l = list_shift(&h->dropped);
    pthread_mutex_unlock(&h->lock);
    if (!l) break;
    proxy *p = list_entry(l, proxy, link);
    let_go(L, p);
    h->kept--;
    free_memory(p);
  }
  lua_pop(L, 1);
  if (littered) lua_gc(L, LUA_GCCOLLECT);
}

void home_set_owner(lua_State *L, const home *h) {
  weak_push(L, &owners, "v");
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, h);
  lua_pop(L, 1);
}

// --- Proxies ---------------------------------------------------------------------------------

static proxy *of_shared(shared *s) {
  return (proxy *)(void *)s;
}

// The count of open ones is wrong without the lock, and so is whether the worker lives.
static void free_proxy(shared *s) {
  proxy *p = of_shared(s);
  home *h = p->at;
  pthread_mutex_lock(&h->lock);
  int is_kept = h->r != NULL;
  if (p->is_counted) h->open--;
  if (is_kept) list_push(&h->dropped, &p->link);
  if (is_kept && !p->is_shut) {
    h->littered = 1;
    wakeup_send(&h->r->wakeup);
  }
  pthread_mutex_unlock(&h->lock);
  if (!is_kept) free_memory(p);
}

// At home a proxy is the value itself.
static int push_own(lua_State *L, shared *s) {
  const proxy *p = of_shared(s);
  const worker *w = worker_of(rt_of(L));
  if (!w || w->of->home != p->at) return 0;
  weak_push(L, &values, NULL);
  lua_rawgetp(L, -1, p);
  lua_remove(L, -2);
  return 1;
}

// Elsewhere its userdata, on top of the stack, holds the owner.
static void give_owner(lua_State *L, shared *s) {
  weak_push(L, &owners, "v");
  lua_rawgetp(L, -1, of_shared(s)->at);
  lua_setiuservalue(L, -3, 1);
  lua_pop(L, 1);
}

const shared_type proxy_type = {
  .name = "pool proxy", .free = free_proxy, .push_own = push_own, .bind = give_owner};

shared *proxy_find(lua_State *L) {
  weak_push(L, &values, NULL);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  shared *s = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return s && shared_revive(s) ? s : NULL;
}

// What its metatable calls the value at `idx`, or its type.
static const char *name_of(lua_State *L, int idx) {
  const char *name = luaL_typename(L, idx);
  if (!lua_getmetatable(L, idx)) return name;
  weak_push(L, &values, NULL);
  lua_rawgeti(L, -1, NAME);
  lua_rawget(L, -3);
  if (lua_type(L, -1) == LUA_TSTRING) name = lua_tostring(L, -1);  // which the metatable holds
  lua_pop(L, 3);
  return name;
}

shared *proxy_new(lua_State *L, home *h) {
  const char *name = name_of(L, lua_gettop(L));
  size_t n = strlen(name) + 1;
  proxy *p = calloc(1, sizeof *p + n);
  if (!p) return NULL;
  memcpy(p->name, name, n);
  shared_init(&p->s, &proxy_type);
  p->at = h;
  p->is_counted = !lua_isfunction(L, -1);
  list_init(&p->link);
  atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
  h->kept++;
  pthread_mutex_lock(&h->lock);
  h->open += (size_t)p->is_counted;
  pthread_mutex_unlock(&h->lock);
  return &p->s;
}

void proxy_keep(lua_State *L, shared *s) {
  weak_push(L, &values, NULL);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, s);
  lua_pushvalue(L, -2);
  lua_pushlightuserdata(L, s);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

int proxy_may_cross(const shared *s, const home *h) {
  return s->type != &proxy_type || ((const proxy *)(const void *)s)->at == h;
}

const char *proxy_name(const shared *s) {
  return ((const proxy *)(const void *)s)->name;
}

void proxy_shut(shared *s) {
  proxy *p = of_shared(s);
  pthread_mutex_lock(&p->at->lock);
  if (p->is_counted) p->at->open--;
  p->is_counted = 0;
  p->is_shut = 1;
  pthread_mutex_unlock(&p->at->lock);
}

int proxy_is_open(shared *s) {
  proxy *p = of_shared(s);
  pthread_mutex_lock(&p->at->lock);
  int is_open = !p->is_shut;
  pthread_mutex_unlock(&p->at->lock);
  return is_open;
}
