// SPDX-License-Identifier: MIT
// What the header of extensions costs: operations that do nothing.
//   nothing()  on one of corun's threads
//   swap()     waits for the other task that calls it, and wakes that one: a suspension and a wake
//   last()     wakes the one that still waits
#include <corun.h>

static int run_nothing(void *op) {
  (void)op;
  return 0;
}

static int l_nothing(lua_State *L) {
  static const corun_optype type = {.name = "nothing", .run = run_nothing};
  return corun_await(L, corun_newop(L, &type, 0));
}

static void wake(void **waiting, void *next) {
  void *op = *waiting;
  *waiting = next;
  if (op) corun_wake(op, 0);
}

static int l_swap(lua_State *L) {
  static const corun_optype type = {.name = "swap"};
  void *op = corun_newop(L, &type, 0);
  wake(lua_touserdata(L, lua_upvalueindex(1)), op);
  return corun_await(L, op);
}

static int l_last(lua_State *L) {
  wake(lua_touserdata(L, lua_upvalueindex(1)), NULL);
  return 0;
}

int luaopen_noop(lua_State *L);

int luaopen_noop(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"nothing", l_nothing}, {"swap", l_swap}, {"last", l_last}, {NULL, NULL}};
  corun_checkabi(L);
  luaL_newlibtable(L, functions);
  void **waiting = lua_newuserdatauv(L, sizeof *waiting, 0);
  *waiting = NULL;
  luaL_setfuncs(L, functions, 1);
  return 1;
}
