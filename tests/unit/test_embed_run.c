// SPDX-License-Identifier: MIT
// Embedding: options, scripts run to their end, how they end, what is told of them, what they
// write, what memory they get.
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "embed_case.h"

// --- Scripts -----------------------------------------------------------------------------------

static void scripts_run_one_after_the_other(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  do_code(rt, "corun = require 'corun' corun.sleep(0.001) x = 1");
  do_code(rt, "corun.spawn(function() corun.sleep(0.001) x = x + 1 end)");
  do_code(rt, "print(x)");
  assert_string_equal("2\n", o.out.text);
  close_runtime(rt);
}

static void a_file_is_run(void **state) {
  (void)state;
  output o;
  char path[] = "/tmp/corun-embed-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(24, write(fd, "print('from a file', ..)", 24));
  corun_runtime *rt = make(&o);
  assert_int_equal(CORUN_FAILED, corun_run_file(rt, path));
  assert_non_null(strstr(corun_error(rt), "near '..'"));
  assert_int_equal(24, pwrite(fd, "print('from a file' )   ", 24, 0));
  assert_int_equal(CORUN_DONE, corun_run_file(rt, path));
  assert_string_equal("from a file\n", o.out.text);
  close(fd);
  unlink(path);
  assert_int_equal(CORUN_FAILED, corun_run_file(rt, path));
  assert_non_null(strstr(corun_error(rt), "cannot open"));
  close_runtime(rt);
}

static void code_has_a_name_and_a_length(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  assert_int_equal(CORUN_FAILED, corun_run_string(rt, "error 'x' rest", 9, "@dir/a.lua"));
  assert_memory_equal("dir/a.lua:1: x", corun_error(rt), 14);
  assert_int_equal(CORUN_FAILED, corun_run_string(rt, "error 'x' rest", 9, NULL));
  assert_memory_equal("[string \"error 'x'\"]:1: x", corun_error(rt), 25);
  close_runtime(rt);
}

static void arguments_are_those_of_argv(void **state) {
  (void)state;
  output o;
  const char *argv[] = {"host", "one", "two", NULL};
  corun_options options = {.argv = argv};
  corun_runtime *rt = make_with(&options, &o);
  argv[1] = "changed";
  do_code(rt, "print(arg[0], arg[1], arg[2], #arg, ...) arg = nil");
  do_code(rt, "print(select('#', ...), ...)");
  assert_string_equal("host\tone\ttwo\t2\tone\ttwo\n2\tone\ttwo\n", o.out.text);
  close_runtime(rt);
  rt = make(&o);
  do_code(rt, "print(arg, ...)");
  assert_string_equal("nil\n", o.out.text);
  close_runtime(rt);
}

static void each_end_has_a_status(void **state) {
  (void)state;
  output o;
  corun_options options = {0};
  corun_runtime *rt = make_with(&options, &o);
  assert_int_equal(CORUN_EXITED, run(rt, "corun = require 'corun' corun.exit(7)"));
  assert_int_equal(7, corun_exitcode(rt));
  assert_string_equal("", corun_error(rt));
  assert_int_equal(CORUN_DEADLOCK, run(rt, "corun.channel():recv()"));
  assert_string_equal("deadlock: no task could ever run again", corun_error(rt));
  assert_non_null(strstr(o.err.text, "corun: deadlock"));
  assert_int_equal(0, corun_exitcode(rt));
  fail_code(rt, "return nil, 'soft'", "soft");
  do_code(rt, "corun.sleep(0.001)");
  close_runtime(rt);
  options.timeout = 0.05;
  rt = make_with(&options, &o);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(CORUN_TIMEOUT, run(rt, "require('corun').sleep(60)"));
    assert_string_equal("the timeout of the options has passed", corun_error(rt));
  }
  close_runtime(rt);
}

static void an_error_is_told_with_all_that_belongs_to_it(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  fail_code(rt, "local function inner() error('boom') end\ninner()",
            "code:1: boom\nstack traceback:\n\t[C]: in function 'error'\n\tcode:1: in ");
  assert_true(corun_error(rt)[strlen(corun_error(rt)) - 1] != '\n');
  fail_code(rt,
            "local corun = require 'corun'\n"
            "error(corun.err('EOUTER', 'outer', {cause = corun.err('EINNER', 'inner')}))",
            "outer (EOUTER)");
  assert_non_null(strstr(corun_error(rt), "\ncaused by: inner (EINNER)"));
  fail_code(rt, "error({})", "(error object is a table value)");
  fail_code(rt, "error(nil)", "(error object is a nil value)");
  fail_code(rt, "error(setmetatable({}, {__tostring = function() return 'told' end}))", "told");
  fail_code(rt, "x =", "code:1: unexpected symbol near <eof>");
  assert_string_equal("", o.out.text);
  assert_string_equal("", o.err.text);
  close_runtime(rt);
}

