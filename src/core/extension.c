// SPDX-License-Identifier: MIT
// The functions of corun.h for extensions: operations over core/work.h, waits for descriptors,
// errors. An operation is a piece of work with the memory of its owner behind it; one without `run`
// is outstanding from the start and ends by corun_wake. Invariant: `drop` is called exactly once,
// on the loop thread, after the last thread has let go of the operation.
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/library.h"
#include "core/descriptor.h"
#include "core/error.h"
#include "core/host.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"
#include "core/work.h"
#include "corun.h"

#define OLDEST_ABI 1

typedef struct op {
  work w;
  const corun_optype *type;
  atomic_int woken;  // corun_wake was called, or must not be any more
  int rc;            // the result, once it has ended
  int is_awaited, is_asked;
  wait_answer answer;  // of `cancel`, once it was asked
  _Alignas(max_align_t) unsigned char data[];
} op;

static op *op_of(const void *data) {
  return (op *)(void *)((char *)(uintptr_t)data - offsetof(op, data));
}

// --- As work ---------------------------------------------------------------------------------

static void run(work *w) {
  op *o = (op *)w;
  o->rc = o->type->run(o->data);
}

// The grace at the end of the program is over, but the operation goes on: what was on the stack is
// kept from the collector.
static int leave(lua_State *L) {
  int n = lua_gettop(L);
  luaL_checkstack(L, 2, NULL);
  lua_createtable(L, n, 0);
  for (int i = 1; i <= n; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i);
  }
  luaL_ref(L, LUA_REGISTRYINDEX);
  return task_raise_cancel(L);
}

static int done(lua_State *L, work *w, int rc) {
  op *o = (op *)w;
  if (w->is_left) return leave(L);
  if (rc == 0) rc = o->rc;
  if (rc == UV_ECANCELED) task_checkpoint(L);  // it gave up because its task did
  int n = 1;
  if (o->type->done)
    n = o->type->done(L, o->data, rc);
  else if (rc < 0)
    n = corun_pusherror(L, rc, o->type->name, NULL);
  else
    lua_pushboolean(L, 1);
  work_retire(L, w);  // sooner than the collector, which does not see how large it is
  return n;
}

// The program cannot go on safely when an operation is misused where nothing can be raised: say so,
// and end it if it was built to be debugged.
static void fault(const op *o, const char *what) {
  fprintf(o->w.r->err, "corun: operation '%s' %s\n", o->type->name, what);
#ifndef NDEBUG
  abort();
#endif
}

// Ask the operation to end.
static wait_answer ask(op *o) {
  static const wait_answer answers[] = {WAIT_CANNOT_STOP, WAIT_STOPPED, WAIT_ABANDONED};
  unsigned answer = o->type->cancel ? o->type->cancel(o->data) : CORUN_PENDING;
  if (answer <= CORUN_ABANDONED) return answers[answer];
  fault(o, "has a cancel whose answer is none");
  return WAIT_CANNOT_STOP;
}

static wait_answer cancel(work *w) {
  op *o = (op *)w;
  if (atomic_load(&o->woken)) return WAIT_CANNOT_STOP;  // it has ended: this thread will be told
  if (o->is_asked) return o->answer;
  o->is_asked = 1;
  o->answer = ask(o);
  if (o->answer == WAIT_ABANDONED && atomic_load(&o->woken)) o->answer = WAIT_CANNOT_STOP;
  if (o->answer != WAIT_STOPPED) return o->answer;
  if (o->type->run) fault(o, "is run by a thread: its cancel must not answer CORUN_STOPPED");
  if (o->type->run || atomic_exchange(&o->woken, 1))
    o->answer = WAIT_CANNOT_STOP;
  else
    o->rc = UV_ECANCELED;
  return o->answer;
}

static void drop(work *w) {
  op *o = (op *)w;
  if (o->type->drop) o->type->drop(o->data);
}

static const work_type op_type = {
  .op = "", .run = run, .done = done, .drop = drop, .cancel = cancel, .can_be_left = 1};

// --- Operations ------------------------------------------------------------------------------

void corun_needabi(lua_State *L, int abi) {
  if (luaL_getmetatable(L, ERR_MT) != LUA_TTABLE)
    luaL_error(L, "this module needs corun: it cannot be loaded into a Lua state of another make");
  lua_pop(L, 1);
  if (abi < OLDEST_ABI || abi > CORUN_ABI)
    luaL_error(L,
               "this module was built for another corun: for version %d of corun.h, here it is %d",
               abi, CORUN_ABI);
  // The module's own threads may still be on their way out of corun_wake when Lua unloads it.
  library_keep(__builtin_return_address(0));
}

static void check_open(lua_State *L) {
  if (rt_of(L)->closing) err_misuse(L, "cannot suspend: the runtime is closing");
  wait_check(L);
  task_checkpoint(L);
}

void *corun_newop(lua_State *L, const corun_optype *type, size_t size) {
  check_open(L);
  luaL_checkstack(L, 4, NULL);
  if (size > PTRDIFF_MAX - sizeof(op)) err_no_memory(L);
  op *o = (op *)work_new(L, &op_type, sizeof *o + size);
  o->type = type;
  o->w.op = type->name;
  if (!type->run) work_expect(&o->w);
  return o->data;
}

