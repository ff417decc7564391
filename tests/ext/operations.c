// SPDX-License-Identifier: MIT
// An extension that sees corun.h alone: operations of all kinds and in all orders, waits for
// descriptors, and misuse, for tests/spec/ext_spec.lua. The test thread-counts and flags below are
// of the test: real extensions keep their state in their operations.
#define _GNU_SOURCE
#include <corun.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static atomic_int begun, dropped, told;  // operations that ran, were dropped, were asked to stop

static void pause_a_little(void) {
  const struct timespec t = {0, 1000000};
  nanosleep(&t, NULL);
}

// --- On a thread -----------------------------------------------------------------------------

typedef struct sum {
  const char *text;
  size_t n;
  long total;
} sum;

static int run_sum(void *op) {
  sum *s = op;
  atomic_fetch_add(&begun, 1);
  if (s->n == 0) return -EINVAL;
  for (size_t i = 0; i < s->n; i++) s->total += (unsigned char)s->text[i];
  return 0;
}

static int done_sum(lua_State *L, void *op, int rc) {
  sum *s = op;
  if (rc < 0) return corun_pusherror(L, rc, "sum", NULL);
  lua_pushinteger(L, (lua_Integer)s->total);
  return 1;
}

static void drop_any(void *op) {
  (void)op;
  atomic_fetch_add(&dropped, 1);
}

static int begin_sum(lua_State *L, const corun_optype *type) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  sum *s = corun_newop(L, type, sizeof *s);
  s->text = text;
  s->n = n;
  return corun_await(L, s);
}

static int l_sum(lua_State *L) {
  static const corun_optype type = {
    .name = "sum", .run = run_sum, .done = done_sum, .drop = drop_any};
  return begin_sum(L, &type);
}

// `true`, or nil and the error, without a `done`.
static int l_check(lua_State *L) {
  static const corun_optype type = {.name = "check", .run = run_sum, .drop = drop_any};
  return begin_sum(L, &type);
}

static int raise_done(lua_State *L, void *op, int rc) {
  (void)op;
  return luaL_error(L, "done raises %d", rc);
}

static int l_raise(lua_State *L) {
  static const corun_optype type = {
    .name = "raise", .run = run_sum, .done = raise_done, .drop = drop_any};
  return begin_sum(L, &type);
}

// The sum of the sum's digits: `done` awaits another operation.
static int again_done(lua_State *L, void *op, int rc) {
  static const corun_optype type = {
    .name = "sum", .run = run_sum, .done = done_sum, .drop = drop_any};
  sum *first = op;
  if (rc < 0) return corun_pusherror(L, rc, "twice", NULL);
  lua_pushfstring(L, "%d", (int)first->total);
  const char *text = lua_tostring(L, -1);
  sum *s = corun_newop(L, &type, sizeof *s);
  s->text = text;
  s->n = strlen(text);
  return corun_await(L, s);
}

static int l_twice(lua_State *L) {
  static const corun_optype type = {
    .name = "twice", .run = run_sum, .done = again_done, .drop = drop_any};
  return begin_sum(L, &type);
}

// --- On threads that wait for one another ----------------------------------------------------

static int run_meet(void *op) {
  static atomic_int come;
  const int *n = op;
  int wanted = (atomic_fetch_add(&come, 1) / *n + 1) * *n;
  for (int ms = 0; atomic_load(&come) < wanted; ms++) {
    if (ms == 10000) return -ETIMEDOUT;
    pause_a_little();
  }
  return 0;
}

// meet(n): ends once `n` of them run at the same time. There must be no others.
static int l_meet(lua_State *L) {
  static const corun_optype type = {.name = "meet", .run = run_meet};
  int n = (int)luaL_checkinteger(L, 1), *op = corun_newop(L, &type, sizeof *op);
  *op = n;
  return corun_await(L, op);
}

// --- On a thread, for as long as nobody stops it ---------------------------------------------

typedef struct spin {
  atomic_int is_open;  // may end
  int is_deaf;         // does not look whether it was cancelled
} spin;

static int run_spin(void *op) {
  spin *s = op;
  atomic_fetch_add(&begun, 1);
  while (!atomic_load(&s->is_open)) {
    if (!s->is_deaf && corun_cancelled(s)) return -ECANCELED;
    pause_a_little();
  }
  return 0;
}

static int done_spin(lua_State *L, void *op, int rc) {
  (void)op;
  if (rc < 0) return corun_pusherror(L, rc, "spin", NULL);
  lua_pushliteral(L, "opened");
  return 1;
}

