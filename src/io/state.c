// SPDX-License-Identifier: MIT
// What the streams of one runtime share. See state.h.
#include "io/state.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "core/runtime.h"

static const char key = 0;  // its address names the state in the registry

static int l_gc(lua_State *L) {
  io_state **box = lua_touserdata(L, 1);
  if (*box) io_state_unref(*box);
  *box = NULL;
  return 0;
}

io_state *io_state_of(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
    io_state **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    *box = calloc(1, sizeof **box);
    if (!*box) luaL_error(L, "not enough memory");
    (*box)->refs = 1;
    list_init(&(*box)->keepers);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    lua_remove(L, -2);
  }
  io_state *io = *(io_state **)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return io;
}

io_state *io_state_ref(io_state *io) {
  io->refs++;
  return io;
}

void io_state_unref(io_state *io) {
  if (--io->refs) return;
  while (io->nspare) free(io->spare[--io->nspare]);
  free(io->block);
  free(io->raw);
  free(io);
}

char *io_block(io_state *io) {
  if (!io->block) io->block = io->nspare ? io->spare[--io->nspare] : malloc(IO_BLOCK);
  return io->block;
}

char *io_raw_block(io_state *io) {
  if (!io->raw) io->raw = malloc(IO_RAW);
  return io->raw;
}

void io_block_give(io_state *io, buffer *b, size_t n) {
  free(b->data);
  *b = (buffer){.data = io->block, .end = n, .capacity = IO_BLOCK};
  io->block = NULL;
}

void io_buffer_release(io_state *io, buffer *b) {
  if (b->capacity == IO_BLOCK && io->nspare < (int)(sizeof io->spare / sizeof *io->spare)) {
    io->spare[io->nspare++] = b->data;
    buffer_init(b);
  } else {
    buffer_fini(b);
  }
}
