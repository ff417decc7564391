// SPDX-License-Identifier: MIT
// Watching directories: one watch has any number of them, each with a handle of libuv's, and one
// list of what happened in them since somebody last looked. The same name in the same directory is
// listed once as long as it is among the recent ones. A C object, counted: one reference belongs to
// the userdata, one to each directory until its handle is closed. Runs on the loop thread.
// Invariant: the list is bounded; what does not fit is reported as lost.
#ifndef SYS_FS_WATCH_H
#define SYS_FS_WATCH_H

#include <lua.h>
#include <stdint.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/list.h"
#include "core/types.h"
#include "core/wait.h"

#define WATCH_RECENT 256  // events that are merged with later ones

typedef struct watch_dir watch_dir;

// Something happened to `name` in the directory `id`; the name follows, ended by a zero byte.
typedef struct watch_event {
  uint32_t id, what;  // what: UV_CHANGE, UV_RENAME or both
  size_t len;
} watch_event;

typedef struct watch {
  rt *r;
  uint32_t refs, next_id, closed_at;
  list dirs;
  watch_dir *held;              // keeps the loop alive while a task waits
  task *t;                      // waits for events, until its done function runs
  buffer events;                // each aligned
  size_t recent[WATCH_RECENT];  // places in it, one more than where they begin; 0: none
  unsigned woken : 1, lost : 1, closed : 1, by_scope : 1;
} watch;

// Make a watch without directories. [loop] NULL on out of memory.
watch *watch_new(rt *r);

// Watch a directory; `id` is its number from then on. [loop] 0 or an error.
int watch_add(watch *w, const char *path, int recursive, uint32_t *id);

// Watch it no longer. [loop]
void watch_remove(watch *w, uint32_t id);

// Suspend until there are events, or the watch is closed. `ops` has watch_cancel; no other task may
// wait. [loop]
int watch_wait(lua_State *L, watch *w, const wait_ops *ops);

wait_answer watch_cancel(task *t, void *w);

// To be called first in the done function of such a wait. [loop]
void watch_woken(watch *w);

// Say whether there is anything to tell. [loop]
static inline int watch_has_events(const watch *w) {
  return buffer_len(&w->events) || w->lost;
}

// The event at `at`, 0 being the first; NULL behind the last. `at` becomes the place of the next.
// [loop]
const watch_event *watch_next(const watch *w, size_t *at);

// Forget the events. [loop]
void watch_clear(watch *w);

// Close it; a task that waits is woken. A second call does nothing. [loop]
void watch_close(watch *w, uint32_t site);

// Let go of a reference. [loop]
void watch_unref(watch *w);

#endif