static corun_answer open_spin(void *op) {
  spin *s = op;
  atomic_fetch_add(&told, 1);
  atomic_store(&s->is_open, 1);
  return CORUN_PENDING;
}

static corun_answer leave_spin(void *op) {
  spin *s = op;
  atomic_fetch_add(&told, 1);
  atomic_store(&s->is_open, 1);
  return CORUN_ABANDONED;
}

static corun_answer lie_about_spin(void *op) {
  open_spin(op);
  return CORUN_STOPPED;
}

// spin(kind[, holder]): `holder` is a table that gets the operation as its field `op`.
static int l_spin(lua_State *L) {
  static const char *const kinds[] = {"polite", "told", "abandoned", "endless", "liar", NULL};
  static const corun_optype types[] = {
    {.name = "spin", .run = run_spin, .done = done_spin, .drop = drop_any},
    {.name = "spin", .run = run_spin, .done = done_spin, .cancel = open_spin, .drop = drop_any},
    {.name = "spin", .run = run_spin, .done = done_spin, .cancel = leave_spin, .drop = drop_any},
    {.name = "endless", .run = run_spin, .done = done_spin, .drop = drop_any},
    {.name = "liar", .run = run_spin, .done = done_spin, .cancel = lie_about_spin}};
  int kind = luaL_checkoption(L, 1, NULL, kinds);
  spin *s = corun_newop(L, &types[kind], sizeof *s);
  s->is_deaf = kind != 0;
  if (lua_istable(L, 2)) {
    lua_pushlightuserdata(L, s);
    lua_setfield(L, 2, "op");
  }
  return corun_await(L, s);
}

static int l_cancel(lua_State *L) {
  corun_cancel(lua_touserdata(L, 1));
  return 0;
}

// --- Woken by others -------------------------------------------------------------------------

typedef struct signal_op {
  int value;
  int when;  // milliseconds until it is woken, -1: now, before the await
} signal_op;

static int done_signal(lua_State *L, void *op, int rc) {
  signal_op *s = op;
  if (rc < 0) return corun_pusherror(L, rc, "signal", NULL);
  lua_pushinteger(L, s->value);
  return 1;
}

static void *wake_later(void *arg) {
  signal_op *s = arg;
  for (int i = 0; i < s->when; i++) pause_a_little();
  s->value *= 2;
  corun_wake(s, 0);
  return NULL;
}

static const corun_optype signal_type = {.name = "signal", .done = done_signal, .drop = drop_any};

static int start(void *(*fn)(void *), void *arg, int is_joined) {
  pthread_t t;
  int rc = pthread_create(&t, NULL, fn, arg);
  if (rc == 0 && is_joined) pthread_join(t, NULL);
  if (rc == 0 && !is_joined) pthread_detach(t);
  return -rc;
}

// thread(value, ms): twice the value, from a thread that is none of corun's. `ms` -1: the thread
// has ended before the await begins.
static int l_thread(lua_State *L) {
  int value = (int)luaL_checkinteger(L, 1), when = (int)luaL_checkinteger(L, 2);
  signal_op *s = corun_newop(L, &signal_type, sizeof *s);
  s->value = value;
  s->when = when;
  int rc = start(wake_later, s, when < 0);
  if (rc < 0) corun_wake(s, rc);
  return corun_await(L, s);
}

// linger(path): woken by a thread that stays in this module until there is a file `path`, which it
// removes.
static void *wake_and_linger(void *arg) {
  const char *path = (char *)arg + sizeof(void *);
  corun_wake(*(void **)arg, 0);
  while (access(path, F_OK) != 0) pause_a_little();
  unlink(path);
  free(arg);
  return NULL;
}

static int l_linger(lua_State *L) {
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  signal_op *s = corun_newop(L, &signal_type, sizeof *s);
  char *arg = malloc(sizeof s + len + 1);
  int rc = arg ? 0 : -ENOMEM;
  if (arg) {
    memcpy(arg, &s, sizeof s);
    memcpy(arg + sizeof s, path, len + 1);
    rc = start(wake_and_linger, arg, 0);
  }
  if (rc < 0) {
    free(arg);
    corun_wake(s, rc);
  }
  return corun_await(L, s);
}

