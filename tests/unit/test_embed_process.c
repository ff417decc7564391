// SPDX-License-Identifier: MIT
// Embedding: what a runtime leaves alone in the process of its host, what it takes where it may,
// and extensions.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "embed_case.h"

#define SIGNALS 32  // the ones that have names
#define FLAGS (SA_RESTART | SA_SIGINFO | SA_NOCLDWAIT | SA_NOCLDSTOP | SA_NODEFER | SA_ONSTACK)

static void read_actions(struct sigaction *to) {
  memset(to, 0, SIGNALS * sizeof *to);
  for (int i = 1; i < SIGNALS; i++) sigaction(i, NULL, &to[i]);
}

// The number of the first signal of which the action differs, 0 when none does.
static int differing(const struct sigaction *a, const struct sigaction *b) {
  for (int i = 1; i < SIGNALS; i++)
    if (a[i].sa_handler != b[i].sa_handler || (a[i].sa_flags ^ b[i].sa_flags) & FLAGS) return i;
  return 0;
}

static struct sigaction before[SIGNALS];

static int l_differing(lua_State *L) {
  struct sigaction now[SIGNALS];
  read_actions(now);
  lua_pushinteger(L, differing(before, now));
  return 1;
}

static const char busy[] =
  "local corun = require 'corun'\n"
  "local pool, process = require 'corun.pool', require 'corun.process'\n"
  "pool.run(function() return 1 end)\n"
  "assert(process.run{'true'})\n"
  "assert(os.execute('true'))\n"
  "corun.timeout(0.01, corun.sleep, 1)\n"
  "print(differing and differing())\n"
  "pool.close()";

static void handlers_stay_those_of_the_host(void **state) {
  (void)state;
  output o;
  struct sigaction after[SIGNALS];
  read_actions(before);
  corun_runtime *rt = make(&o);
  set_function(rt, "differing", l_differing);
  do_code(rt, busy);
  assert_string_equal("0\n", o.out.text);
  close_runtime(rt);
  read_actions(after);
  assert_int_equal(0, differing(before, after));
}

static void the_process_stays_as_it_was(void **state) {
  (void)state;
  output o;
  sigset_t mask, mask_after;
  struct rlimit limit, limit_after;
  char folder[4096], folder_after[4096];
  setenv("LISTEN_PID", "1", 1);
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  getrlimit(RLIMIT_NOFILE, &limit);
  assert_non_null(getcwd(folder, sizeof folder));
  corun_runtime *rt = make(&o);
  do_code(rt, busy);
  close_runtime(rt);
  pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
  getrlimit(RLIMIT_NOFILE, &limit_after);
  assert_non_null(getcwd(folder_after, sizeof folder_after));
  for (int i = 1; i < SIGNALS; i++)
    assert_int_equal(sigismember(&mask, i), sigismember(&mask_after, i));
  assert_int_equal(limit.rlim_cur, limit_after.rlim_cur);
  assert_string_equal(folder, folder_after);
  assert_string_equal("1", getenv("LISTEN_PID"));
  unsetenv("LISTEN_PID");
}

static void a_script_cannot_end_the_process(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  fail_code(rt, "os.exit(3)", "code:1: os.exit would end the whole program: call corun.exit");
  fail_code(rt, "require('corun.pool').run(function() os.exit(3) end)", "code:1: a worker cannot");
  fail_code(rt, "require('corun.pool').new{kind = 'process'}",
            "code:1: a pool of processes needs the program corun");
  do_code(rt, "require('corun.pool').close()");
  close_runtime(rt);
}

// --- Forks
// ----------------------------------------------------------------------------------------

#ifndef __SANITIZE_THREAD__  // which gives up when a child of several threads starts one

// What needs threads of all kinds: corun's, libuv's, workers, the watchdog.
static const char threads_needed[] =
  "local corun = require 'corun'\n"
  "local pool, codec = require 'corun.pool', require 'corun.codec'\n"
  "assert(codec.hash_file('/proc/self/status', 'md5'))\n"
  "assert(corun.fs.read('/proc/self/status'))\n"
  "assert(pool.run(function() return 1 end) == 1)\n"
  "local ok, err = corun.timeout(0.01, function() while true do end end)\n"
  "assert(not ok and err.code == 'ETIMEDOUT')\n"
  "pool.close()";

