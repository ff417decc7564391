// SPDX-License-Identifier: MIT
// Embedding: scripts that run step by step in a loop of the host's, in several threads, that are
// stopped from outside, and what closing waits for.
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#endif

#include "embed_case.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Run what was started in a loop of poll; answers how often it went round.
static int loop(corun_runtime *rt) {
  int rounds = 0;
  while (corun_step(rt) == CORUN_RUNNING) {
    struct pollfd p = {.fd = corun_pollfd(rt), .events = POLLIN};
    int timeout = corun_timeout(rt);
    assert_true(timeout >= -1);
    assert_true(poll(&p, 1, timeout) >= 0 || errno == EINTR);
    rounds++;
  }
  return rounds;
}

// --- A loop of the host's ------------------------------------------------------------------------

static void timers_fire_and_nothing_turns_meanwhile(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  start_code(rt,
             "local corun = require 'corun'\n"
             "for i = 1, 5 do corun.sleep(0.02) print(i) end");
  double began = now();
  int rounds = loop(rt);
  assert_true(now() - began >= 0.1);
  assert_true(rounds < 30);
  assert_string_equal("1\n2\n3\n4\n5\n", o.out.text);
  assert_int_equal(CORUN_DONE, corun_step(rt));
  assert_int_equal(0, lua_gettop(corun_state(rt)));
  close_runtime(rt);
}

static const char mixed[] =
  "local corun = require 'corun'\n"
  "local net, pool = require 'corun.net', require 'corun.pool'\n"
  "local count = 0\n"
  "local server = net.serve('127.0.0.1:0', function(c)\n"
  "  for line in c:lines() do c:write(line:upper(), '\\n') end\n"
  "end)\n"
  "corun.scope(function(s)\n"
  "  for i = 1, 8 do\n"
  "    s:spawn(function()\n"
  "      local c <close> = assert(net.connect(server:address()))\n"
  "      for j = 1, 10 do\n"
  "        c:write('a', i, j, '\\n')\n"
  "        assert(c:read() == 'A' .. i .. j)\n"
  "        if j % 3 == 0 then corun.sleep(0.001) end\n"
  "        count = count + 1\n"
  "      end\n"
  "    end)\n"
  "    s:spawn(function()\n"
  "      local ten = pool.run(function(n) return n end, 10)\n"
  "      count = count + ten\n"
  "    end)\n"
  "  end\n"
  "  s:spawn(function() assert(corun.fs.read(arg[0])) count = count + 1 end)\n"
  "end)\n"
  "server:close()\n"
  "pool.close()\n"
  "print(count)\n";

static const char *argv[] = {"/proc/self/status", NULL};

static void sockets_timers_and_jobs_live_in_one_loop(void **state) {
  (void)state;
  output o;
  corun_options options = {.argv = argv};
  corun_runtime *rt = make_with(&options, &o);
  start_code(rt, mixed);
  loop(rt);
  assert_string_equal("", corun_error(rt));
  assert_string_equal("161\n", o.out.text);
  close_runtime(rt);
}

static void two_runtimes_live_in_one_loop(void **state) {
  (void)state;
  output outputs[2];
  corun_runtime *rts[2];
  int running = 2;
  for (int i = 0; i < 2; i++) {
    corun_options options = {.argv = argv};
    rts[i] = make_with(&options, &outputs[i]);
    start_code(rts[i], mixed);
  }
  while (running) {
    struct pollfd p[2];
    int timeout = -1;
    running = 0;
    for (int i = 0; i < 2; i++) {
      int is_running = corun_step(rts[i]) == CORUN_RUNNING;
      int t = is_running ? corun_timeout(rts[i]) : -1;
      p[i] = (struct pollfd){.fd = is_running ? corun_pollfd(rts[i]) : -1, .events = POLLIN};
      if (t >= 0 && (timeout < 0 || t < timeout)) timeout = t;
      running += is_running;
    }
    if (running) poll(p, 2, timeout);
  }
  for (int i = 0; i < 2; i++) {
    assert_string_equal("161\n", outputs[i].out.text);
    close_runtime(rts[i]);
  }
}

