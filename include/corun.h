/* SPDX-License-Identifier: MIT */
/*
 * corun.h: functions in C that suspend the Lua coroutine which called them, while a thread or the
 * loop works. It is the only header that an extension sees; docs/extending.md is the tutorial.
 *
 * Each function says which thread may call it:
 *   [loop]  the thread that runs the lua_State: in a lua_CFunction, in a callback of the loop
 *   [pool]  one of corun's own threads, in `run`
 *   [any]   every thread
 * "Raises" means lua_error: only where a lua_State is handed in. Error numbers are those of libuv:
 * a negative errno. Durations are seconds.
 */
#ifndef CORUN_H
#define CORUN_H

#ifdef __cplusplus
extern "C" {
#endif

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

/*
 * The number of this interface. It grows by one with each addition; what is there stays as it is. A
 * program takes extensions that were built for its own number or a lower one.
 */
#define CORUN_ABI 1

/* Extensions find corun in the program that loads them; in another program there is none. */
#ifdef __APPLE__
#define CORUN_API __attribute__((weak_import))
#else
#define CORUN_API __attribute__((weak))
#endif

/* Raise unless the program that runs `L` is a corun which knows the interface `abi`. [loop] */
CORUN_API void corun_needabi(lua_State *L, int abi);

/*
 * The first line of each luaopen_: raise a clear error where the extension cannot work, in a plain
 * lua too. [loop]
 */
static inline void corun_checkabi(lua_State *L) {
  if (corun_needabi)
    corun_needabi(L, CORUN_ABI);
  else
    luaL_error(L, "this module needs corun: it cannot be loaded by another program");
}

/* --- Operations ------------------------------------------------------------------------------ */

/* What `cancel` has done about an operation. */
typedef enum corun_answer {
  CORUN_PENDING = 0, /* it will still end, by `run` or by corun_wake; the task sleeps until then */
  CORUN_STOPPED,     /* it ended here and now: nobody will call corun_wake. Not while `run` runs */
  CORUN_ABANDONED    /* it will still end, but uses nothing of the task, which goes on at once */
} corun_answer;

/*
 * A kind of operation: static, and never changed. All functions get the memory that corun_newop
 * gave. Members that are not needed are NULL.
 */
typedef struct corun_optype {
  /* What the task tree and messages call it, such as "image.resize". Required. */
  const char *name;

  /*
   * Do the work and answer the result `rc`: 0 or a negative error number. NULL: the operation is
   * not run, but ends by corun_wake. [pool] Must not touch Lua. May read strings and userdata among
   * the arguments of the function that awaits: they stay on its stack. Should look at
   * corun_cancelled now and then.
   */
  int (*run)(void *op);

  /*
   * Push results and answer their number, raise, or return corun_await or corun_await_fdk again.
   * The stack is that of the function which awaited. `rc` is the result; -EAGAIN when no thread
   * could be started, -ECANCELED after corun_cancel. NULL: true, or nil and the error. [loop] Not
   * called, and the cancellation raised, when the task was cancelled and the operation was taken
   * back, stopped, abandoned, or ended with -ECANCELED.
   */
  int (*done)(lua_State *L, void *op, int rc);

  /*
   * The task was cancelled, or corun_cancel called: have the work end soon. Asked at most once, and
   * only while the work is under way; it may be ending just now. NULL: CORUN_PENDING. [loop] Must
   * not touch Lua; may call corun_wake.
   */
  corun_answer (*cancel)(void *op);

  /*
   * Release what the operation holds: exactly once, after it has ended and nobody looks at it any
   * more. Its memory is freed after it. [loop] Must not touch Lua.
   */
  void (*drop)(void *op);

  void *reserved[4]; /* NULL */
} corun_optype;

/*
 * Make an operation with `size` zeroed bytes for the caller, which are answered, aligned for any
 * type; push the userdata that owns them. [loop] A checkpoint: raises before any effect when the
 * task is cancelled, outside a task, where no suspension is possible, when the runtime is closing,
 * and on out of memory.
 * The userdata must stay on the stack of the calling function until corun_await. An operation
 * without `run` is outstanding from now on: one corun_wake must follow, whatever happens; so check
 * the arguments first, and if what is to wake it cannot begin, wake it yourself. The runtime does
 * not close before.
 */
CORUN_API void *corun_newop(lua_State *L, const corun_optype *type, size_t size);

/*
 * Suspend the calling task until the operation has ended, then call `done`. [loop] To be returned
 * from a lua_CFunction: "return corun_await(L, op)"; nothing behind it runs. The userdata and the
 * arguments must still be on the stack. Raises when the operation was awaited before, or is not on
 * the stack.
 */
CORUN_API int corun_await(lua_State *L, void *op);

/*
 * End an operation that has no `run`, with the result `rc`. [any] Exactly once; also before
 * corun_await, and from within `cancel`. The operation must not be touched afterwards: it may be
 * gone. A second call is reported on standard error, and aborts in debug builds of corun.
 */
CORUN_API void corun_wake(void *op, int rc);

/*
 * The same for `n` operations, all with the result `rc`. [any] A thread that ends many within some
 * microseconds, such as the statements which tasks have queued for a database, wakes the loop once
 * for all of them; that costs more than a short operation does.
 */
CORUN_API void corun_wake_all(void *const *ops, size_t n, int rc);

/*
 * End an operation early for whoever awaits it, as when the connection it uses is closed: `done` is
 * called with -ECANCELED if it was waiting for a thread or `cancel` could end it, else with the
 * result once it has ended. Does nothing when it has ended. [loop] The caller knows that the
 * operation is still there: it is, until `drop`.
 */
CORUN_API void corun_cancel(void *op);

/* Say whether whoever wanted the operation has given up on it. [any] Until `run` or `drop` ends. */
CORUN_API int corun_cancelled(const void *op);

/*
 * Raise the cancellation of the calling task, if it is cancelled. [loop] For functions that have an
 * effect before they wait, and for those that loop and may never wait.
 */
CORUN_API void corun_checkpoint(lua_State *L);

/* --- Descriptors ----------------------------------------------------------------------------- */

#define CORUN_READABLE 1
#define CORUN_WRITABLE 2

/* The result of a wait for a descriptor that corun_release_fd ended, in the place of an errno. */
#define CORUN_ECLOSED (-5000)

/*
 * Suspend the calling task until the descriptor is readable or writable, as the bits in `events`
 * say, or has failed; give the script the bits that hold. After `timeout` seconds it gets nil and
 * an error with the code ETIMEDOUT; 0 looks without waiting, a negative number or HUGE_VAL sets no
 * limit. [loop] To be returned from a lua_CFunction. A checkpoint; raises as corun_newop does, and
 * on other events. The descriptor stays the caller's; it becomes non-blocking. Several tasks may
 * wait for one, all that can go on are woken. Other failures come as nil and an error: EBADF for a
 * closed one, EPERM for a file (always ready), EEXIST for one that corun itself reads or writes.
 */
CORUN_API int corun_await_fd(lua_State *L, int fd, int events, double timeout);

/*
 * The same for a function that goes on in C: `done` is called with the bits that hold, or a
 * negative error number. `done` pushes results, raises, or returns another wait. [loop] What `arg`
 * points to must be kept alive by the stack.
 */
CORUN_API int corun_await_fdk(lua_State *L, int fd, int events, double timeout, void *arg,
                              int (*done)(lua_State *L, void *arg, int rc));

/*
 * End all waits for a descriptor, with CORUN_ECLOSED. [loop] To be called before the descriptor is
 * closed while tasks may wait for it: the system does not tell them.
 */
CORUN_API void corun_release_fd(lua_State *L, int fd);

/* --- Errors, the loop ------------------------------------------------------------------------ */

/*
 * Push nil and an error object for the negative error number `rc`, as in the operation `op` on
 * `target` (may be NULL); answer 2, to be returned. [loop] Raises on out of memory.
 */
CORUN_API int corun_pusherror(lua_State *L, int rc, const char *op, const char *target);

/*
 * The same with a code ("ESQLITE") and a message of one's own, formatted as by lua_pushfstring.
 * [loop] Raises on out of memory.
 */
CORUN_API int corun_pusherrorf(lua_State *L, const char *code, const char *op, const char *target,
                               const char *fmt, ...);

/*
 * The loop of the runtime, for handles of libuv. [loop] Their callbacks must not touch Lua: they
 * record, and call corun_wake. A handle lives until its close callback; an operation that holds one
 * is therefore woken there. The library must be of the version that `corun -v` tells.
 */
CORUN_API struct uv_loop_s *corun_loop(lua_State *L);

#ifdef __cplusplus
}
#endif
#endif