// Raise unless the userdata that owns the operation is on the stack.
static void check_owned(lua_State *L, const op *o) {
  for (int i = lua_gettop(L); i > 0; i--) {
    work **box = lua_touserdata(L, i);
    if (box && lua_rawlen(L, i) == sizeof *box && *box == &o->w) return;
  }
  err_misuse(L, "corun_await: what corun_newop pushed must be on the stack");
}

int corun_await(lua_State *L, void *data) {
  op *o = op_of(data);
  check_owned(L, o);
  if (o->is_awaited) return err_misuse(L, "operation '%s' was awaited before", o->type->name);
  wait_check(L);
  if (!o->type->run) {
    o->is_awaited = 1;
    int is_abandoned = o->answer == WAIT_ABANDONED && !o->w.has_ended;
    return is_abandoned ? done(L, &o->w, UV_ECANCELED) : work_wait(L, &o->w);
  }
  task_checkpoint(L);
  o->is_awaited = 1;
  if (work_is_cancelled(&o->w)) return done(L, &o->w, UV_ECANCELED);
  return work_begin(L, &o->w, TIMER_NEVER);
}

// Say that the operation has ended with `rc`, unless it must not.
static int end(op *o, int rc) {
  if (o->type->run) {
    fault(o, "is run by a thread: corun_wake must not be called for it");
    return 0;
  }
  if (atomic_exchange(&o->woken, 1)) {
    fault(o, "was woken twice, or after its cancel had answered CORUN_STOPPED");
    return 0;
  }
  o->rc = rc;
  return 1;
}

void corun_wake_all(void *const *ops, size_t n, int rc) {
  letter *newest = NULL, *oldest = NULL;  // of those that concern the runtime `r`
  rt *r = NULL;
  for (size_t i = 0; i < n; i++) {
    op *o = op_of(ops[i]);
    if (!end(o, rc)) continue;
    if (host_current() == o->w.r) {
      work_ended_here(&o->w);
      continue;
    }
    if (newest && o->w.r != r) {
      mail_post_all(r, newest, oldest);
      newest = NULL;
    }
    r = o->w.r;
    letter *l = work_letter(&o->w);
    l->next = newest;
    if (!newest) oldest = l;
    newest = l;
  }
  if (newest) mail_post_all(r, newest, oldest);
}

void corun_wake(void *data, int rc) {
  corun_wake_all(&data, 1, rc);
}

void corun_cancel(void *data) {
  work *w = &op_of(data)->w;
  work_ref(w);  // its `cancel` may wake it, and nobody else may be left who owns it
  work_cancel(w);
  work_unref(w);
}

int corun_cancelled(const void *data) {
  return work_is_cancelled(&op_of(data)->w);
}

void corun_checkpoint(lua_State *L) {
  task_checkpoint(L);
}

// --- Descriptors -----------------------------------------------------------------------------

int corun_await_fdk(lua_State *L, int fd, int events, double timeout, void *arg,
                    int (*k)(lua_State *L, void *arg, int rc)) {
  check_open(L);
  if (events <= 0 || events & ~(CORUN_READABLE | CORUN_WRITABLE))
    return err_misuse(L, "cannot wait for the events %d of a descriptor", events);
  if (isnan(timeout)) return err_misuse(L, "the time limit of a wait is NaN");
  if (timeout == 0) {
    int rc = descriptor_test(fd, events);
    return k(L, arg, rc ? rc : UV_ETIMEDOUT);
  }
  uint64_t when = timeout < 0 ? TIMER_NEVER : timer_after(rt_of(L), timeout);
  return descriptor_await(L, fd, events, when, arg, k);
}

static int give_events(lua_State *L, void *arg, int rc) {
  if (rc < 0) {
    lua_pushfstring(L, "descriptor %d", (int)(intptr_t)arg);
    return corun_pusherror(L, rc, "await_fd", lua_tostring(L, -1));
  }
  lua_pushinteger(L, rc);
  return 1;
}

int corun_await_fd(lua_State *L, int fd, int events, double timeout) {
  return corun_await_fdk(L, fd, events, timeout, (void *)(intptr_t)fd, give_events);
}

void corun_release_fd(lua_State *L, int fd) {
  descriptor_release(rt_of(L), fd, CORUN_ECLOSED);
}

// --- Errors, the loop ------------------------------------------------------------------------

int corun_pusherror(lua_State *L, int rc, const char *what, const char *target) {
  luaL_checkstack(L, 4, NULL);
  if (rc == CORUN_ECLOSED) return err_return(L, "ECLOSED", what, target, "closed while waiting");
  return err_return_uv(L, rc, what, target);
}

int corun_pusherrorf(lua_State *L, const char *code, const char *what, const char *target,
                     const char *fmt, ...) {
  va_list ap;
  luaL_checkstack(L, 4, NULL);
  va_start(ap, fmt);
  const char *text = lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  return err_return(L, code, what, target, "%s", text);
}

struct uv_loop_s *corun_loop(lua_State *L) {
  return &rt_of(L)->loop;
}
