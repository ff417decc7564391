// SPDX-License-Identifier: MIT
// The program `corun`: arguments -> runtime -> exit status. Owns the process: nothing below it
// calls exit on input. Runs on the main thread. Invariant: Lua is entered through lua_pcall or
// rt_run alone, so that every failure ends as a report and a status.
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "core/bundle.h"
#include "core/error.h"
#include "core/host.h"
#include "core/job.h"
#include "core/modules.h"
#include "core/program.h"
#include "core/runtime.h"
#include "embed/builtin.h"
#include "embed/report.h"

// How process_child.lua starts a worker: by this name, with the pool's name after this option.
#define WORKER_NAME "corun worker"
#define WORKER "--worker="

enum { EXIT_USAGE = 2, EXIT_DEADLOCK = 13, EXIT_INTERNAL = 70, EXIT_TIMEOUT = 124 };

static const char usage[] =
  "usage: corun [options] script.lua [args]\n"
  "       corun [options] test [busted options] [files]\n"
  "       corun build [-o APP] script.lua\n"
  "       corun new ext NAME [FOLDER]\n"
  "\n"
  "  script.lua     the script to run; - reads it from standard input\n"
  "  run SCRIPT     the same, for a script that is named like a subcommand\n"
  "  test           run busted specs inside the runtime (tests/spec if none are given)\n"
  "  build SCRIPT   make one executable of a script and the modules that it requires\n"
  "  new ext NAME   begin an extension in C: a folder that builds and tests itself\n"
  "\n"
  "  -e CODE        run CODE (before the script, if there is one)\n"
  "  -l MODULE      require MODULE into a global of its name; -l NAME=MODULE into NAME\n"
  "  --timeout S    cancel everything after S seconds and exit with 124\n"
  "  --grace S      seconds that cleanup may take at exit (5)\n"
  "  --threads N    workers of a pool or a server for which no number is given (as many as cores)\n"
  "  --dev          warn about slow steps and guards left to the collector\n"
  "  --stats        print counts and memory to standard error at the end\n"
  "  -v, --version  print the version\n"
  "  -h, --help     print this text\n"
  "  --             end of options\n";

static const char *const long_options[] = {"--timeout", "--grace",   "--threads", "--dev",
                                           "--stats",   "--version", "--help",    NULL};

// Those whose function is that of the module corun.NAME.
static const char *const commands[] = {"test", "build", "new", NULL};

typedef struct options {
  char **argv;
  double timeout;
  int stats;
  const char *command;  // a subcommand that is a module of Lua, NULL for none
  int is_worker;        // of a pool of processes, whose socket is standard input
  int script;           // index of the script in argv, of the end when there is none
  int preludes;         // number of -e and -l
  int no_script;        // the script's file cannot be read
  rt_options rt;
} options;

// --- The command line ------------------------------------------------------------------------

static int refuse(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fputs("corun: ", stderr);
  vfprintf(stderr, fmt, args);
  va_end(args);
  fputs("\nTry 'corun --help'.\n", stderr);
  return EXIT_USAGE;
}

// Refuse an option; name the one that begins like it, if any.
static int refuse_option(const char *text) {
  const char *near = NULL;
  size_t longest = strlen("--xy");
  for (const char *const *o = long_options; *o; o++) {
    size_t n = 0;
    while (text[n] && text[n] == (*o)[n]) n++;
    if (n < longest) continue;
    longest = n + 1;
    near = *o;
  }
  if (near) return refuse("unknown option '%s' (did you mean '%s'?)", text, near);
  return refuse("unknown option '%s'", text);
}

// Take a number from `least` to `most`, from "--name=N" or the next argument; messages call it
// `what`. Answers -1 when argv[*i] is another option, 0 when it was taken, else the exit status.
static int take_number(char **argv, int *i, const char *name, const char *what, double least,
                       double most, double *out) {
  size_t n = strlen(name);
  const char *text = argv[*i];
  if (strncmp(text, name, n) != 0 || (text[n] && text[n] != '=')) return -1;
  text = text[n] ? text + n + 1 : argv[++*i];
  if (!text) return refuse("option '%s' needs %s", name, what);
  char *end;
  *out = strtod(text, &end);
  if (*text && !*end && *out >= least && *out <= most) return 0;
  return refuse("option '%s' needs %s, got '%s'", name, what, text);
}