static void steps_find_deadlocks_and_time_limits(void **state) {
  (void)state;
  output o;
  corun_options options = {.timeout = 0.05};
  corun_runtime *rt = make_with(&options, &o);
  start_code(rt, "require('corun').sleep(60)");
  loop(rt);
  assert_int_equal(CORUN_TIMEOUT, corun_step(rt));
  start_code(rt, "error('x', 0)");
  loop(rt);
  assert_memory_equal("x\nstack traceback:", corun_error(rt), 18);
  close_runtime(rt);
  rt = make(&o);
  start_code(rt, "require('corun').channel():recv()");
  loop(rt);
  assert_int_equal(CORUN_DEADLOCK, corun_step(rt));
  close_runtime(rt);
}

static void what_was_begun_in_steps_may_be_finished_asleep(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  start_code(rt,
             "local corun = require 'corun' corun.sleep(0.01) print(1) corun.sleep(0.01) print(2)");
  assert_int_equal(CORUN_RUNNING, corun_step(rt));
  assert_int_equal(CORUN_DONE, corun_finish(rt));
  assert_string_equal("1\n2\n", o.out.text);
  close_runtime(rt);
}

static void the_host_may_call_lua_between_steps(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  lua_State *L = corun_state(rt);
  lua_pushliteral(L, "the host's");
  start_code(rt,
             "local corun = require 'corun'\n"
             "local c = corun.channel(1)\n"
             "function give(v) return c:try_send(v) end\n"
             "function wait() corun.sleep(1) end\n"
             "function fork() corun.spawn(print) end\n"
             "corun.timeout(60, function() print(c:recv()) end)");
  for (int i = 0; i < 3; i++) assert_int_equal(CORUN_RUNNING, corun_step(rt));
  const char *forbidden[] = {"wait", "fork"};
  for (int i = 0; i < 2; i++) {
    lua_getglobal(L, forbidden[i]);
    assert_int_equal(LUA_ERRRUN, lua_pcall(L, 0, 0, 0));
    assert_non_null(strstr(lua_tostring(L, -1), ": no task is running here"));
    lua_pop(L, 1);
  }
  lua_getglobal(L, "give");
  lua_pushliteral(L, "a gift");
  assert_int_equal(LUA_OK, lua_pcall(L, 1, 0, 0));
  assert_int_equal(0, corun_timeout(rt));
  loop(rt);
  assert_string_equal("a gift\n", o.out.text);
  assert_int_equal(1, lua_gettop(L));
  assert_string_equal("the host's", lua_tostring(L, 1));
  close_runtime(rt);
}

#ifdef __linux__
static void epoll_does_as_well(void **state) {
  (void)state;
  output outputs[2];
  corun_runtime *rts[2];
  int running = 2, ep = epoll_create1(EPOLL_CLOEXEC);
  assert_true(ep >= 0);
  for (int i = 0; i < 2; i++) {
    corun_options options = {.argv = argv};
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    rts[i] = make_with(&options, &outputs[i]);
    start_code(rts[i], mixed);
    assert_int_equal(0, epoll_ctl(ep, EPOLL_CTL_ADD, corun_pollfd(rts[i]), &e));
  }
  int is_ready[2] = {1, 1};
  while (running) {
    struct epoll_event e[2];
    int timeout = -1;
    for (int i = 0; i < 2; i++) {
      if (!rts[i]) continue;
      if (is_ready[i] && corun_step(rts[i]) != CORUN_RUNNING) {
        assert_string_equal("161\n", outputs[i].out.text);
        assert_int_equal(0, epoll_ctl(ep, EPOLL_CTL_DEL, corun_pollfd(rts[i]), NULL));
        close_runtime(rts[i]);
        rts[i] = NULL;
        running--;
        continue;
      }
      int t = corun_timeout(rts[i]);
      if (t >= 0 && (timeout < 0 || t < timeout)) timeout = t;
    }
    int n = running ? epoll_wait(ep, e, 2, timeout) : 0;
    is_ready[0] = is_ready[1] = n == 0;  // the time has come, of one or both
    for (int i = 0; i < n; i++) is_ready[e[i].data.u32] = 1;
  }
  close(ep);
}
#endif

