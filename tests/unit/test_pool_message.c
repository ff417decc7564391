// SPDX-License-Identifier: MIT
// Messages between two Lua states: functions find the other side's globals and modules, shared
// things are the same thing on both sides and are freed with the last reference, on any thread.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pool/message.h"

static atomic_int freed;

static void on_free(shared *s) {
  atomic_fetch_add(&freed, 1);
  free(s);
}

static const shared_type thing = {.name = "pool thing", .free = on_free};

static lua_State *open_state(int knows_things) {
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  luaL_openlibs(L);
  if (knows_things) {
    lua_newtable(L);
    shared_register(L, &thing);
  }
  return L;
}

static shared *new_thing(void) {
  shared *s = malloc(sizeof *s);
  assert_non_null(s);
  shared_init(s, &thing);
  atomic_store(&freed, 0);
  return s;
}

static void run(lua_State *L, const char *code) {
  if (luaL_dostring(L, code) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
}

static void functions_belong_to_the_other_side(void **state) {
  (void)state;
  lua_State *a = open_state(0), *b = open_state(0);
  message m = {0};
  run(a,
      "side = 'a'; local n = 1; return function() n = n + 1 return side, n end, math.max, string");
  assert_int_equal(0, message_encode(a, &m, 1, 3, "argument", 0));
  lua_close(a);
  run(b, "side = 'b'");
  assert_int_equal(3, message_decode(b, &m, 0));
  message_fini(&m);
  lua_pushvalue(b, 1);
  lua_call(b, 0, 2);
  assert_string_equal("b", lua_tostring(b, -2));
  assert_int_equal(2, lua_tointeger(b, -1));
  lua_settop(b, 3);
  run(b, "return math.max, string");
  assert_true(lua_rawequal(b, 2, 4));
  assert_true(lua_rawequal(b, 3, 5));
  lua_close(b);
}

static void things_are_the_same_on_both_sides(void **state) {
  (void)state;
  lua_State *a = open_state(1), *b = open_state(1);
  shared *s = new_thing();
  message m = {0};
  shared_push(a, s);
  shared_push(a, s);
  assert_true(lua_rawequal(a, 1, 2));
  assert_ptr_equal(s, shared_check(a, 1, &thing));
  shared_unref(s);
  assert_int_equal(0, message_encode(a, &m, 1, 2, "argument", 0));
  assert_int_equal(1, m.nrefs);
  lua_close(a);
  assert_int_equal(0, freed);
  for (int i = 0; i < 2; i++) assert_int_equal(2, message_decode(b, &m, 0));
  for (int i = 1; i <= 4; i++) assert_ptr_equal(s, shared_of(b, i));
  assert_true(lua_rawequal(b, 1, 2) && lua_rawequal(b, 1, 4));
  message_fini(&m);
  assert_int_equal(0, freed);
  lua_settop(b, 0);
  lua_gc(b, LUA_GCCOLLECT);
  assert_int_equal(1, freed);
  lua_close(b);
}

static int l_decode(lua_State *L) {
  return message_decode(L, lua_touserdata(L, 1), 0);
}

static void things_are_refused_where_nobody_knows_them(void **state) {
  (void)state;
  lua_State *a = open_state(1), *b = open_state(0);
  shared *s = new_thing();
  message m = {0};
  lua_newtable(a);
  shared_push(a, s);
  lua_setfield(a, 1, "t");
  assert_int_equal(-1, message_encode(a, &m, 1, 1, "result", MESSAGE_NO_SHARED));
  assert_string_equal("cannot transfer userdata (pool thing) to another process at result 1 .t",
                      lua_tostring(a, -1));
  assert_int_equal(2, lua_gettop(a));
  assert_null(m.bytes);
  assert_int_equal(0, message_encode(a, &m, 1, 1, "result", 0));
  lua_pushcfunction(b, l_decode);
  lua_pushlightuserdata(b, &m);
  assert_int_equal(LUA_ERRRUN, lua_pcall(b, 1, 0, 0));
  assert_string_equal("nothing that knows a pool thing is loaded here", lua_tostring(b, -1));
  lua_pushinteger(b, 1);
  assert_null(shared_of(b, -1));
  message_fini(&m);
  lua_close(a);
  lua_close(b);
  assert_int_equal(0, freed);
  shared_unref(s);
  assert_int_equal(1, freed);
}

static void *on_thread(void *arg) {
  for (int i = 0; i < 100000; i++) shared_unref(shared_ref(arg));
  shared_unref(arg);
  return NULL;
}

static void any_thread_may_give_up_the_last_reference(void **state) {
  (void)state;
  pthread_t threads[4];
  shared *s = new_thing();
  for (int i = 0; i < 4; i++)
    assert_int_equal(0, pthread_create(&threads[i], NULL, on_thread, shared_ref(s)));
  shared_unref(s);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(1, freed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(functions_belong_to_the_other_side),
    cmocka_unit_test(things_are_the_same_on_both_sides),
    cmocka_unit_test(things_are_refused_where_nobody_knows_them),
    cmocka_unit_test(any_thread_may_give_up_the_last_reference),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
