// SPDX-License-Identifier: MIT
// Tests of core: several runtimes in one process, in turn, in two threads, and with interrupts
// (S39).
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <pthread.h>

#include "core/error.h"
#include "core/mods.h"
#include "core/modules.h"
#include "core/runtime.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.sync", luaopen_corun_sync},
                                   {"corun.debug", luaopen_corun_debug},
                                   {NULL, NULL}};

static const char sleeping[] =
  "local corun = require 'corun'\n"
  "local sum = 0\n"
  "corun.scope(function(s)\n"
  "  for i = 1, 100 do s:spawn(function() corun.sleep(i / 1e5) sum = sum + i end) end\n"
  "end)\n"
  "assert(sum == 5050)\n";

static const char spinning[] =
  "local corun = require 'corun'\n"
  "local ok, err = corun.timeout(0.05, function() while true do end end)\n"
  "assert(ok == nil and err.code == 'ETIMEDOUT')\n";

static rt *make(const char *code) {
  rt_options options = {.grace = 5};
  rt *r = rt_new(&options, NULL);
  if (!r) return NULL;
  modules_open(r->L, modules);
  if (luaL_loadstring(r->L, code) == LUA_OK) return r;
  rt_close(r, HUGE_VAL);
  return NULL;
}

static int run(const char *code) {
  rt *r = make(code);
  if (!r) return -1;
  int status = rt_run(r, 0);
  rt_close(r, HUGE_VAL);
  return status;
}

static void two_live_at_once_and_run_in_turn(void **state) {
  (void)state;
  rt *a = make(sleeping), *b = make(sleeping);
  assert_non_null(a);
  assert_non_null(b);
  assert_int_equal(LUA_OK, rt_run(b, 0));
  assert_int_equal(LUA_OK, rt_run(a, 0));
  assert_int_equal(0, a->ntasks + b->ntasks);
  rt_close(a, HUGE_VAL);
  rt_close(b, HUGE_VAL);
}

static void *run_in_thread(void *code) {
  for (int i = 0; i < 20; i++)
    if (run(code) != LUA_OK) return NULL;
  return code;
}

static void two_run_in_two_threads(void **state) {
  (void)state;
  pthread_t thread;
  void *answer = NULL;
  assert_int_equal(0, pthread_create(&thread, NULL, run_in_thread, (void *)(uintptr_t)sleeping));
  assert_non_null(run_in_thread((void *)(uintptr_t)sleeping));
  pthread_join(thread, &answer);
  assert_non_null(answer);
}

static void *spin_in_thread(void *code) {
  return run(code) == LUA_OK ? code : NULL;
}

static void each_thread_is_interrupted_by_itself(void **state) {
  (void)state;
  pthread_t thread;
  void *answer = NULL;
  assert_int_equal(0, pthread_create(&thread, NULL, spin_in_thread, (void *)(uintptr_t)spinning));
  assert_int_equal(LUA_OK, run(spinning));
  pthread_join(thread, &answer);
  assert_non_null(answer);
}

static void an_error_is_left_on_the_stack(void **state) {
  (void)state;
  rt *r = make("error('no', 0)");
  assert_non_null(r);
  assert_int_equal(LUA_ERRRUN, rt_run(r, 0));
  assert_string_equal("no", lua_tostring(r->L, -1));
  rt_close(r, HUGE_VAL);
}

// The code, or the message, of the error for a libuv code.
static const char *field_of(lua_State *L, int rc, const char *name) {
  err_return_uv(L, rc, "write", "/x");
  lua_getfield(L, -1, name);
  return lua_tostring(L, -1);
}

static void errors_of_the_system_have_their_own_names(void **state) {
  (void)state;
  rt *r = make("");
  assert_non_null(r);
  assert_string_equal("ENOSPC", field_of(r->L, UV_ENOSPC, "code"));
  assert_string_equal("ENOTSUP", field_of(r->L, UV_ENOTSUP, "code"));
  assert_string_equal("EAI_AGAIN", field_of(r->L, UV_EAI_AGAIN, "code"));
#ifdef __GLIBC__  // libuv has no name for it
  assert_string_equal("EDQUOT", field_of(r->L, -EDQUOT, "code"));
  assert_string_equal("disk quota exceeded", field_of(r->L, -EDQUOT, "message"));
#endif
  rt_close(r, HUGE_VAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(two_live_at_once_and_run_in_turn),
    cmocka_unit_test(two_run_in_two_threads),
    cmocka_unit_test(each_thread_is_interrupted_by_itself),
    cmocka_unit_test(an_error_is_left_on_the_stack),
    cmocka_unit_test(errors_of_the_system_have_their_own_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
