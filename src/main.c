// SPDX-License-Identifier: MIT
// The program `corun`: arguments -> runtime -> exit status. Owns the table of modules. Runs on the
// main thread; nothing below it calls exit on input.
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/modules.h"
#include "core/mods.h"
#include "core/runtime.h"
#include "core/trace.h"
#include "data/mods.h"

#ifndef CORUN_VERSION
#define CORUN_VERSION "0.1.0"
#endif

enum { EXIT_USAGE = 2, EXIT_DEADLOCK = 13, EXIT_TIMEOUT = 124, EXIT_INTERNAL = 70 };

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.debug", luaopen_corun_debug},
                                   {"corun.json", luaopen_corun_json},
                                   {"cjson", luaopen_cjson},
                                   {NULL, NULL}};

static const char usage[] =
    "usage: corun [options] script.lua [args]\n"
    "       corun [options] test [busted options] [files]\n"
    "\n"
    "  script.lua     the script to run; - reads it from standard input\n"
    "  run SCRIPT     the same, for a script that is named like a subcommand\n"
    "  test           run busted specs inside the runtime\n"
    "\n"
    "  -e CODE        run CODE (before the script, if there is one)\n"
    "  -l MODULE      require MODULE into a global of its name\n"
    "  --timeout S    cancel everything after S seconds and exit with 124\n"
    "  --grace S      seconds that cleanup may take at exit (5)\n"
    "  --dev          warn about slow steps and guards left to the collector\n"
    "  --stats        print counts and memory to standard error at the end\n"
    "  -v, --version  print the version\n"
    "  -h, --help     print this text\n"
    "  --             end of options\n";

typedef struct options {
  double timeout;
  int stats, is_test;
  int first; // index of the first -e or -l in argv
  int script; // index of the script in argv, argc when there is none
  rt_options rt;
} options;

static int complain(const char *fmt, const char *what) {
  fprintf(stderr, "corun: ");
  fprintf(stderr, fmt, what);
  fprintf(stderr, "\nTry 'corun --help'.\n");
  return EXIT_USAGE;
}

static int read_seconds(const char *text, double *out) {
  char *end;
  *out = strtod(text, &end);
  return *text && !*end && *out >= 0;
}

// The value of option `name` at argv[*i], given as "--name=V" or in the next argument; NULL when
// argv[*i] is something else or the value is missing.
static const char *value_of(char **argv, int *i, const char *name) {
  size_t n = strlen(name);
  if (strncmp(argv[*i], name, n) != 0) return NULL;
  if (argv[*i][n] == '=') return argv[*i] + n + 1;
  if (argv[*i][n] || !argv[*i + 1]) return NULL;
  return argv[++*i];
}

// Parse the options before the script. Answers -1 to go on, else the exit status.
static int parse(char **argv, options *o) {
  int i = 1;
  for (; argv[i] && argv[i][0] == '-' && argv[i][1]; i++) {
    const char *a = argv[i], *v;
    if (strcmp(a, "--") == 0) {
      i++;
      break;
    }
    if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0) {
      fputs(usage, stdout);
      return 0;
    }
    if (strcmp(a, "-v") == 0 || strcmp(a, "--version") == 0) {
      printf("corun %s (%s, libuv %s)\n", CORUN_VERSION, LUA_RELEASE, uv_version_string());
      return 0;
    }
    if (strcmp(a, "--dev") == 0) {
      o->rt.dev = 1;
    } else if (strcmp(a, "--stats") == 0) {
      o->stats = 1;
    } else if (a[1] == 'e' || a[1] == 'l') {
      if (!o->first) o->first = i;
      if (!a[2] && !argv[++i]) return complain("option %s needs an argument", a);
    } else if ((v = value_of(argv, &i, "--timeout"))) {
      if (!read_seconds(v, &o->timeout)) return complain("--timeout needs seconds, got '%s'", v);
    } else if ((v = value_of(argv, &i, "--grace"))) {
      if (!read_seconds(v, &o->rt.grace)) return complain("--grace needs seconds, got '%s'", v);
    } else {
      return complain("unknown option '%s'", a);
    }
  }
  o->script = i;
  if (!argv[i]) return o->first ? -1 : complain("%s", "no script given");
  if (strcmp(argv[i], "test") == 0) {
    o->is_test = 1;
  } else if (strcmp(argv[i], "run") == 0) {
    o->script++;
    if (!argv[i + 1]) return complain("%s", "no script given");
  }
  return -1;
}

// --- The root task's function ----------------------------------------------------------------

// Fill `arg` as lua(1) does: the script at 0, its arguments after it, what stands before it below.
static void set_arg(lua_State *L, char **argv, int script) {
  lua_newtable(L);
  for (int i = 0; argv[i]; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - (argv[script] ? script : 0));
  }
  lua_setglobal(L, "arg");
}

static void load_code(lua_State *L, const char *code) {
  if (luaL_loadbuffer(L, code, strlen(code), "=(command line)") != LUA_OK) lua_error(L);
}

