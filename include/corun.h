/* SPDX-License-Identifier: MIT */
/*
 * corun.h: functions in C that suspend the Lua coroutine which called them, while a thread or the
 * loop works; and, in the last part, corun inside another program. It is the only header that an
 * extension or such a program sees; docs/extending.md and docs/embedding.md are the tutorials.
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

#if LUA_VERSION_NUM != 504
#error "corun.h needs the headers of Lua 5.4, and others were found"
#endif

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
 * lua too. From then on its library stays in memory, since threads may outlive the state that
 * loaded it. [loop]
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

/* --- Embedding ------------------------------------------------------------------------------- */

/*
 * What follows is for programs that are linked with libcorun and run scripts inside themselves. A
 * runtime is one Lua state with a loop of its own. A program may have many, on one thread or on
 * several; of one only corun_stop may be called while another function of it runs. [loop] here: the
 * thread that made it, or one that took it over while no script ran; never from within what the
 * runtime itself calls (functions of the host in Lua, callbacks), where corun_run_*, corun_start,
 * corun_finish and corun_step fail, and corun_close answers -EBUSY.
 *
 * The process stays the program's: no handler of a signal is set, no descriptor and no limit is
 * changed, the environment is only read, and nothing ever ends the process, os.exit included, which
 * raises. The exceptions are what `signals` and scripts themselves ask for (corun.signal). While a
 * function below runs, SIGPIPE and SIGXFSZ are blocked in its thread, so that a write that fails is
 * an error to the script. Programs that scripts start are waited for by their numbers: the host
 * must not wait for all children at once, nor ignore SIGCHLD. As for any thread, the host must not
 * change the environment (setenv) while a runtime runs. Threads of corun live as long as the
 * process. After a fork the child must not touch the runtimes of its parent, nor close them; it may
 * make its own.
 */
typedef struct corun_runtime corun_runtime;

/*
 * Bits of `signals`. CORUN_INTERRUPTS, SIGURG: time limits and corun_stop also end Lua code that
 * never waits. CORUN_SIGNALS, that and INT, TERM, HUP and QUIT: they do what they do to the
 * program corun, of which the second INT, TERM or HUP ends the process.
 */
#define CORUN_INTERRUPTS 1
#define CORUN_SIGNALS 2

/*
 * Takes what is written: `n` bytes, not ended by a zero. Called by the thread that runs the script
 * and by those of its pools' workers, never by two at the same time, until corun_close has
 * returned. Must not call corun or Lua, nor raise or throw.
 */
typedef void (*corun_write)(void *ud, const char *bytes, size_t n);

/*
 * How a runtime is made. All zero but `size` is the default; later versions add members at the end.
 * Everything is copied, but for what `ud`s point to.
 */
typedef struct corun_options {
  size_t size; /* sizeof(corun_options) */

  /*
   * What scripts find in the global `arg`, the name of the program at 0, and, from 1 on, in the
   * `...` of corun_run_file and corun_run_string; ended by NULL. NULL: neither.
   */
  const char *const *argv;

  /*
   * Where Lua's memory comes from, as for lua_newstate; called on the runtime's thread. NULL: an
   * allocator of corun's own, which is faster than malloc. Workers of pools have that in any case.
   */
  lua_Alloc alloc;
  void *alloc_ud;

  /* Bytes that Lua may hold: what asks for more gets the error "not enough memory". 0: no limit. */
  size_t memory;

  /*
   * What print, io.write, io.stdout and corun.stdout write; and what io.stderr, corun.stderr, the
   * log, warnings and reports do. Output comes in lines; the last, when it has no end, when the
   * script ends. NULL: standard output, standard error. Programs that a script starts write there
   * in any case.
   */
  corun_write out, err;
  void *write_ud;

  unsigned signals; /* which signals are corun's while a script runs, in one runtime at a time */
  unsigned threads; /* workers of a pool or a server when no number is given; 0: one for a core */
  double timeout;   /* seconds after which a script is cancelled; 0: never */
  double grace;     /* seconds that clean-up may take then before it is cancelled too; 0: 5 */
} corun_options;

