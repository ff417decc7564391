// SPDX-License-Identifier: MIT
// Children: processes that this runtime has started and must reap. Linux tells the end of each one
// through a descriptor of its own (pidfd), other systems through SIGCHLD; either way only the
// process ids that corun started are waited for, so that other runtimes and C modules keep theirs.
// Runs on the loop thread. Invariants: a child is reaped exactly once; a signal is sent to a group
// only while its leader is not reaped, or the group was seen alive a moment before (its number is
// not used again while it has members); the memory is freed once the owner let go and the process
// is over.
#ifndef SYS_CHILD_H
#define SYS_CHILD_H

#include <errno.h>
#include <lua.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/list.h"
#include "core/handle.h"
#include "core/timer.h"
#include "core/wait.h"
#include "sys/spawn.h"

// Other code of this process took the status of a child. libuv has no name for ECHILD.
#define CHILD_LOST (-ECHILD)

typedef struct child {
  handle h;
  union {
    uv_poll_t poll;      // of its pidfd
    uv_signal_t signal;  // SIGCHLD, where there is no pidfd
  } watch;
  timer_call tick;  // while it is being ended
  list waiters;     // tasks that wait until it is over
  pid_t pid;
  pid_t group;  // what signals are sent to: its group, as a negative number, or only itself
  int pidfd;    // -1: none
  int rc;       // why its status is not known: CHILD_LOST, UV_EPERM; else 0
  int status;   // as of wait4
  struct rusage usage;
  double grace;             // seconds from TERM to KILL
  uint64_t started, ended;  // uv_hrtime
  uint64_t kill_at;
  uint32_t closed_at;         // site of the close
  char name[24];              // of the program, cut short
  uint8_t refs;               // its owner, and itself until it is over
  uint8_t probes;             // so often was its group looked for
  unsigned is_reaped : 1;     // there is no such process any more
  unsigned is_stopping : 1;   // TERM was sent on our own account
  unsigned is_killed : 1;     // KILL was
  unsigned is_over : 1;       // reaped, and if it was stopped its group is gone or killed; or it
                              // runs as another user and cannot be killed
  unsigned is_unwatched : 1;  // the handle of libuv is closed
  unsigned is_closed : 1;     // no further calls
  unsigned by_scope : 1;      // closed by a <close> variable
} child;

// Start a program; `grace` is for child_stop. [loop] Answers 0 with `out` set to the child, which
// must be handed to child_watch; or an error with `stage` set.
int child_start(rt *r, const spawn_plan *plan, double grace, child **out, spawn_stage *stage);

// Begin to watch for its end; one reference is the caller's from then on. [loop] Answers 0, or an
// error: then the process was killed and the memory freed.
int child_watch(child *c);

// Its end is nothing that the loop must stay alive for, until somebody waits for it. [loop]
void child_unhold(child *c);

// Let go of the owner's reference: a process that is not over is stopped. [loop] Must not run Lua.
void child_unref(child *c);

// Stop the process and all of its group: TERM now, KILL when the grace has passed, or the one of
// the whole program. A second call does nothing. [loop] Must not run Lua.
void child_stop(child *c);

// Send a signal to its group, or to it alone if it has none of its own. [loop] Answers 0, or an
// error: UV_ESRCH once it was reaped.
int child_signal(child *c, int number);

// Suspend until it is over, or the instant `when`. To be returned in tail position. [loop] The
// cancel function of `ops` is one of those below; `done` gets the child.
int child_wait(lua_State *L, child *c, uint64_t when, const wait_ops *ops);

wait_answer child_cancel_watch(task *t, void *arg);  // the process goes on
wait_answer child_cancel_own(task *t, void *arg);    // it is stopped, and waited for
wait_answer child_cancel_close(task *t, void *arg);  // it is being stopped, and waited for

void child_describe(const task *t, const void *arg, char *buf, size_t n);

#endif
