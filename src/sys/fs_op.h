// SPDX-License-Identifier: MIT
// Operations on files: a function that blocks, run on a thread of libuv's pool while the task that
// asked for it waits. A whole bundle of system calls (open, fstat, read, close) is one operation,
// and one that takes long is done in slices, between which others have their turn. Slices after the
// first run on no more threads than leave the loop a core, and short operations a thread: many
// large files at once delay neither. A C object with two owners: a userdata in the frame of the
// task, and the pool while it is there. Invariant: between fs_begin and the end of the operation
// only the thread touches what `run` uses.
#ifndef SYS_FS_OP_H
#define SYS_FS_OP_H

#include <lua.h>
#include <stdatomic.h>
#include <stddef.h>
#include <uv.h>

#include "base/list.h"
#include "core/job.h"
#include "core/types.h"

#define FS_FIRST ((size_t)128 << 10)  // bytes that the first slice reads or writes
#define FS_SLICE ((size_t)4 << 20)    // those after it
#define FS_AGAIN 1                    // of `run`: the next slice is to follow

typedef struct fs_op fs_op;

// A piece of work for the pool.
typedef struct fs_slice {
  uv_work_t req;
  list link;  // among those that wait for their turn
  rt *r;
  int is_counted;
  void (*run)(struct fs_slice *s);              // [pool]
  void (*end)(struct fs_slice *s, int status);  // [loop] Must not run Lua.
} fs_slice;

// Give it to the pool, at once, or when its turn has come (`is_long`). [loop]
void fs_slice_queue(fs_slice *s, int is_long);

// It is not wanted any more. Answers whether it will not run, which is tried unless one before it
// has run: then `end` follows with UV_ECANCELED. Else it waits for its turn no longer. [loop]
int fs_slice_cancel(fs_slice *s, int has_begun);

typedef struct fs_optype {
  const char *op;  // "read": for the task tree and for messages
  // Do it, or a slice of it. [pool] 0 when it is done, FS_AGAIN, or a negative error. Must not
  // touch Lua or the runtime. Once the operation is cancelled (fs_is_cancelled) it may clean up and
  // answer UV_ECANCELED, or go on to its end.
  int (*run)(fs_op *o);
  // In the coroutine: push results and answer their number. o->rc is what `run` answered. [loop]
  int (*done)(lua_State *L, fs_op *o);
  // Release what it still holds, exactly once; the memory is freed after it. NULL: nothing. [loop]
  void (*drop)(fs_op *o);
} fs_optype;

struct fs_op {
  fs_slice slice;
  job job;
  const fs_optype *type;
  rt *r;
  task *t;  // NULL once the task gave up
  unsigned refs;
  int rc;
  int begun;    // a slice of it has run
  int is_long;  // from its first slice on
  atomic_int cancelled;
  const char *target;  // the path, for messages; part of the operation
};

// Make an operation, zeroed but for this structure, at the beginning of `size` bytes; push the
// userdata that owns it. [loop] Raises on out of memory.
void *fs_new(lua_State *L, const fs_optype *type, size_t size);

// Suspend until it has run. The userdata must be on the stack of the calling function, and so must
// the Lua values whose memory `run` uses. To be returned in tail position, after task_checkpoint
// and wait_check. [loop]
int fs_begin(lua_State *L, fs_op *o);

// Let it run without a task that waits; the pool then owns it alone. `o` was not begun, and nobody
// else holds it. [loop]
void fs_detach(fs_op *o);

// Make an operation that no userdata owns, to be given to fs_detach or fs_discard. [loop] NULL on
// out of memory.
void *fs_new_bare(rt *r, const fs_optype *type, size_t size);

// Free an operation that was not begun. [loop]
void fs_discard(fs_op *o);

// Say whether the task that wanted it was cancelled. [any]
static inline int fs_is_cancelled(fs_op *o) {
  return atomic_load_explicit(&o->cancelled, memory_order_relaxed);
}

// The bytes that its next slice is to read or write. [pool]
static inline size_t fs_step(const fs_op *o) {
  return o->begun ? FS_SLICE : FS_FIRST;
}

// Say whether a call that makes a descriptor, and has failed, is to be made again: it was
// interrupted, or a program was being started, with few descriptors for all (core/host.h). `tries`
// begins as 0. [pool]
int fs_tries_again(int *tries);

// Push nil and the error of an operation that failed, or raise the cancellation that ended it. To
// be returned from `done`. [loop]
int fs_fail(lua_State *L, fs_op *o);

#endif
