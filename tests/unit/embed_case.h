// SPDX-License-Identifier: MIT
// What the tests of embedding share: a runtime with its output kept, running code in it. They see
// corun.h alone, as any host does.
#ifndef EMBED_CASE_H
#define EMBED_CASE_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <corun.h>
#include <stdio.h>
#include <string.h>

#define UNUSED __attribute__((unused))

typedef struct kept {
  char text[8192];
  size_t n;
} kept;

typedef struct output {
  kept out, err;
} output;

static void keep(kept *k, const char *bytes, size_t n) {
  if (n > sizeof k->text - 1 - k->n) n = sizeof k->text - 1 - k->n;
  memcpy(k->text + k->n, bytes, n);
  k->n += n;
  k->text[k->n] = 0;
}

static UNUSED void take_out(void *ud, const char *bytes, size_t n) {
  keep(&((output *)ud)->out, bytes, n);
}

static UNUSED void take_err(void *ud, const char *bytes, size_t n) {
  keep(&((output *)ud)->err, bytes, n);
}

// A runtime with these options, whose output is kept in `to`.
static UNUSED corun_runtime *make_with(corun_options *o, output *to) {
  corun_runtime *rt;
  memset(to, 0, sizeof *to);
  o->size = sizeof *o;
  o->out = take_out;
  o->err = take_err;
  o->write_ud = to;
  assert_int_equal(0, corun_new(&rt, o));
  assert_non_null(rt);
  return rt;
}

static UNUSED corun_runtime *make(output *to) {
  corun_options o = {0};
  return make_with(&o, to);
}

// For threads too: no assertions of cmocka's.
static UNUSED corun_runtime *make_bare(void) {
  corun_options o = {.size = sizeof o};
  corun_runtime *rt;
  return corun_new(&rt, &o) == 0 ? rt : NULL;
}

static UNUSED corun_status run(corun_runtime *rt, const char *code) {
  return corun_run_string(rt, code, strlen(code), "=code");
}

// Run code that must end well.
static UNUSED void do_code(corun_runtime *rt, const char *code) {
  corun_status status = run(rt, code);
  assert_string_equal("", corun_error(rt));
  assert_int_equal(CORUN_DONE, status);
}

// Run code that must fail with a text that begins so.
static UNUSED void fail_code(corun_runtime *rt, const char *code, const char *begin) {
  assert_int_equal(CORUN_FAILED, run(rt, code));
  if (strncmp(corun_error(rt), begin, strlen(begin)) != 0)
    assert_string_equal(begin, corun_error(rt));
}

// Start code without running it.
static UNUSED void start_code(corun_runtime *rt, const char *code) {
  lua_State *L = corun_state(rt);
  assert_int_equal(LUA_OK, luaL_loadbuffer(L, code, strlen(code), "=code"));
  assert_int_equal(CORUN_RUNNING, corun_start(rt, 0));
}

static UNUSED void set_function(corun_runtime *rt, const char *name, lua_CFunction fn) {
  lua_register(corun_state(rt), name, fn);
}

static UNUSED void close_runtime(corun_runtime *rt) {
  assert_int_equal(0, corun_close(rt));
}

#endif