static int take_seconds(char **argv, int *i, const char *name, double *out) {
  return take_number(argv, i, name, "a number of seconds", 0, HUGE_VAL, out);
}

static int take_threads(char **argv, int *i, unsigned *out) {
  double n = 0;
  int status = take_number(argv, i, "--threads", "a number from 1 to 1024", 1, 1024, &n);
  if (status == 0 && n != (unsigned)n)
    return refuse("option '--threads' needs a number from 1 to 1024, got '%g'", n);
  if (status == 0) *out = (unsigned)n;
  return status;
}

// Take the option at argv[*i]. Answers 0 when it was taken, else the exit status.
static int take_option(char **argv, int *i, options *o) {
  const char *a = argv[*i];
  if (a[1] == 'e' || a[1] == 'l') {
    o->preludes++;
    if (!a[2] && !argv[++*i]) return refuse("option '%s' needs an argument", a);
    return 0;
  }
  int *flag = strcmp(a, "--dev") == 0 ? &o->rt.dev : strcmp(a, "--stats") == 0 ? &o->stats : NULL;
  if (flag) {
    *flag = 1;
    return 0;
  }
  if (strncmp(a, WORKER, strlen(WORKER)) == 0) {
    o->is_worker = 1;
    return 0;
  }
  int status = take_seconds(argv, i, "--timeout", &o->timeout);
  if (status < 0) status = take_seconds(argv, i, "--grace", &o->rt.grace);
  if (status < 0) status = take_threads(argv, i, &o->rt.threads);
  return status < 0 ? refuse_option(a) : status;
}

// Read the options before the script. Answers -1 to go on, else the exit status.
static int parse(char **argv, options *o) {
  int i = 1;
  for (; argv[i] && argv[i][0] == '-' && argv[i][1]; i++) {
    const char *a = argv[i];
    if (strcmp(a, "--") == 0) {
      i++;
      break;
    }
    if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0) {
      fputs(usage, stdout);
      return EXIT_SUCCESS;
    }
    if (strcmp(a, "-v") == 0 || strcmp(a, "--version") == 0) {
      printf("corun %s (%s, libuv %s)\n", CORUN_VERSION, LUA_RELEASE, uv_version_string());
      return EXIT_SUCCESS;
    }
    int status = take_option(argv, &i, o);
    if (status) return status;
  }
  for (const char *const *c = commands; argv[i] && *c; c++)
    if (strcmp(argv[i], *c) == 0) o->command = *c;
  if (argv[i] && strcmp(argv[i], "run") == 0) i++;
  o->script = i;
  if (o->is_worker || argv[i] || (o->preludes && strcmp(argv[i - 1], "run") != 0)) return -1;
  fputs(usage, stderr);
  return EXIT_USAGE;
}

