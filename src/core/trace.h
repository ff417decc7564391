// SPDX-License-Identifier: MIT
// Traces: what a person reads on stderr when something went wrong: tracebacks stitched along the
// tasks that spawned each other, the task tree, reports of deadlocks and slow steps. Owns no state
// but the weak table of tracebacks. Runs on the loop thread.
#ifndef CORE_TRACE_H
#define CORE_TRACE_H

#include <lua.h>

#include "core/types.h"

// Message handler of task bodies and scopes: keep the traceback of the error at index 1, unless it
// has one already, and give the error back unchanged. [loop]
int trace_handler(lua_State *L);

// Push the traceback kept for the error at `idx`, or nil. [loop]
void trace_push(lua_State *L, int idx);

// Keep the traceback on top of the stack, which is popped, for the error at `idx`. [loop] Raises on
// out of memory.
void trace_keep(lua_State *L, int idx);

// Keep for the error on top of the stack, which the task `t` returned as nil, err, where `t` was
// spawned, unless it has a traceback. [loop] Raises on out of memory.
void trace_returned(lua_State *L, const task *t);

// Push the traceback of the function that runs, with where its task was spawned. [loop]
void trace_push_here(lua_State *L);

// Keep for the error on top of the stack the traceback of the one below it. [loop]
void trace_inherit(lua_State *L);

// Print the task tree to stderr. [loop] Must not run Lua code.
void trace_tree(rt *r);

// Print that nothing can wake any task, and the tree. [loop]
void trace_deadlock(rt *r);

// Print where the step is that runs. [loop, from a hook]
void trace_running(lua_State *L);

// Print that a step keeps the loop, and where it is. [loop, from a hook]
void trace_slow_step(rt *r, lua_State *L);

// The function of the call chain of `at` that forbids a suspension ("table.sort"); the text stays
// valid while the values pushed on the stack of `L` are there. [loop]
const char *trace_boundary(lua_State *L, lua_State *at);

// Write the line that the task tree shows for a task. [loop]
void trace_describe(rt *r, const task *t, char *buf, size_t n);

#endif