// fail(rc): what could not begin wakes itself.
static int l_fail(lua_State *L) {
  int rc = (int)luaL_checkinteger(L, 1);
  signal_op *s = corun_newop(L, &signal_type, sizeof *s);
  corun_wake(s, rc);
  return corun_await(L, s);
}

// pending(holder): wakes nobody; holder.op is for `wake` and `cancel`.
static corun_answer stop_pending(void *op) {
  (void)op;
  atomic_fetch_add(&told, 1);
  return CORUN_STOPPED;
}

static corun_answer wake_pending(void *op) {
  atomic_fetch_add(&told, 1);
  corun_wake(op, -ECANCELED);
  return CORUN_PENDING;
}

static int l_pending(lua_State *L) {
  static const char *const kinds[] = {"stopped", "woken", "never", NULL};
  static const corun_optype types[] = {
    {.name = "pending", .done = done_signal, .cancel = stop_pending, .drop = drop_any},
    {.name = "pending", .done = done_signal, .cancel = wake_pending, .drop = drop_any},
    {.name = "never", .done = done_signal, .drop = drop_any}};
  luaL_checktype(L, 1, LUA_TTABLE);
  int kind = luaL_checkoption(L, 2, "stopped", kinds);
  signal_op *s = corun_newop(L, &types[kind], sizeof *s);
  s->value = 7;
  lua_pushlightuserdata(L, s);
  lua_setfield(L, 1, "op");
  return corun_await(L, s);
}

static int l_wake(lua_State *L) {
  corun_wake(lua_touserdata(L, 1), (int)luaL_optinteger(L, 2, 0));
  return 0;
}

static corun_answer abandon_pending(void *op) {
  (void)op;
  atomic_fetch_add(&told, 1);
  return CORUN_ABANDONED;
}

// Both wakes it and says that it goes on.
static corun_answer leave_woken(void *op) {
  wake_pending(op);
  return CORUN_ABANDONED;
}

static corun_answer answer_nonsense(void *op) {
  (void)op;
  return (corun_answer)7;
}

// early(kind, holder): cancelled before the await, unless the kind says when; holder.op is for
// `wake`.
static int l_early(lua_State *L) {
  static const char *const kinds[] = {"run",       "stopped", "woken",    "never",
                                      "abandoned", "left",    "nonsense", NULL};
  static const corun_optype types[] = {
    {.name = "early", .run = run_sum, .done = done_sum, .drop = drop_any},
    {.name = "early", .done = done_signal, .cancel = stop_pending, .drop = drop_any},
    {.name = "early", .done = done_signal, .cancel = wake_pending, .drop = drop_any},
    {.name = "early", .done = done_signal, .drop = drop_any},
    {.name = "early", .done = done_signal, .cancel = abandon_pending, .drop = drop_any},
    {.name = "early", .done = done_signal, .cancel = leave_woken, .drop = drop_any},
    {.name = "early", .done = done_signal, .cancel = answer_nonsense, .drop = drop_any}};
  int kind = luaL_checkoption(L, 1, NULL, kinds);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  void *op = corun_newop(L, &types[kind], sizeof(sum) + sizeof(signal_op));
  lua_pushlightuserdata(L, op);
  lua_setfield(L, 2, "op");
  if (!lua_toboolean(L, 3)) corun_cancel(op);
  return corun_await(L, op);
}

// Operations of any runtime that a thread wakes together.
static struct {
  pthread_mutex_t lock;
  void *ops[64];
  size_t n;
} shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};

// shelve(op): how many there are now.
static int l_shelve(lua_State *L) {
  pthread_mutex_lock(&shelf.lock);
  if (shelf.n < sizeof shelf.ops / sizeof *shelf.ops) shelf.ops[shelf.n++] = lua_touserdata(L, 1);
  lua_pushinteger(L, (lua_Integer)shelf.n);
  pthread_mutex_unlock(&shelf.lock);
  return 1;
}

static int l_shelved(lua_State *L) {
  pthread_mutex_lock(&shelf.lock);
  lua_pushinteger(L, (lua_Integer)shelf.n);
  pthread_mutex_unlock(&shelf.lock);
  return 1;
}

// unshelve(i): take the i-th away.
static int l_unshelve(lua_State *L) {
  size_t i = (size_t)luaL_checkinteger(L, 1);
  pthread_mutex_lock(&shelf.lock);
  if (i >= 1 && i <= shelf.n) {
    memmove(&shelf.ops[i - 1], &shelf.ops[i], (shelf.n - i) * sizeof *shelf.ops);
    shelf.n--;
  }
  pthread_mutex_unlock(&shelf.lock);
  return 0;
}

