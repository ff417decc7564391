// SPDX-License-Identifier: MIT
// The smallest extension: one function that works on a thread, one that waits for a descriptor, one
// that a thread of its own wakes. docs/extending.md explains it line by line.
#include <corun.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

// --- shout(text): the text in upper case, made by one of corun's threads -----------------------

typedef struct shout {
  const char *text;  // the argument, which stays on the caller's stack
  size_t n;
  char *loud;
} shout;

static int shout_run(void *op) {
  shout *s = op;
  s->loud = malloc(s->n + 1);
  if (!s->loud) return -ENOMEM;
  for (size_t i = 0; i < s->n; i++) s->loud[i] = (char)toupper((unsigned char)s->text[i]);
  return 0;
}

static int shout_done(lua_State *L, void *op, int rc) {
  shout *s = op;
  if (rc < 0) return corun_pusherror(L, rc, "shout", NULL);
  lua_pushlstring(L, s->loud, s->n);
  return 1;
}

static void shout_drop(void *op) {
  shout *s = op;
  free(s->loud);
}

static const corun_optype shout_type = {
  .name = "shout", .run = shout_run, .done = shout_done, .drop = shout_drop};

static int l_shout(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  shout *s = corun_newop(L, &shout_type, sizeof *s);
  s->text = text;
  s->n = n;
  return corun_await(L, s);
}

// --- line(): what comes next on standard input -------------------------------------------------

static int read_some(lua_State *L, void *arg, int rc) {
  char text[256];
  (void)arg;
  ssize_t n = rc < 0 ? 0 : read(STDIN_FILENO, text, sizeof text);
  if (n < 0) rc = -errno;
  if (rc < 0) return corun_pusherror(L, rc, "line", "standard input");
  lua_pushlstring(L, text, (size_t)n);
  return 1;
}

static int l_line(lua_State *L) {
  double timeout = luaL_optnumber(L, 1, -1);
  return corun_await_fdk(L, STDIN_FILENO, CORUN_READABLE, timeout, NULL, read_some);
}

// --- alarm(seconds): seconds later, told by a thread that is none of corun's --------------------

typedef struct alarm_op {
  unsigned seconds;
} alarm_op;

static void *ring(void *op) {
  alarm_op *a = op;
  sleep(a->seconds);
  corun_wake(a, 0);
  return NULL;
}

static const corun_optype alarm_type = {.name = "alarm"};

static int l_alarm(lua_State *L) {
  lua_Integer seconds = luaL_checkinteger(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds <= 60, 1, "0 to 60 seconds expected");
  pthread_t thread;
  alarm_op *a = corun_newop(L, &alarm_type, sizeof *a);
  a->seconds = (unsigned)seconds;
  int rc = pthread_create(&thread, NULL, ring, a);
  if (rc == 0)
    pthread_detach(thread);
  else
    corun_wake(a, -rc);
  return corun_await(L, a);
}

int luaopen_hello(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"shout", l_shout}, {"line", l_line}, {"alarm", l_alarm}, {NULL, NULL}};
  corun_checkabi(L);
  luaL_newlib(L, functions);
  return 1;
}
