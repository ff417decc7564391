// SPDX-License-Identifier: MIT
// Read before lapi.c where CORUN_HARDMEM=N is set: each Nth allocation that C code makes through
// Lua's API is followed by a full collection, so that an object which the code forgot to anchor is
// gone at once. It is Lua's own HARDMEMTESTS, thinned: with that in every file, a program with the
// test runner's 20,000 objects is a thousand times slower.
#ifndef HARDMEM_H
#define HARDMEM_H

#define LUA_CORE
#include "lprefix.h"
//
#include "lua.h"
//
#include "lgc.h"

static _Thread_local unsigned hardmem_turn;

#undef condchangemem
#define condchangemem(L, pre, pos)                                \
  {                                                               \
    if (gcrunning(G(L)) && ++hardmem_turn % CORUN_HARDMEM == 0) { \
      pre;                                                        \
      luaC_fullgc(L, 0);                                          \
      pos;                                                        \
    }                                                             \
  }

#endif