static void *wake_shelf(void *rc) {
  pthread_mutex_lock(&shelf.lock);
  corun_wake_all(shelf.ops, shelf.n, *(int *)rc);
  shelf.n = 0;
  pthread_mutex_unlock(&shelf.lock);
  return NULL;
}

// wake_shelf(rc, here): by a thread, or by this one.
static int l_wake_shelf(lua_State *L) {
  int rc = (int)luaL_checkinteger(L, 1);
  if (lua_toboolean(L, 2))
    wake_shelf(&rc);
  else
    start(wake_shelf, &rc, 1);
  return 0;
}

// --- Misuse ----------------------------------------------------------------------------------

static int await_again(lua_State *L, void *op, int rc) {
  (void)rc;
  return corun_await(L, op);
}

static int l_await_twice(lua_State *L) {
  static const corun_optype type = {
    .name = "again", .run = run_sum, .done = await_again, .drop = drop_any};
  return begin_sum(L, &type);
}

static int l_lose(lua_State *L) {
  static const corun_optype type = {.name = "lost", .run = run_sum, .drop = drop_any};
  sum *s = corun_newop(L, &type, sizeof *s);
  lua_settop(L, 0);
  return corun_await(L, s);
}

// Made, never awaited and never woken.
static int l_forget(lua_State *L) {
  static const corun_optype woken = {.name = "forgotten", .drop = drop_any};
  static const corun_optype run = {.name = "forgotten", .run = run_sum, .drop = drop_any};
  corun_newop(L, lua_toboolean(L, 1) ? &woken : &run, 1);
  return 0;
}

// orphan(kind): outstanding, without a task; answers it for `cancel` and `wake`.
static int l_orphan(lua_State *L) {
  static const char *const kinds[] = {"stopped", "woken", NULL};
  static const corun_optype types[] = {
    {.name = "orphan", .cancel = stop_pending, .drop = drop_any},
    {.name = "orphan", .cancel = wake_pending, .drop = drop_any}};
  lua_pushlightuserdata(L, corun_newop(L, &types[luaL_checkoption(L, 1, NULL, kinds)], 1));
  return 1;
}

static int l_wake_twice(lua_State *L) {
  static const corun_optype type = {.name = "double", .drop = drop_any};
  void *op = corun_newop(L, &type, 0);
  corun_wake(op, 0);
  corun_wake(op, 0);
  return corun_await(L, op);
}

static int l_wake_run(lua_State *L) {
  static const corun_optype type = {.name = "threaded", .run = run_sum, .drop = drop_any};
  sum *s = corun_newop(L, &type, sizeof *s);
  corun_wake(s, 0);
  return corun_await(L, s);
}

static int l_need_abi(lua_State *L) {
  corun_needabi(L, (int)luaL_checkinteger(L, 1));
  return 0;
}

// The same in a Lua state that corun did not make.
static int l_foreign_state(lua_State *L) {
  lua_State *other = luaL_newstate();
  lua_pushcfunction(other, l_need_abi);
  lua_pushinteger(other, CORUN_ABI);
  lua_pcall(other, 1, 0, 0);
  lua_pushstring(L, lua_tostring(other, -1));
  lua_close(other);
  return 1;
}

// An object whose finaliser awaits.
static int l_late(lua_State *L) {
  lua_newuserdatauv(L, 1, 0);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return 1;
}

// --- Descriptors -----------------------------------------------------------------------------

static int l_pair(lua_State *L) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) return luaL_error(L, "no socket pair");
  lua_pushinteger(L, fds[0]);
  lua_pushinteger(L, fds[1]);
  return 2;
}

static int l_open(lua_State *L) {
  lua_pushinteger(L, open(luaL_checkstring(L, 1), O_RDONLY | O_CLOEXEC));
  return 1;
}

// The other end: sendto and recvfrom are left alone by short_calls.c, which changes send and recv.
static int l_send(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  ssize_t sent = sendto((int)luaL_checkinteger(L, 1), text, n, MSG_DONTWAIT, NULL, 0);
  lua_pushinteger(L, (lua_Integer)sent);
  return 1;
}

static int l_recv(lua_State *L) {
  char buf[64];
  ssize_t n = recvfrom((int)luaL_checkinteger(L, 1), buf, sizeof buf, MSG_DONTWAIT, NULL, NULL);
  lua_pushlstring(L, buf, n < 0 ? 0 : (size_t)n);
  return 1;
}