// --- Operations of the host's

static atomic_int is_woken, is_dropped;

static void *wake_late(void *op) {
  usleep(50000);
  atomic_store(&is_woken, 1);
  corun_wake(op, 0);
  return NULL;
}

static void drop_late(void *op) {
  (void)op;
  atomic_store(&is_dropped, 1);
}

static const corun_optype late_type = {.name = "late", .drop = drop_late};

static int l_late(lua_State *L) {
  pthread_t thread;
  void *op = corun_newop(L, &late_type, 8);
  if (pthread_create(&thread, NULL, wake_late, op) != 0)
    corun_wake(op, -EAGAIN);
  else
    pthread_detach(thread);
  return corun_await(L, op);
}

static int l_wait(lua_State *L) {
  return corun_await_fd(L, 0, CORUN_READABLE, 0);
}

static int l_check(lua_State *L) {
  corun_checkpoint(L);
  return 0;
}

// --- Misuse --------------------------------------------------------------------------------------

static corun_runtime *nested;

static int l_nest(lua_State *L) {
  corun_status all[] = {corun_step(nested), corun_finish(nested), corun_start(nested, 0),
                        corun_run_string(nested, "x = 1", 5, NULL)};
  for (int i = 0; i < 4; i++) lua_pushboolean(L, all[i] == CORUN_FAILED);
  lua_pushboolean(L, corun_close(nested) == -EBUSY);
  lua_pushstring(L, corun_error(nested));
  return 6;
}

static void calls_from_within_are_refused(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = nested = make(&o);
  set_function(rt, "nest", l_nest);
  do_code(rt, "print(nest())");
  assert_string_equal(
    "true\ttrue\ttrue\ttrue\ttrue\tthe runtime was called from within what it calls\n", o.out.text);
  close_runtime(rt);
}

static int l_close_own(lua_State *L) {
  lua_pushinteger(L, corun_close(nested));
  return 1;
}

static void a_close_under_a_call_of_the_host_is_refused(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = nested = make(&o);
  lua_State *L = corun_state(rt);
  lua_pushcfunction(L, l_close_own);
  assert_int_equal(LUA_OK, lua_pcall(L, 0, 1, 0));
  assert_int_equal(-EBUSY, lua_tointeger(L, -1));
  lua_pop(L, 1);
  do_code(rt, "x = 1");
  close_runtime(rt);
}

static void what_cannot_be_started_is_answered(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  lua_State *L = corun_state(rt);
  for (int nargs = -1; nargs < 3; nargs++) {
    assert_int_equal(CORUN_FAILED, corun_start(rt, nargs));
    assert_string_equal("there is no function to start", corun_error(rt));
    assert_int_equal(0, lua_gettop(L));
  }
  lua_pushinteger(L, 42);
  corun_status status = corun_start(rt, 0);
  if (status == CORUN_RUNNING) status = corun_finish(rt);
  assert_int_equal(CORUN_FAILED, status);
  assert_non_null(strstr(corun_error(rt), "attempt to call a number value"));
  assert_int_equal(0, lua_gettop(L));
  lua_pushliteral(L, "the host's");
  start_code(rt, "require('corun').sleep(0.001)");
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 2);
  assert_int_equal(CORUN_FAILED, corun_start(rt, 1));
  assert_string_equal("a script runs already", corun_error(rt));
  assert_int_equal(1, lua_gettop(L));
  assert_int_equal(CORUN_DONE, corun_finish(rt));
  assert_int_equal(CORUN_DONE, corun_run_string(rt, NULL, 0, NULL));
  close_runtime(rt);
}

