// SPDX-License-Identifier: MIT
// Descriptors: tasks that wait until one of somebody else's is readable or writable. One handle of
// libuv serves all who wait for the same one, for it allows no second; it is there only while
// somebody waits. Runs on the loop thread. Invariant: a watch without waiters is being closed.
#ifndef CORE_DESCRIPTOR_H
#define CORE_DESCRIPTOR_H

#include <lua.h>

#include "core/types.h"

// Suspend until the descriptor can do some of `events` (UV_READABLE, UV_WRITABLE) or has failed, or
// until the instant `when`; then `done` gets the bits that hold, a negative libuv code, or `closed`
// when descriptor_release ended the wait. To be returned in tail position, after task_checkpoint.
// [loop] Raises on out of memory; calls `done` at once when the descriptor cannot be watched.
typedef int (*descriptor_done)(lua_State *L, void *arg, int rc);
int descriptor_await(lua_State *L, int fd, int events, uint64_t when, void *arg,
                     descriptor_done done);

// What it can do now. [any] Answers bits, 0 for none of `events`, or a negative libuv code.
int descriptor_test(int fd, int events);

// Fail the waits for descriptors that were closed since they began: libuv aborts when the system
// refuses one at its next poll. [loop] Must not run Lua.
void descriptor_look(rt *r);

// Wake all who wait for it with `rc`. [loop] Must not run Lua.
void descriptor_release(rt *r, int fd, int rc);

#endif