/* How a script ended. */
typedef enum corun_status {
  CORUN_DONE = 0,  /* it has returned, and all its tasks have ended */
  CORUN_RUNNING,   /* it goes on */
  CORUN_FAILED,    /* an error that nobody caught, no such file, a syntax error, or misuse */
  CORUN_EXITED,    /* it called corun.exit: corun_exitcode */
  CORUN_CANCELLED, /* corun_stop, or a signal */
  CORUN_TIMEOUT,   /* the `timeout` of the options has passed */
  CORUN_DEADLOCK   /* its tasks waited for what could never come; the report went to `err` */
} corun_status;

/*
 * Make a runtime with Lua's and corun's modules. [any] Owned by the caller. Answers 0, or a
 * negative errno and NULL in `out`: -ENOMEM, -EMFILE, -EINVAL for no options and for a `size` or
 * bits that make no sense, -E2BIG for options of a later version that are set.
 */
int corun_new(corun_runtime **out, const corun_options *options);

/*
 * Close it and free all memory. [loop] A script that still runs is cancelled and cleans up, then
 * outstanding operations are waited for, however long they take. NULL: nothing happens. Answers 0,
 * or -EBUSY from within what it calls.
 */
int corun_close(corun_runtime *rt);

/*
 * The main state: for globals, modules in package.preload, functions of the host. [loop] Such
 * functions may be called from here (lua_pcall) as long as they do not suspend. What is on its
 * stack is the host's and stays. Of an extension's functions, those in corun.h may be used by
 * functions of the host that scripts call.
 */
lua_State *corun_state(corun_runtime *rt);

/*
 * Run a script to its end. [loop] `name` is a chunk name as for lua_load ("=setup", "@file.lua"),
 * and NULL means the code itself. A `path` of NULL is standard input. Globals stay from one script
 * to the next.
 */
corun_status corun_run_file(corun_runtime *rt, const char *path);
corun_status corun_run_string(corun_runtime *rt, const char *code, size_t n, const char *name);

/*
 * Begin to run a function that is on the stack of corun_state, below `nargs` arguments, and pop
 * them. [loop] Answers CORUN_RUNNING or CORUN_FAILED. One script runs at a time.
 */
corun_status corun_start(corun_runtime *rt, int nargs);

/* Run what was started to its end, asleep where it waits. [loop] */
corun_status corun_finish(corun_runtime *rt);

/*
 * Run what was started as far as it goes without waiting, at most a few hundred steps of tasks, and
 * let the loop handle what has arrived. [loop] To be called in a loop of the host's when
 * corun_pollfd is readable or corun_timeout has passed, until it does not answer CORUN_RUNNING.
 * When nothing was started it answers how the last script ended.
 */
corun_status corun_step(corun_runtime *rt);

/*
 * A descriptor to be polled for reading, by poll, epoll or another loop. [any] The same as long as
 * the runtime lives, which owns it. Only to be watched while CORUN_RUNNING.
 */
int corun_pollfd(const corun_runtime *rt);

/*
 * The milliseconds after which corun_step is to be called even if the descriptor is not readable,
 * as poll and epoll_wait take them: 0 at once, -1 never. [loop] To be asked after the last step and
 * after other calls of the host to Lua.
 */
int corun_timeout(corun_runtime *rt);

/*
 * Cancel the script that runs, which cleans up and ends as CORUN_CANCELLED. [any, signal handlers
 * too] Does nothing when none runs. The runtime must not be closed meanwhile.
 */
void corun_stop(corun_runtime *rt);

/*
 * What went wrong when the last status was neither CORUN_DONE, CORUN_RUNNING nor CORUN_EXITED: the
 * message, the traceback, the causes, and what failed beside it; else "". [loop] Owned by the
 * runtime, until its next call.
 */
const char *corun_error(const corun_runtime *rt);

/* The number given to corun.exit by the last script, 0 when it did not call it. [loop] */
int corun_exitcode(const corun_runtime *rt);

#ifdef __cplusplus
}
#endif
#endif
