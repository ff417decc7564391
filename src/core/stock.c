// SPDX-License-Identifier: MIT
// Functions of Lua's own libraries. See stock.h.
#include "core/stock.h"

#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>

#include "base/writesigs.h"
#include "core/error.h"
#include "core/runtime.h"

// What would be delivered, but was a failed write's, is forgotten before it can be.
static void unblock_signals(const sigset_t *mask, sigset_t *old) {
  int spared[WRITESIGS];
  writesigs_members(mask, spared);
  writesigs_forget(spared);
  pthread_sigmask(SIG_SETMASK, mask, old);
}

// Call upvalue 1, which starts a program.
static int l_unblocked(lua_State *L) {
  sigset_t old;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  unblock_signals(&rt_of(L)->opts.mask, &old);
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static void unblock(lua_State *L, const char *module, const char *name) {
  lua_getglobal(L, module);
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, l_unblocked, 1);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

void stock_unblock(lua_State *L) {
  unblock(L, "os", "execute");
  unblock(L, "io", "popen");
}

static int l_exit(lua_State *L) {
  return err_misuse(L, "os.exit would end the whole program: call corun.exit to end the script");
}

void stock_keep_process(lua_State *L) {
  lua_getglobal(L, "os");
  lua_pushcfunction(L, l_exit);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
}