static void operations_need_a_task(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  lua_State *L = corun_state(rt);
  static lua_CFunction const all[] = {l_late, l_wait};
  for (int i = 0; i < 2; i++) {
    lua_pushcfunction(L, all[i]);
    assert_int_equal(LUA_ERRRUN, lua_pcall(L, 0, 0, 0));
    assert_non_null(strstr(lua_tostring(L, -1), "no task is running here"));
    lua_pop(L, 1);
  }
  lua_pushcfunction(L, l_check);
  assert_int_equal(LUA_ERRRUN, lua_pcall(L, 0, 0, 0));
  lua_pop(L, 1);
  close_runtime(rt);
}

static int l_run_other(lua_State *L) {
  corun_runtime *other = make_bare();
  lua_pushinteger(L, run(other, "require('corun').sleep(0.001)"));
  corun_close(other);
  return 1;
}

static void another_runtime_runs_within(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  set_function(rt, "run_other", l_run_other);
  do_code(rt, "local corun = require 'corun' print(run_other()) corun.sleep(0.001)");
  assert_string_equal("0\n", o.out.text);
  close_runtime(rt);
}

static void a_second_script_is_refused_and_the_first_goes_on(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  start_code(rt, "require('corun').sleep(0.01) print('done')");
  corun_step(rt);
  assert_int_equal(CORUN_FAILED, run(rt, "print('second')"));
  assert_string_equal("a script runs already", corun_error(rt));
  loop(rt);
  assert_int_equal(CORUN_DONE, corun_step(rt));
  assert_string_equal("done\n", o.out.text);
  close_runtime(rt);
}

// --- Stopping
// --------------------------------------------------------------------------------------

typedef struct stopper {
  corun_runtime *rt;
  atomic_int is_begun;
} stopper;

static stopper one;

static int l_begun(lua_State *L) {
  (void)L;
  atomic_store(&one.is_begun, 1);
  return 0;
}

static void *stop(void *arg) {
  stopper *s = arg;
  while (!atomic_load(&s->is_begun)) usleep(1000);
  corun_stop(s->rt);
  return NULL;
}

// Run code that says begun() and would never end, while another thread stops it.
static void stop_code(corun_runtime *rt, const char *code, int is_stepped) {
  pthread_t thread;
  one.rt = rt;
  atomic_store(&one.is_begun, 0);
  set_function(rt, "begun", l_begun);
  assert_int_equal(0, pthread_create(&thread, NULL, stop, &one));
  start_code(rt, code);
  if (is_stepped)
    loop(rt);
  else
    corun_finish(rt);
  pthread_join(thread, NULL);
  assert_string_equal("cancelled by corun_stop", corun_error(rt));
  assert_int_equal(CORUN_CANCELLED, corun_step(rt));
}

static void a_script_that_waits_is_stopped_and_cleans_up(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  corun_stop(rt);  // nothing runs
  for (int is_stepped = 0; is_stepped < 2; is_stepped++) {
    stop_code(rt,
              "local corun = require 'corun'\n"
              "local _ <close> = corun.defer(function() corun.sleep(0.01) print('clean') end)\n"
              "begun() corun.sleep(1e6)",
              is_stepped);
    assert_string_equal(is_stepped ? "clean\nclean\n" : "clean\n", o.out.text);
    stop_code(rt, "begun() while true do require('corun').yield() end", is_stepped);
    do_code(rt, "require('corun').sleep(0.001)");
  }
  close_runtime(rt);
}

static pthread_t signalled;
static atomic_int is_over;

static void stop_in_handler(int number) {
  (void)number;
  corun_stop(one.rt);
}

static void *send_signals(void *arg) {
  (void)arg;
  while (!atomic_load(&is_over)) {
    usleep(100);
    pthread_kill(signalled, SIGUSR1);
  }
  return NULL;
}

