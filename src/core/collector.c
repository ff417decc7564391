// SPDX-License-Identifier: MIT
// The pace of the collector. See collector.h.
//
// A small heap is collected in generational mode (Lua manual, 2.5.2), as by lua(1): few objects are
// marked and freed at once, and what is freed is used again while the processor's cache has it. A
// larger one is not: each time it has doubled all of it is collected in one step, and each
// collection goes through all coroutines. Incremental mode rests longer where the heap is so large
// that a cycle costs more than the memory that it saves.
//
// In generational mode what has survived two collections is not looked at again before the heap has
// doubled. What it holds outside of Lua, memory and descriptors, must not wait for that: all is
// collected every few seconds, and when much of such memory has come.
#include "core/collector.h"

#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "core/runtime.h"

#define SMALL ((size_t)2 << 20)   // bytes below which a heap becomes small
#define MIDDLE ((size_t)4 << 20)  // beyond which it is no longer
#define LARGE ((size_t)64 << 20)
#define OUTSIDE ((size_t)16 << 20)  // bytes outside of Lua
#define PERIOD 2000                 // milliseconds
#define PAUSE 200
#define PAUSE_LARGE 400

void collector_init(rt *r) {
  lua_gc(r->L, LUA_GCSETPAUSE, PAUSE);
  lua_gc(r->L, LUA_GCGEN, 0, 0);
  r->gc.is_generational = 1;
  r->gc.full_at = uv_now(&r->loop);
}

static int is_setting(const char *option) {
  static const char *const settings[] = {"generational", "incremental", "setpause", "setstepmul",
                                         NULL};
  for (int i = 0; settings[i]; i++)
    if (strcmp(option, settings[i]) == 0) return 1;
  return 0;
}

// What fails or is refused, as in a finalizer, sets nothing.
static int l_collectgarbage(lua_State *L) {
  const char *option = lua_tostring(L, 1);
  int results = lua_tocfunction(L, lua_upvalueindex(1))(L);  // in this frame, for its messages
  if (!option || !is_setting(option) || lua_isnil(L, -1)) return results;
  collector *c = &rt_of(L)->gc;
  c->is_taken = 1;
  if (strcmp(option, "generational") == 0) c->is_generational = 1;
  if (strcmp(option, "incremental") == 0) c->is_generational = 0;
  return results;
}

void collector_open(lua_State *L) {
  lua_getglobal(L, "collectgarbage");
  lua_pushcclosure(L, l_collectgarbage, 1);
  lua_setglobal(L, "collectgarbage");
}

// Whether it may work: no script has stopped it, and this is no finalizer.
static int is_running(lua_State *L) {
  return lua_gc(L, LUA_GCISRUNNING) == 1;
}

static void collect_all(rt *r, lua_State *L) {
  r->gc.outside = 0;
  r->gc.full_at = uv_now(&r->loop);
  lua_gc(L, LUA_GCCOLLECT);
}

// What a step is told.
static int kilobytes(size_t bytes) {
  return bytes < (size_t)INT_MAX << 10 ? (int)(bytes >> 10) : INT_MAX;
}

void collector_weigh(lua_State *L, size_t bytes) {
  rt *r = rt_of(L);
  int kb = kilobytes(bytes);
  if (!kb || !is_running(L)) return;
  r->gc.outside += bytes;
  if (r->gc.is_generational && r->gc.outside > OUTSIDE)
    collect_all(r, L);
  else
    lua_gc(L, LUA_GCSTEP, kb);
}

void collector_make_room(lua_State *L, size_t bytes) {
  int kb = kilobytes(bytes);
  if (!kb || !is_running(L)) return;
  lua_gc(L, LUA_GCSTEP, kb);
  lua_gc(L, LUA_GCSTEP, -kb);
}

static void set_pause(rt *r) {
  lua_gc(r->L, LUA_GCSETPAUSE, r->alloc.held > LARGE ? PAUSE_LARGE : PAUSE);
}

void collector_pace(rt *r) {
  collector *c = &r->gc;
  size_t held = r->alloc.held;
  if (c->is_taken) return;
  if (!c->is_generational) set_pause(r);
  if (c->is_generational && held > MIDDLE)
    c->due = COLLECTOR_INCREMENTAL;
  else if (!c->is_generational && held < SMALL)
    c->due = COLLECTOR_GENERATIONAL;
  else if (c->is_generational && uv_now(&r->loop) - c->full_at >= PERIOD)
    c->due = COLLECTOR_ALL;
}

void collector_run(rt *r) {
  collector_work due = r->gc.due;
  r->gc.due = COLLECTOR_NONE;
  // To change the mode is to collect, also where the script has stopped the collector.
  if (r->gc.is_taken || !is_running(r->L)) return;
  switch (due) {
    case COLLECTOR_NONE: break;
    case COLLECTOR_ALL: collect_all(r, r->L); break;
    case COLLECTOR_GENERATIONAL:
      lua_gc(r->L, LUA_GCGEN, 0, 0);
      r->gc.is_generational = 1;
      break;
    case COLLECTOR_INCREMENTAL:
      lua_gc(r->L, LUA_GCINC, 0, 0, 0);
      r->gc.is_generational = 0;
      set_pause(r);
      break;
  }
}
