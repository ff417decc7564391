// SPDX-License-Identifier: MIT
// Threads. See thread.h.
#include "core/thread.h"

#include "core/runtime.h"

lua_State *thread_get(lua_State *L, uint32_t *slot) {
  rt *r = rt_of(L);
  thread_pool *p = &r->threads;
  if (p->count) {
    *slot = p->slots[--p->count];
    return p->kept[p->count];
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->refs.threads);
  lua_State *co = lua_newthread(L);
  if (lua_gethook(co)) lua_sethook(co, NULL, 0, 0);  // lua_newthread copies an armed hook (S22)
  uint32_t at = p->free_slot;
  if (at) {
    lua_rawgeti(L, -2, at);
    p->free_slot = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
  } else {
    at = p->nslots + 1;
  }
  lua_rawseti(L, -2, at);
  if (at > p->nslots) p->nslots = at;  // only now: storing it may have raised
  lua_pop(L, 1);
  *slot = at;
  return co;
}

void thread_put(rt *r, lua_State *co, uint32_t slot, int reuse) {
  thread_pool *p = &r->threads;
  if (reuse && p->count < THREADS_KEPT) {
    if (lua_gethook(co)) lua_sethook(co, NULL, 0, 0);
    lua_settop(co, 0);
    p->kept[p->count] = co;
    p->slots[p->count++] = slot;
    return;
  }
  if (lua_status(co) == LUA_OK) lua_settop(co, 0);  // then it is dead for whoever has it
  lua_rawgeti(r->L, LUA_REGISTRYINDEX, r->refs.threads);
  lua_pushinteger(r->L, p->free_slot);
  lua_rawseti(r->L, -2, slot);  // the slot exists, so nothing is allocated
  lua_pop(r->L, 1);
  p->free_slot = slot;
}