static int live_in_child(void) {
  corun_options options = {.size = sizeof options, .signals = CORUN_INTERRUPTS};
  corun_runtime *rt;
  alarm(30);  // it may hang
  if (corun_new(&rt, &options) < 0) return 1;
  if (run(rt, threads_needed) != CORUN_DONE) return 2;
  return corun_close(rt) == 0 ? 0 : 3;
}

static int fork_and_live(void) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) _exit(live_in_child());
  assert_true(child > 0);
  assert_int_equal(child, waitpid(child, &status, 0));
  return status;
}

static int l_fork(lua_State *L) {
  lua_pushinteger(L, fork_and_live());
  return 1;
}

static void a_child_makes_a_runtime_of_its_own(void **state) {
  (void)state;
  output o;
  corun_options options = {.signals = CORUN_SIGNALS};
  corun_runtime *rt = make_with(&options, &o);
  assert_int_equal(0, fork_and_live());  // nothing has run here
  do_code(rt, threads_needed);
  assert_int_equal(0, fork_and_live());
  start_code(rt, "require('corun').sleep(0.01) print('done')");
  assert_int_equal(CORUN_RUNNING, corun_step(rt));
  assert_int_equal(0, fork_and_live());  // one runs here
  assert_int_equal(CORUN_DONE, corun_finish(rt));
  set_function(rt, "fork", l_fork);
  do_code(rt, "print(fork())");
  do_code(rt, threads_needed);
  assert_string_equal("done\n0\n", o.out.text);
  close_runtime(rt);
}
#endif

// --- Writes that fail
// ------------------------------------------------------------------------------

static void a_broken_pipe_is_an_error_of_the_write(void **state) {
  (void)state;
  output o;
  sigset_t pending;
  assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  corun_runtime *rt = make(&o);
  do_code(rt,
          "local corun, net = require 'corun', require 'corun.net'\n"
          "local server = net.serve('127.0.0.1:0', function(c) end)\n"
          "local c = assert(net.connect(server:address()))\n"
          "assert(c:read('a'))\n"
          "local ok, err\n"
          "repeat ok, err = c:write(('x'):rep(1000)) corun.sleep(0.001) until not ok\n"
          "print(err.code)\n"
          "server:close()\n"
          "local p = io.popen('exec 0<&-; true', 'w')\n"
          "corun.sleep(0.1)\n"
          "for _ = 1, 100 do p:write(('x'):rep(1000)) end p:close()");
  assert_true(strcmp(o.out.text, "EPIPE\n") == 0 || strcmp(o.out.text, "ECONNRESET\n") == 0);
  sigpending(&pending);
  assert_int_equal(0, sigismember(&pending, SIGPIPE));
  close_runtime(rt);
}

