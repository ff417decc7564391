// SPDX-License-Identifier: MIT
// Included before ldo.c: how Lua raises and yields (its LUAI_THROW). The compiler's own setjmp
// saves three registers; glibc's _longjmp also looks for cleanup handlers of pthreads, which Lua
// has none of, at each yield.
#ifndef CORUN_LUA_THROW_H
#define CORUN_LUA_THROW_H

typedef void *corun_jmpbuf[5];  // GCC manual, "Nonlocal gotos"

#define luai_jmpbuf corun_jmpbuf
#define LUAI_THROW(L, c) __builtin_longjmp((c)->b, 1)
#define LUAI_TRY(L, c, a)              \
  if (__builtin_setjmp((c)->b) == 0) { \
    a                                  \
  }

#endif