// --- Output ------------------------------------------------------------------------------------

static void output_goes_to_the_host(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  do_code(rt,
          "local corun = require 'corun'\n"
          "print('print', 1, nil)\n"
          "io.write('write ')\n"
          "io.stdout:write('stdout ')\n"
          "corun.stdout:write('stream\\n')\n"
          "assert(not io.stdout:close())\n"
          "io.write('no end')");
  assert_string_equal("print\t1\tnil\nwrite stdout stream\nno end", o.out.text);
  assert_string_equal("", o.err.text);
  do_code(rt,
          "local corun = require 'corun'\n"
          "io.stderr:write('a ')\n"
          "corun.stderr:write('b ')\n"
          "warn('c')\n"
          "setmetatable({}, {__gc = function() error('d', 0) end})\n"
          "collectgarbage()\n"
          "assert(not require('corun.tty').is('stdout') or true)\n"
          "require('corun.log').warn('e')");
  assert_memory_equal("a b Lua warning: c\nLua warning: error in __gc", o.err.text, 44);
  assert_non_null(strstr(o.err.text, " e\n"));
  close_runtime(rt);
}

static void much_output_arrives_in_order(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  do_code(rt,
          "local corun = require 'corun'\n"
          "io.write(('x'):rep(1000))\n"
          "assert(corun.stdout:write(('y'):rep(3000)))\n"
          "assert(corun.stdout:close())\n"
          "io.write(('z'):rep(2000))");
  assert_int_equal(6000, o.out.n);
  for (int i = 0; i < 6000; i++)
    assert_int_equal(i < 1000 ? 'x' : i < 4000 ? 'y' : 'z', o.out.text[i]);
  close_runtime(rt);
}

static void workers_write_to_the_host_too(void **state) {
  (void)state;
  output o;
  corun_runtime *rt = make(&o);
  do_code(rt,
          "local pool = require 'corun.pool'\n"
          "pool.map({1, 2, 3, 4, 5, 6, 7, 8}, function(i) print('job') io.stderr:write('e') end)");
  assert_int_equal(8 * 4, o.out.n);
  assert_int_equal(8, o.err.n);
  close_runtime(rt);
}

// --- Options and memory --------------------------------------------------------------------------

static int new_with(size_t size, const void *options) {
  corun_runtime *rt = (corun_runtime *)(uintptr_t)1;
  corun_options o;
  memcpy(&o, options, sizeof o);
  o.size = size;
  int rc = corun_new(&rt, &o);
  if (rc < 0) assert_null(rt);
  if (rc == 0) assert_int_equal(0, corun_close(rt));
  return rc;
}

static void wrong_options_are_refused(void **state) {
  (void)state;
  corun_options o = {0};
  corun_runtime *rt;
  assert_int_equal(-EINVAL, corun_new(&rt, NULL));
  assert_null(rt);
  assert_int_equal(0, new_with(sizeof o, &o));
  assert_int_equal(-EINVAL, new_with(0, &o));
  assert_int_equal(-EINVAL, new_with(sizeof o - sizeof(void *), &o));
  o.signals = 4;
  assert_int_equal(-EINVAL, new_with(sizeof o, &o));
  o.signals = 0;
  o.timeout = -1;
  assert_int_equal(-EINVAL, new_with(sizeof o, &o));
}

static void later_options_are_refused_when_they_are_set(void **state) {
  (void)state;
  struct {
    corun_options o;
    long later;
  } longer = {{.size = sizeof longer}, 0};
  corun_runtime *rt;
  assert_int_equal(0, corun_new(&rt, &longer.o));
  close_runtime(rt);
  longer.later = 1;
  assert_int_equal(-E2BIG, corun_new(&rt, &longer.o));
  assert_null(rt);
}

static void a_lack_of_descriptors_is_an_error(void **state) {
  (void)state;
  struct rlimit before, few;
  corun_options o = {.size = sizeof o};
  corun_runtime *rt;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
  few = before;
  few.rlim_cur = 4;
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &few));
  int rc = corun_new(&rt, &o);
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
  assert_int_equal(-EMFILE, rc);
}