// In a program made by `corun build` all arguments are the script's, but those of a worker. Answers
// -1 to go on, else the exit status.
static int parse_own(bundle *own, options *o) {
  const char *why = bundle_map(own);
  if (why) {
    fprintf(stderr, "corun: cannot read the script in this program: %s\n", why);
    return EXIT_INTERNAL;
  }
  o->rt.bundle = own;
  return strcmp(o->argv[0], WORKER_NAME) == 0 ? parse(o->argv, o) : -1;
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

static void load_code(lua_State *L, const char *code, const char *name) {
  if (luaL_loadbuffer(L, code, strlen(code), name) != LUA_OK) lua_error(L);
}

// Push a chunk that requires a module into a global: "module" or "global=module".
static void load_module(lua_State *L, const char *text) {
  const char *equal = strchr(text, '=');
  lua_getglobal(L, "string");
  lua_getfield(L, -1, "format");
  lua_pushliteral(L, "_G[%q] = require(%q)");
  lua_pushlstring(L, text, equal ? (size_t)(equal - text) : strlen(text));
  lua_pushstring(L, equal ? equal + 1 : text);
  lua_call(L, 3, 1);
  load_code(L, lua_tostring(L, -1), "=(command line)");
  lua_replace(L, -3);
  lua_pop(L, 1);
}

// Store the functions of -e and -l into the table at index 1.
static void load_preludes(lua_State *L, const options *o) {
  char **argv = o->argv;
  lua_Integer n = 0;
  for (int i = 1; n < o->preludes; i++) {
    const char *a = argv[i];
    if (strcmp(a, "--timeout") == 0 || strcmp(a, "--grace") == 0 || strcmp(a, "--threads") == 0)
      i++;
    if (a[1] != 'e' && a[1] != 'l') continue;
    const char *text = a[2] ? a + 2 : argv[++i];
    if (a[1] == 'e')
      load_code(L, text, "=(command line)");
    else
      load_module(L, text);
    lua_rawseti(L, 1, ++n);
  }
}

// Push the function of the script, or of a subcommand; answer whether there is one.
static int load_script(lua_State *L, options *o) {
  const char *name = o->argv[o->script];
  if (o->is_worker) {
    load_code(L, "return require('corun.process_worker')(...)", "=[corun main]");
    return 1;
  }
  if (o->rt.bundle) return modules_push_appended(L, "");
  if (!name) return 0;
  if (o->command) {
    const char *code = lua_pushfstring(L, "return require('corun.%s')(...)", o->command);
    load_code(L, code, "=[corun main]");
    lua_remove(L, -2);
    return 1;
  }
  int status = luaL_loadfile(L, strcmp(name, "-") == 0 ? NULL : name);
  o->no_script = status == LUA_ERRFILE;
  if (status != LUA_OK) lua_error(L);
  return 1;
}

// options -> the root task's function and its arguments.
static int l_load(lua_State *L) {
  options *o = lua_touserdata(L, 1);
  lua_settop(L, 0);
  builtin_open(L);
  program_add_trees(L);
  set_arg(L, o->argv, o->script);
  lua_newtable(L);
  load_preludes(L, o);
  if (load_script(L, o)) lua_rawseti(L, 1, o->preludes + 1);
  if (lua_rawlen(L, 1) == 1) {
    lua_rawgeti(L, 1, 1);
  } else {
    load_code(L,
              "local list = ... return function(...)\n"
              "  for i = 1, #list - 1 do local chunk = list[i] chunk() end\n"
              "  return list[#list](...)\n"
              "end",
              "=[corun main]");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
  }
  for (char **a = o->argv + o->script; *a && *++a;) {
    luaL_checkstack(L, 1, "too many arguments");
    lua_pushstring(L, *a);
  }
  return lua_gettop(L) - 1;
}

// --- The end ---------------------------------------------------------------------------------

// Print the error on top of the main state's stack, and pop it.
static void report(lua_State *L) {
  fflush(stdout);
  report_write(L, stderr, "corun: ");
}

// Say whether the error on top of the stack is that whoever read standard output has gone, which
// ends the program without a word, also when it was faster than the cancellation.
static int is_end_of_output(lua_State *L) {
  if (host_signal() != SIGPIPE || !err_is(L, -1)) return 0;
  lua_getfield(L, -1, "code");
  const char *code = lua_tostring(L, -1);
  int is_pipe = code && strcmp(code, "EPIPE") == 0;
  lua_pop(L, 1);
  return is_pipe;
}

static void print_stats(rt *r) {
  fprintf(stderr, "corun: %llu task%s, %llu steps, %llu polls, %.1f MB Lua memory, %.3f s\n",
          (unsigned long long)r->stats.spawned, r->stats.spawned == 1 ? "" : "s",
          (unsigned long long)r->stats.steps, (unsigned long long)r->stats.polls,
          (double)r->alloc.held / 1e6, (double)(uv_hrtime() - r->started) / 1e9);
}

static int on_panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  fprintf(stderr, "corun: internal fault: %s\n", text ? text : "error object is not a string");
  host_restore_tty();
  _exit(EXIT_INTERNAL);
}

