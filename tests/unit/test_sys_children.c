// SPDX-License-Identifier: MIT
// Tests of sys: two runtimes in one process, each with children of its own, beside children that
// neither of them started (S39).
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
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mods.h"
#include "core/modules.h"
#include "core/runtime.h"
#include "sys/group.h"
#include "sys/mods.h"

// libuv closes descriptors by a raw system call, which the sanitizer of threads does not see: it
// would take the next use of their numbers, by the other thread, for a race.
#if defined(__SANITIZE_THREAD__) && defined(__linux__)
#include <dlfcn.h>
#include <sys/syscall.h>

long syscall(long number, ...) {
  long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  va_list ap;
  long a[6];
  va_start(ap, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
  va_end(ap);
  if (number == SYS_close) return close((int)a[0]);
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
#endif

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.sync", luaopen_corun_sync},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.debug", luaopen_corun_debug},
                                   {"corun.processcore", luaopen_corun_processcore},
                                   {NULL, NULL}};

static const char many[] =
  "local corun = require 'corun'\n"
  "local process = require 'corun.process'\n"
  "local items = {}\n"
  "for i = 1, 60 do items[i] = i end\n"
  "local codes = corun.map(items, function(i)\n"
  "  return assert(process.run{shell = 'echo $1; exit $1', i}).code\n"
  "end, {limit = 8})\n"
  "for i = 1, 60 do assert(codes[i] == i) end\n"
  "local r, err = process.run{'sleep', '1000', timeout = 0.05}\n"
  "assert(err.code == 'ETIMEDOUT')\n";

static const char left[] =
  "local core = require 'corun.processcore'\n"
  "kept = core.spawn{argv = {'sleep', '1000'}, grace = 2, op = 'spawn'}\n";

static int run(const char *code) {
  rt_options options = {.grace = 5};
  rt *r = rt_new(&options, NULL);
  if (!r) return -1;
  modules_open(r->L, modules);
  int status = luaL_loadstring(r->L, code);
  if (status == LUA_OK) status = rt_run(r, 0);
  if (status != LUA_OK) print_error("%s\n", luaL_tolstring(r->L, -1, NULL));
  rt_close(r, HUGE_VAL);
  return status;
}

static void *run_in_thread(void *code) {
  return run(code) == LUA_OK ? code : NULL;
}

static void run_twice_at_once(const char *code) {
  pthread_t thread;
  void *answer = NULL;
  assert_int_equal(0, pthread_create(&thread, NULL, run_in_thread, (void *)(uintptr_t)code));
  assert_int_equal(LUA_OK, run(code));
  pthread_join(thread, &answer);
  assert_non_null(answer);
}

static pid_t fork_child(int status) {
  pid_t pid = fork();
  if (pid == 0) _exit(status);
  return pid;
}

static void each_runtime_reaps_its_own_children(void **state) {
  (void)state;
  pid_t mine = fork_child(42);
  int status = 0;
  assert_true(mine > 0);
  run_twice_at_once(many);
  assert_int_equal(mine, waitpid(mine, &status, 0));
  assert_int_equal(42, WEXITSTATUS(status));
  assert_int_equal(-1, waitpid(-1, &status, WNOHANG));
  assert_int_equal(ECHILD, errno);
}

static void the_end_of_a_runtime_leaves_no_child(void **state) {
  (void)state;
  int status;
  run_twice_at_once(left);
  assert_int_equal(-1, waitpid(-1, &status, WNOHANG));
  assert_int_equal(ECHILD, errno);
}

static void a_group_of_zombies_is_not_alive(void **state) {
  (void)state;
  siginfo_t info;
  pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    pause();
    _exit(0);
  }
  setpgid(pid, pid);
  assert_true(group_is_alive(pid));
  kill(pid, SIGKILL);
  assert_int_equal(0, waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
  assert_false(group_is_alive(pid));
  assert_int_equal(pid, waitpid(pid, NULL, 0));
  assert_false(group_is_alive(pid));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_runtime_reaps_its_own_children),
    cmocka_unit_test(the_end_of_a_runtime_leaves_no_child),
    cmocka_unit_test(a_group_of_zombies_is_not_alive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