// It comes in the midst of what the thread does to fall asleep, too: where that holds a lock, the
// handler must not want it.
static void the_handler_of_a_signal_may_stop_a_script(void **state) {
  (void)state;
  output o;
  pthread_t thread;
  struct sigaction sa, before;
  one.rt = make(&o);
  signalled = pthread_self();
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = stop_in_handler;
  sa.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &sa, &before);
  assert_int_equal(0, pthread_create(&thread, NULL, send_signals, NULL));
  for (int i = 0; i < 500; i++) {
    const char *code = i % 2 ? "local corun = require 'corun' while true do corun.sleep(1e-6) end"
                             : "require('corun').sleep(1e6)";
    assert_int_equal(CORUN_CANCELLED, run(one.rt, code));
  }
  atomic_store(&is_over, 1);
  pthread_join(thread, NULL);
  sigaction(SIGUSR1, &before, NULL);
  close_runtime(one.rt);
}

static void code_that_spins_is_stopped_where_interrupts_are_allowed(void **state) {
  (void)state;
  output o;
  corun_options options = {.signals = CORUN_INTERRUPTS};
  corun_runtime *rt = make_with(&options, &o);
  stop_code(rt, "begun() while true do end", 0);
  do_code(rt,
          "local ok, err = require('corun').timeout(0.01, function() while true do end end)\n"
          "assert(not ok and err.code == 'ETIMEDOUT')");
  close_runtime(rt);
}

// --- Closing
// ---------------------------------------------------------------------------------------

static void functions_of_the_host_suspend(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  set_function(rt, "late", l_late);
  do_code(rt, "print(late())");
  assert_string_equal("true\n", o.out.text);
  close_runtime(rt);
}

static void a_close_waits_for_what_is_outstanding(void **state) {
  (void)state;
  output o;
  corun_options options = {.grace = 0.01};
  corun_runtime *rt = make_with(&options, &o);
  atomic_store(&is_woken, 0);
  atomic_store(&is_dropped, 0);
  set_function(rt, "late", l_late);
  start_code(rt,
             "local corun = require 'corun'\n"
             "local _ <close> = corun.defer(function() print('clean') end)\n"
             "corun.spawn(function() corun.sleep(1e6) end)\n"
             "corun.spawn(function() require('corun.pool').run(function()\n"
             "  require('corun').sleep(1e6) end) end)\n"
             "late() corun.sleep(1) print('not reached')");
  assert_int_equal(CORUN_RUNNING, corun_step(rt));
  close_runtime(rt);
  assert_true(atomic_load(&is_woken));
  assert_true(atomic_load(&is_dropped));
  assert_string_equal("clean\n", o.out.text);
}

static atomic_int is_left_dropped;

static void *wake_very_late(void *op) {
  usleep(300000);
  corun_wake(op, 0);
  return NULL;
}

static void drop_left(void *op) {
  (void)op;
  atomic_store(&is_left_dropped, 1);
}

// Begins an operation for which nobody waits.
static int l_leave(lua_State *L) {
  static const corun_optype type = {.name = "left", .drop = drop_left};
  pthread_t thread;
  void *op = corun_newop(L, &type, 8);
  if (pthread_create(&thread, NULL, wake_very_late, op) != 0)
    corun_wake(op, -EAGAIN);
  else
    pthread_detach(thread);
  return 0;
}

static void a_close_waits_longer_than_time_limits_that_are_over(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  set_function(rt, "late", l_late);
  set_function(rt, "leave", l_leave);
  do_code(rt,
          "local corun, net = require 'corun', require 'corun.net'\n"
          "server = assert(net.listen('127.0.0.1:0'))\n"  // so that the loop polls
          "leave()\n"
          "assert(corun.timeout(0.15, late))");
  close_runtime(rt);
  assert_true(atomic_load(&is_left_dropped));
}

static int count_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static long resident(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*d %ld", &pages) != 1) pages = -1;
  if (f) fclose(f);
  return pages * sysconf(_SC_PAGESIZE);
}