// Run what the options say; answer the exit status.
static int run(rt *r, options *o) {
  lua_State *L = r->L;
  lua_atpanic(L, on_panic);
  lua_pushcfunction(L, l_load);
  lua_pushlightuserdata(L, o);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) {
    report(L);
    return o->no_script ? EXIT_USAGE : EXIT_FAILURE;
  }
  if (o->timeout < HUGE_VAL) rt_limit(r, o->timeout);
  int status = rt_run(r, lua_gettop(L) - 1);
  if (status != LUA_OK && is_end_of_output(L))
    r->stopped_by = SIGPIPE;
  else if (status != LUA_OK)
    report(L);
  if (r->deadlocked) return EXIT_DEADLOCK;
  if (r->timed_out) {
    fprintf(stderr, "corun: timeout: %g s passed\n", o->timeout);
    return EXIT_TIMEOUT;
  }
  if (status != LUA_OK) return EXIT_FAILURE;
  return r->exit_code >= 0 ? r->exit_code : EXIT_SUCCESS;
}

static void ignore_signal(int number) {
  (void)number;
}

// A write that finds no reader, or a file at its limit (ulimit -f), is an error of that write. The
// signals get a handler instead of SIG_IGN, which the programs that a script starts would inherit.
// A parent that ignores SIGCHLD passes that on: nothing could be said of how they ended.
static void set_signals(void) {
  struct sigaction sa = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
  sigemptyset(&sa.sa_mask);
  sigaction(SIGPIPE, &sa, NULL);
  sigaction(SIGXFSZ, &sa, NULL);
  signal(SIGCHLD, SIG_DFL);
}

// A worker is started as /proc/self/exe, by whose last part it would be listed.
static void set_name(void) {
#ifdef __linux__
  prctl(PR_SET_NAME, "corun");
#endif
}

// Without a descriptor 0, 1 or 2 the next file opened would become the script's input or output.
// What takes the place is open in the wrong direction, so that reading and writing still fail.
static void fill_standard_descriptors(void) {
  for (int fd = 0; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    int null = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (null >= 0 && null != fd) close(null);
  }
}

// A number from the environment, 0 when it is not set. Answers -1 when it is something else.
static int env_number(const char *name, uint64_t *out) {
  const char *text = getenv(name);
  char *end;
  *out = 0;
  if (!text || !*text) return 0;
  errno = 0;
  *out = strtoull(text, &end, 10);
  if (isdigit((unsigned char)*text) && !*end && !errno) return 0;
  refuse("%s must be a number, got '%s'", name, text);
  return -1;
}

// libuv aborts when it cannot make the few descriptors that it needs at first.
static int has_descriptors(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 16;
}

int main(int argc, char **argv) {
  options o = {.argv = argv, .timeout = HUGE_VAL, .rt = {.grace = 5, .own_signals = 1}};
  bundle own;
  if (argc < 1) return EXIT_USAGE;
  int status = bundle_slot_own()->at ? parse_own(&own, &o) : parse(argv, &o);
  if (status >= 0) return status;
  if (o.is_worker) set_name();
  fill_standard_descriptors();
  uint64_t fail_alloc;
  if (env_number("CORUN_SEED", &o.rt.seed) < 0 || env_number("CORUN_FAIL_ALLOC", &fail_alloc) < 0)
    return EXIT_USAGE;
  o.rt.fail_alloc = (size_t)fail_alloc;
  set_signals();
  host_raise_descriptors();
  rt *r = has_descriptors() ? rt_new(&o.rt, NULL) : NULL;
  if (!r) {
    fputs("corun: cannot start: out of memory or descriptors\n", stderr);
    return EXIT_INTERNAL;
  }
  status = run(r, &o);
  if (o.stats) print_stats(r);
  int stopped_by = r->stopped_by;
  double grace = o.rt.grace;
  int is_closed = rt_close(r, grace) == 0;
  if (!is_closed) job_print_all(r, stderr);
  if (!stopped_by && is_closed) return status;
  fflush(NULL);
  if (stopped_by) host_die(stopped_by);
  host_restore_tty();
  _exit(status);  // exit would wait for libuv's threads
}