// Push a function that requires the module into a global of its name.
static void load_module(lua_State *L, const char *name) {
  load_code(L, "local name = ...\nreturn function() _G[name] = require(name) end");
  lua_pushstring(L, name);
  lua_call(L, 1, 1);
}

// Push the functions to run, each followed by its arguments' number; answer how many.
static int l_load(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  const options *o = lua_touserdata(L, 2);
  lua_settop(L, 0);
  set_arg(L, argv, o->script);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "corun.require");
  lua_call(L, 1, 1);
  lua_setglobal(L, "require");
  lua_newtable(L);
  lua_Integer n = 0;
  for (int i = o->first; i && i < o->script && argv[i]; i++) {
    const char *a = argv[i];
    if (a[0] != '-' || (a[1] != 'e' && a[1] != 'l')) continue;
    const char *v = a[2] ? a + 2 : argv[++i];
    if (a[1] == 'e')
      load_code(L, v);
    else
      load_module(L, v);
    lua_rawseti(L, 1, ++n);
  }
  if (o->is_test) {
    load_code(L, "return require('corun.test')(...)");
    lua_rawseti(L, 1, ++n);
  } else if (argv[o->script]) {
    const char *file = strcmp(argv[o->script], "-") == 0 ? NULL : argv[o->script];
    if (luaL_loadfile(L, file) != LUA_OK) lua_error(L);
    lua_rawseti(L, 1, ++n);
  }
  if (n == 1) {
    lua_rawgeti(L, 1, 1);
    return 1;
  }
  load_code(L, "local list = ...\n"
               "return function(...)\n"
               "  for i = 1, #list - 1 do list[i]() end\n"
               "  return list[#list](...)\n"
               "end");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

// --- Ending ----------------------------------------------------------------------------------

// Print the error on top of the main state's stack with its traceback.
static int l_report(lua_State *L) {
  const char *text = luaL_tolstring(L, 1, NULL);
  if (lua_isnil(L, 1)) text = "nil";
  fprintf(stderr, "corun: %s\n", text);
  trace_push(L, 1);
  if (lua_isstring(L, -1)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  if (lua_istable(L, 1) && err_is(L, 1) && lua_getfield(L, 1, "others") == LUA_TTABLE) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n && i <= 10; i++) {
      lua_rawgeti(L, -1, i);
      fprintf(stderr, "also: %s\n", luaL_tolstring(L, -1, NULL));
      lua_pop(L, 2);
    }
    if (n > 10) fprintf(stderr, "and %d more\n", (int)n - 10);
  }
  return 0;
}

static void report(lua_State *L) {
  lua_pushcfunction(L, l_report);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) fprintf(stderr, "corun: not enough memory\n");
}

static void print_stats(rt *r) {
  fprintf(stderr, "corun: %llu tasks, %llu steps, %llu polls, %.1f MB Lua memory, %.3f s\n",
          (unsigned long long)r->stats.spawned, (unsigned long long)r->stats.steps,
          (unsigned long long)r->stats.polls, (double)r->alloc.held / 1e6,
          (double)(uv_hrtime() - r->started) / 1e9);
}

static int run(rt *r, char **argv, options *o) {
  lua_State *L = r->L;
  modules_open(L, modules);
  lua_pushcfunction(L, l_load);
  lua_pushlightuserdata(L, argv);
  lua_pushlightuserdata(L, o);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
    report(L);
    return argv[o->script] && access(argv[o->script], R_OK) < 0 && strcmp(argv[o->script], "-")
               ? EXIT_USAGE
               : EXIT_FAILURE;
  }
  int nargs = 0;
  for (char **a = argv + o->script; *a && *++a; nargs++) {
    luaL_checkstack(L, 2, "too many arguments");
    lua_pushstring(L, *a);
  }
  if (o->timeout < HUGE_VAL) rt_limit(r, o->timeout);
  int status = rt_run(r, nargs);
  if (status != LUA_OK) report(L);
  if (r->deadlocked) return EXIT_DEADLOCK;
  if (r->timed_out) {
    fprintf(stderr, "corun: timeout: %g s passed\n", o->timeout);
    return EXIT_TIMEOUT;
  }
  if (status != LUA_OK) return EXIT_FAILURE;
  return r->exit_code >= 0 ? r->exit_code : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
  options o = {.timeout = HUGE_VAL, .script = argc, .rt = {.grace = 5, .own_signals = 1}};
  int status = parse(argv, &o);
  if (status >= 0) return status;
  const char *seed = getenv("CORUN_SEED"), *fail = getenv("CORUN_FAIL_ALLOC");
  if (seed) o.rt.seed = strtoull(seed, NULL, 10);
  if (fail) o.rt.fail_alloc = strtoull(fail, NULL, 10);
  signal(SIGPIPE, SIG_IGN);
  rt *r = rt_new(&o.rt);
  if (!r) {
    fprintf(stderr, "corun: cannot start: out of memory or descriptors\n");
    return EXIT_INTERNAL;
  }
  status = run(r, argv, &o);
  if (o.stats) print_stats(r);
  int stopped_by = r->stopped_by;
  rt_close(r);
  if (stopped_by) host_die(stopped_by);
  return status;
}
