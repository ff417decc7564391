// SPDX-License-Identifier: MIT
// Interface 1 of corun.h as it was published: functions with their types, constants, and structures
// by the byte. What was built against it must go on working, so nothing in this file may change as
// long as interface 1 is known; a later interface gets a description of its own. tests/symbols.sh
// reads the names here.
#include "embed_case.h"

// --- Functions ---------------------------------------------------------------------------------

#define HAS_TYPE(name, ...) \
  _Static_assert(_Generic(&(name), __VA_ARGS__ : 1, default : 0), #name " has another type")

#define EXTENSION HAS_TYPE  // in the program and in libcorun
#define HOST HAS_TYPE       // in libcorun

EXTENSION(corun_needabi, void (*)(lua_State *, int));
EXTENSION(corun_checkabi, void (*)(lua_State *));
EXTENSION(corun_newop, void *(*)(lua_State *, const corun_optype *, size_t));
EXTENSION(corun_await, int (*)(lua_State *, void *));
EXTENSION(corun_wake, void (*)(void *, int));
EXTENSION(corun_wake_all, void (*)(void *const *, size_t, int));
EXTENSION(corun_cancel, void (*)(void *));
EXTENSION(corun_cancelled, int (*)(const void *));
EXTENSION(corun_checkpoint, void (*)(lua_State *));
EXTENSION(corun_await_fd, int (*)(lua_State *, int, int, double));
EXTENSION(corun_await_fdk,
          int (*)(lua_State *, int, int, double, void *, int (*)(lua_State *, void *, int)));
EXTENSION(corun_release_fd, void (*)(lua_State *, int));
EXTENSION(corun_pusherror, int (*)(lua_State *, int, const char *, const char *));
EXTENSION(corun_pusherrorf,
          int (*)(lua_State *, const char *, const char *, const char *, const char *, ...));
EXTENSION(corun_loop, struct uv_loop_s *(*)(lua_State *));

HOST(corun_new, int (*)(corun_runtime **, const corun_options *));
HOST(corun_close, int (*)(corun_runtime *));
HOST(corun_state, lua_State *(*)(corun_runtime *));
HOST(corun_run_file, corun_status (*)(corun_runtime *, const char *));
HOST(corun_run_string, corun_status (*)(corun_runtime *, const char *, size_t, const char *));
HOST(corun_start, corun_status (*)(corun_runtime *, int));
HOST(corun_finish, corun_status (*)(corun_runtime *));
HOST(corun_step, corun_status (*)(corun_runtime *));
HOST(corun_pollfd, int (*)(const corun_runtime *));
HOST(corun_timeout, int (*)(corun_runtime *));
HOST(corun_stop, void (*)(corun_runtime *));
HOST(corun_error, const char *(*)(const corun_runtime *));
HOST(corun_exitcode, int (*)(const corun_runtime *));

// --- Constants ---------------------------------------------------------------------------------

#define IS(name, value) _Static_assert((name) == (value), #name " has another value")

_Static_assert(CORUN_ABI >= 1, "the number of the interface only grows");
IS(CORUN_PENDING, 0);
IS(CORUN_STOPPED, 1);
IS(CORUN_ABANDONED, 2);
IS(CORUN_READABLE, 1);
IS(CORUN_WRITABLE, 2);
IS(CORUN_ECLOSED, -5000);
IS(CORUN_DONE, 0);
IS(CORUN_RUNNING, 1);
IS(CORUN_FAILED, 2);
IS(CORUN_EXITED, 3);
IS(CORUN_CANCELLED, 4);
IS(CORUN_TIMEOUT, 5);
IS(CORUN_DEADLOCK, 6);
IS(CORUN_INTERRUPTS, 1);
IS(CORUN_SIGNALS, 2);
_Static_assert(sizeof(corun_answer) == sizeof(int), "an enumeration is an int");
_Static_assert(sizeof(corun_status) == sizeof(int), "an enumeration is an int");

// --- Structures ----------------------------------------------------------------------------------

typedef struct optype_1 {
  const char *name;
  int (*run)(void *op);
  int (*done)(lua_State *L, void *op, int rc);
  corun_answer (*cancel)(void *op);
  void (*drop)(void *op);
  void *reserved[4];
} optype_1;

typedef struct options_1 {
  size_t size;
  const char *const *argv;
  lua_Alloc alloc;
  void *alloc_ud;
  size_t memory;
  corun_write out, err;
  void *write_ud;
  unsigned signals;
  unsigned threads;
  double timeout;
  double grace;
} options_1;

#define SAME(type, old, member)                                               \
  _Static_assert(offsetof(type, member) == offsetof(old, member) &&           \
                   sizeof(((type *)0)->member) == sizeof(((old *)0)->member), \
                 #type "." #member " has moved")

SAME(corun_optype, optype_1, name);
SAME(corun_optype, optype_1, run);
SAME(corun_optype, optype_1, done);
SAME(corun_optype, optype_1, cancel);
SAME(corun_optype, optype_1, drop);
_Static_assert(sizeof(corun_optype) == sizeof(optype_1), "an operation's type has no size in it");
SAME(corun_options, options_1, size);
SAME(corun_options, options_1, argv);
SAME(corun_options, options_1, alloc);
SAME(corun_options, options_1, alloc_ud);
SAME(corun_options, options_1, memory);
SAME(corun_options, options_1, out);
SAME(corun_options, options_1, err);
SAME(corun_options, options_1, write_ud);
SAME(corun_options, options_1, signals);
SAME(corun_options, options_1, threads);
SAME(corun_options, options_1, timeout);
SAME(corun_options, options_1, grace);
_Static_assert(sizeof(corun_options) >= sizeof(options_1), "options only grow");
_Static_assert(_Generic((corun_write)0, void (*)(void *, const char *, size_t) : 1, default : 0),
               "corun_write has another type");

// --- At run time
// -----------------------------------------------------------------------------------

static void options_of_interface_1_are_taken(void **state) {
  (void)state;
  options_1 o = {.size = sizeof o, .memory = 16 << 20, .timeout = 60, .grace = 1};
  corun_options as_they_are_passed = {0};
  corun_runtime *rt;
  memcpy(&as_they_are_passed, &o, sizeof o);
  assert_int_equal(0, corun_new(&rt, &as_they_are_passed));
  do_code(rt, "require('corun').sleep(0)");
  close_runtime(rt);
}

static int l_check(lua_State *L) {
  corun_needabi(L, (int)luaL_checkinteger(L, 1));
  corun_checkabi(L);
  return 0;
}

static void modules_of_interface_1_are_taken(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  set_function(rt, "check", l_check);
  do_code(rt, "check(1)");
  fail_code(rt, "check(1000)", "code:1: this module was built for another corun");
  fail_code(rt, "check(0)", "code:1: this module was built for another corun");
  close_runtime(rt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(options_of_interface_1_are_taken),
    cmocka_unit_test(modules_of_interface_1_are_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