static void a_pending_signal_of_the_host_stays(void **state) {
  (void)state;
  output o;
  sigset_t set, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  corun_runtime *rt = make(&o);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  raise(SIGPIPE);
  do_code(rt, "x = 1");
  sigpending(&pending);
  assert_int_equal(1, sigismember(&pending, SIGPIPE));
  int number = 0;
  sigwait(&set, &number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  close_runtime(rt);
}

static void programs_start_with_the_signals_of_the_host(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  do_code(
    rt,
    "local function blocked() return io.popen('grep SigBlk /proc/self/status'):read('a') end\n"
    "io.write(blocked(), require('corun.pool').run(blocked))\n"
    "require('corun.pool').close()");
  assert_string_equal("SigBlk:\t0000000000000000\nSigBlk:\t0000000000000000\n", o.out.text);
  close_runtime(rt);
}

// --- Signals that are asked for
// --------------------------------------------------------------------

static int l_raise(lua_State *L) {
  raise((int)lua_tointeger(L, 1));
  return 0;
}

static void signals_end_scripts_where_they_may(void **state) {
  (void)state;
  output o;
  corun_options options = {.signals = CORUN_SIGNALS};
  struct sigaction after[SIGNALS];
  corun_runtime *rt = make_with(&options, &o);
  set_function(rt, "raise", l_raise);
  do_code(rt, "x = 1");  // from now on SIGURG is the watchdog's
  read_actions(before);
  static const int numbers[] = {SIGINT, SIGTERM, SIGINT};
  for (int i = 0; i < 3; i++) {
    char code[120];
    snprintf(code, sizeof code, "raise(%d) require('corun').sleep(60)", numbers[i]);
    assert_int_equal(CORUN_CANCELLED, run(rt, code));
    assert_string_equal("cancelled by a signal", corun_error(rt));
    read_actions(after);
    assert_int_equal(0, differing(before, after));
  }
  do_code(rt, "require('corun').sleep(0.001)");
  close_runtime(rt);
}

static atomic_int host_signals;

static void on_host_signal(int number) {
  (void)number;
  atomic_fetch_add(&host_signals, 1);
}

static void handlers_of_the_host_are_called_meanwhile(void **state) {
  (void)state;
  output o;
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = on_host_signal;
  sigaction(SIGUSR1, &sa, NULL);
  corun_options options = {.signals = CORUN_INTERRUPTS};
  corun_runtime *rt = make_with(&options, &o);
  set_function(rt, "raise", l_raise);
  lua_pushinteger(corun_state(rt), SIGUSR1);
  lua_setglobal(corun_state(rt), "USR1");
  do_code(rt, "raise(USR1) require('corun').sleep(0.001) raise(USR1)");
  assert_int_equal(2, atomic_load(&host_signals));
  close_runtime(rt);
}

// --- Modules
// ---------------------------------------------------------------------------------------

static int l_answer(lua_State *L) {
  lua_pushinteger(L, 42);
  return 1;
}

static int open_host_module(lua_State *L) {
  luaL_Reg functions[] = {{"answer", l_answer}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

static void modules_of_the_host_are_required(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  lua_State *L = corun_state(rt);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_host_module);
  lua_setfield(L, -2, "host");
  lua_pop(L, 1);
  do_code(rt, "print(require('host').answer(), require('host') == require('host'))");
  assert_string_equal("42\ttrue\n", o.out.text);
  close_runtime(rt);
}

static void extensions_find_corun_and_lua(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  lua_pushliteral(corun_state(rt), EXTENSIONS);
  lua_setglobal(corun_state(rt), "extensions");
  do_code(rt, "package.cpath = extensions print(require('operations').sum('abc'))");
  assert_string_equal("294\n", o.out.text);
  close_runtime(rt);
}

// A timer of libuv that nobody waits for any more, but rings all the same.
static void handles_of_extensions_are_waited_for(void **state) {
  (void)state;
  static const char *const kinds[] = {"left", "forgotten"};
  output o;
  for (int i = 0; i < 2; i++) {
    corun_runtime *rt = make(&o);
    lua_pushliteral(corun_state(rt), EXTENSIONS);
    lua_setglobal(corun_state(rt), "extensions");
    lua_pushstring(corun_state(rt), kinds[i]);
    lua_setglobal(corun_state(rt), "kind");
    do_code(rt,
            "package.cpath = extensions\n"
            "local corun, handles = require 'corun', require 'handles'\n"
            "local t = corun.async(handles.alarm, 50, kind)\n"
            "repeat corun.yield() until t:status() ~= 'ready'\n"
            "t:cancel()\n"
            "t:await()");
    alarm(60);
    close_runtime(rt);
    alarm(0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(handlers_stay_those_of_the_host),
    cmocka_unit_test(the_process_stays_as_it_was),
    cmocka_unit_test(a_script_cannot_end_the_process),
#ifndef __SANITIZE_THREAD__
    cmocka_unit_test(a_child_makes_a_runtime_of_its_own),
#endif
    cmocka_unit_test(a_broken_pipe_is_an_error_of_the_write),
    cmocka_unit_test(a_pending_signal_of_the_host_stays),
    cmocka_unit_test(programs_start_with_the_signals_of_the_host),
    cmocka_unit_test(signals_end_scripts_where_they_may),
    cmocka_unit_test(handlers_of_the_host_are_called_meanwhile),
    cmocka_unit_test(modules_of_the_host_are_required),
    cmocka_unit_test(extensions_find_corun_and_lua),
    cmocka_unit_test(handles_of_extensions_are_waited_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