static int l_close(lua_State *L) {
  close((int)luaL_checkinteger(L, 1));
  return 0;
}

static int l_release(lua_State *L) {
  corun_release_fd(L, (int)luaL_checkinteger(L, 1));
  return 0;
}

static int l_await_fd(lua_State *L) {
  return corun_await_fd(L, (int)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2),
                        luaL_optnumber(L, 3, -1));
}

// line(fd): reads to the end of a line, in C, with as many waits as that takes.
static int read_line(lua_State *L, void *arg, int rc) {
  luaL_Buffer b;
  char c = 0;
  int fd = (int)lua_tointeger(L, 1);
  if (rc < 0) return corun_pusherror(L, rc, "line", NULL);
  luaL_buffinit(L, &b);
  ssize_t n = 0;
  while (c != '\n' && ((n = recv(fd, &c, 1, MSG_DONTWAIT)) == 1 || (n < 0 && errno == EINTR)))
    if (n == 1) luaL_addchar(&b, c);
  luaL_pushresult(&b);
  lua_pushvalue(L, 2);
  lua_insert(L, -2);
  lua_concat(L, 2);
  lua_replace(L, 2);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return corun_await_fdk(L, fd, CORUN_READABLE, 5, arg, read_line);
  lua_pushvalue(L, 2);
  return 1;
}

static int l_line(lua_State *L) {
  luaL_checkinteger(L, 1);
  lua_settop(L, 1);
  lua_pushliteral(L, "");
  return read_line(L, NULL, 0);
}

// --- The rest --------------------------------------------------------------------------------

static int l_error(lua_State *L) {
  return corun_pusherrorf(L, "EHELLO", "greet", "the world", "%s is %d", luaL_checkstring(L, 1),
                          42);
}

static int l_loop(lua_State *L) {
  lua_pushboolean(L, corun_loop(L) != NULL);
  return 1;
}

// counts(): how many operations ran, were dropped and were asked to stop since the last call.
static int l_counts(lua_State *L) {
  lua_pushinteger(L, atomic_exchange(&begun, 0));
  lua_pushinteger(L, atomic_exchange(&dropped, 0));
  lua_pushinteger(L, atomic_exchange(&told, 0));
  return 3;
}

static int l_begun(lua_State *L) {
  lua_pushinteger(L, atomic_load(&begun));
  return 1;
}

static int l_is_debug(lua_State *L) {
#ifdef NDEBUG
  lua_pushboolean(L, 0);
#else
  lua_pushboolean(L, 1);
#endif
  return 1;
}

int luaopen_operations(lua_State *L);

int luaopen_operations(lua_State *L) {
  static const luaL_Reg functions[] = {{"sum", l_sum},
                                       {"check", l_check},
                                       {"raise", l_raise},
                                       {"twice", l_twice},
                                       {"meet", l_meet},
                                       {"spin", l_spin},
                                       {"cancel", l_cancel},
                                       {"thread", l_thread},
                                       {"linger", l_linger},
                                       {"fail", l_fail},
                                       {"pending", l_pending},
                                       {"early", l_early},
                                       {"wake", l_wake},
                                       {"shelve", l_shelve},
                                       {"shelved", l_shelved},
                                       {"unshelve", l_unshelve},
                                       {"wake_shelf", l_wake_shelf},
                                       {"await_twice", l_await_twice},
                                       {"lose", l_lose},
                                       {"forget", l_forget},
                                       {"orphan", l_orphan},
                                       {"wake_twice", l_wake_twice},
                                       {"wake_run", l_wake_run},
                                       {"need_abi", l_need_abi},
                                       {"foreign_state", l_foreign_state},
                                       {"late", l_late},
                                       {"pair", l_pair},
                                       {"open", l_open},
                                       {"send", l_send},
                                       {"recv", l_recv},
                                       {"close", l_close},
                                       {"release", l_release},
                                       {"await_fd", l_await_fd},
                                       {"line", l_line},
                                       {"error", l_error},
                                       {"loop", l_loop},
                                       {"counts", l_counts},
                                       {"begun", l_begun},
                                       {"is_debug", l_is_debug},
                                       {NULL, NULL}};
  corun_checkabi(L);
  luaL_newlib(L, functions);
  lua_pushinteger(L, CORUN_ABI);
  lua_setfield(L, -2, "ABI");
  return 1;
}