static void memory_has_a_limit(void **state) {
  (void)state;
  output o;
  corun_options options = {.memory = 4 << 20};
  corun_runtime *rt = make_with(&options, &o);
  for (int i = 0; i < 3; i++) {
    fail_code(rt, "local t = {} for i = 1, 1e9 do t[i] = {} end", "not enough memory");
    fail_code(rt, "return ('x'):rep(1 << 24)", "not enough memory");
    do_code(rt,
            "local corun = require 'corun' corun.sleep(0) assert(#('x'):rep(1 << 20) == 1 << 20)");
  }
  close_runtime(rt);
  options.memory = 1000;
  assert_int_equal(-ENOMEM, corun_new(&rt, &options));
}

typedef struct heap {
  size_t held, calls;
  size_t fail, more;  // the call that fails first, 0 for none, and how many after it
} heap;

static void *allocate(void *ud, void *p, size_t old_size, size_t size) {
  heap *h = ud;
  if (!p) old_size = 0;
  if (!size) {
    free(p);
    h->held -= old_size;
    return NULL;
  }
  if (size > old_size && ++h->calls >= h->fail && h->fail && h->calls - h->fail <= h->more)
    return NULL;
  void *q = realloc(p, size);
  if (q) h->held += size - old_size;
  return q;
}

static void memory_comes_from_the_host(void **state) {
  (void)state;
  output o;
  heap h = {0};
  corun_options options = {.alloc = allocate, .alloc_ud = &h};
  corun_runtime *rt = make_with(&options, &o);
  assert_true(h.held > 10000);
  do_code(rt, "big = ('x'):rep(1 << 20) collectgarbage()");
  size_t before = h.held;
  do_code(rt, "big = nil collectgarbage()");
  assert_true(h.held <= before - (1 << 20));
  do_code(rt,
          "assert(require('corun.pool').run(function() return 1 end) == 1)\n"
          "require('corun.pool').close()");
  close_runtime(rt);
  assert_int_equal(0, h.held);
}

static void memory_that_is_refused_leaves_nothing_behind(void **state) {
  (void)state;
  heap h = {0};
  corun_options options = {.size = sizeof options, .alloc = allocate, .alloc_ud = &h};
  corun_runtime *rt;
  assert_int_equal(0, corun_new(&rt, &options));
  size_t calls = h.calls;
  close_runtime(rt);
  for (size_t i = 1; i < calls; i += 1 + calls / 40) {
    h = (heap){.fail = i};
    int rc = corun_new(&rt, &options);  // Lua asks once more after a collection
    if (rc == 0) close_runtime(rt);
    assert_true(rc == 0 || rc == -ENOMEM);
    assert_int_equal(0, h.held);
  }
}

static void a_lack_of_memory_is_over_with_the_script(void **state) {
  (void)state;
  static const char code[] = "require('corun').sleep(0) require 'corun.json'";
  output o;
  int has_failed = 1;
  for (size_t i = 1; has_failed; i += 3) {
    heap h = {0};
    corun_options options = {.alloc = allocate, .alloc_ud = &h};
    corun_runtime *rt = make_with(&options, &o);
    h = (heap){.held = h.held, .fail = i, .more = SIZE_MAX};
    has_failed = run(rt, code) == CORUN_FAILED;
    if (has_failed) assert_non_null(strstr(corun_error(rt), "not enough memory"));
    h.fail = 0;
    do_code(rt, code);
    close_runtime(rt);
    assert_int_equal(0, h.held);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(scripts_run_one_after_the_other),
    cmocka_unit_test(a_file_is_run),
    cmocka_unit_test(code_has_a_name_and_a_length),
    cmocka_unit_test(arguments_are_those_of_argv),
    cmocka_unit_test(each_end_has_a_status),
    cmocka_unit_test(an_error_is_told_with_all_that_belongs_to_it),
    cmocka_unit_test(output_goes_to_the_host),
    cmocka_unit_test(much_output_arrives_in_order),
    cmocka_unit_test(workers_write_to_the_host_too),
    cmocka_unit_test(wrong_options_are_refused),
    cmocka_unit_test(later_options_are_refused_when_they_are_set),
    cmocka_unit_test(a_lack_of_descriptors_is_an_error),
    cmocka_unit_test(memory_has_a_limit),
    cmocka_unit_test(memory_comes_from_the_host),
    cmocka_unit_test(memory_that_is_refused_leaves_nothing_behind),
    cmocka_unit_test(a_lack_of_memory_is_over_with_the_script),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