static void hundreds_come_and_go(void **state) {
  (void)state;
  output o;
  int descriptors = 0;
  long memory = 0;
  for (int i = 0; i < 300; i++) {
    if (i == 100) {
      descriptors = count_descriptors();
      memory = resident();
    }
    corun_runtime *rt = make(&o);
    if (i % 3 == 0) do_code(rt, "require('corun').sleep(0)");
    if (i % 3 == 1) fail_code(rt, "require 'corun.http' error('x')", "code:1: x");
    if (i % 3 == 2) {
      start_code(rt, "require('corun').sleep(1e6)");
      assert_int_equal(CORUN_RUNNING, corun_step(rt));
    }
    close_runtime(rt);
  }
  assert_int_equal(descriptors, count_descriptors());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  assert_true(resident() - memory < 4 << 20);
#endif
  (void)memory;
  assert_int_equal(0, corun_close(NULL));
}

// --- Threads
// ---------------------------------------------------------------------------------------

static void *live(void *arg) {
  (void)arg;
  for (int i = 0; i < 10; i++) {
    corun_options options = {.size = sizeof options, .argv = argv};
    output o;
    memset(&o, 0, sizeof o);
    options.out = take_out;
    options.write_ud = &o;
    corun_runtime *rt;
    if (corun_new(&rt, &options) < 0) return "new";
    if (run(rt, mixed) != CORUN_DONE || strcmp(o.out.text, "161\n") != 0) return "run";
    if (run(rt, "error('x', 0)") != CORUN_FAILED) return "fail";
    corun_close(rt);
  }
  return NULL;
}

static void each_thread_may_have_its_own(void **state) {
  (void)state;
  pthread_t threads[3];
  void *wrong;
  for (int i = 0; i < 3; i++) assert_int_equal(0, pthread_create(&threads[i], NULL, live, NULL));
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], &wrong);
    if (wrong) assert_string_equal("", wrong);
  }
}

static void *take_over(void *arg) {
  corun_runtime *rt = arg;
  return run(rt, "x = x + 1 require('corun').sleep(0.001)") == CORUN_DONE ? NULL : "failed";
}

static void a_runtime_may_move_to_another_thread(void **state) {
  (void)state;
  output o;
  pthread_t thread;
  void *wrong;
  corun_runtime *rt = make(&o);
  do_code(rt, "x = 1 require('corun').sleep(0.001)");
  assert_int_equal(0, pthread_create(&thread, NULL, take_over, rt));
  pthread_join(thread, &wrong);
  assert_null(wrong);
  do_code(rt, "print(x)");
  assert_string_equal("2\n", o.out.text);
  close_runtime(rt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(timers_fire_and_nothing_turns_meanwhile),
    cmocka_unit_test(sockets_timers_and_jobs_live_in_one_loop),
    cmocka_unit_test(two_runtimes_live_in_one_loop),
#ifdef __linux__
    cmocka_unit_test(epoll_does_as_well),
#endif
    cmocka_unit_test(steps_find_deadlocks_and_time_limits),
    cmocka_unit_test(what_was_begun_in_steps_may_be_finished_asleep),
    cmocka_unit_test(the_host_may_call_lua_between_steps),
    cmocka_unit_test(calls_from_within_are_refused),
    cmocka_unit_test(a_close_under_a_call_of_the_host_is_refused),
    cmocka_unit_test(what_cannot_be_started_is_answered),
    cmocka_unit_test(operations_need_a_task),
    cmocka_unit_test(another_runtime_runs_within),
    cmocka_unit_test(a_second_script_is_refused_and_the_first_goes_on),
    cmocka_unit_test(a_script_that_waits_is_stopped_and_cleans_up),
    cmocka_unit_test(the_handler_of_a_signal_may_stop_a_script),
    cmocka_unit_test(code_that_spins_is_stopped_where_interrupts_are_allowed),
    cmocka_unit_test(functions_of_the_host_suspend),
    cmocka_unit_test(a_close_waits_for_what_is_outstanding),
    cmocka_unit_test(a_close_waits_longer_than_time_limits_that_are_over),
    cmocka_unit_test(hundreds_come_and_go),
    cmocka_unit_test(each_thread_may_have_its_own),
    cmocka_unit_test(a_runtime_may_move_to_another_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
