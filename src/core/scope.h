// SPDX-License-Identifier: MIT
// Scopes: what owns tasks. A scope has a parent, an owner task in whose body it is open, children
// tasks, perhaps a deadline. Cancellation marks a whole subtree with the outermost cancelled scope,
// so that a checkpoint is one pointer test. Invariant: a scope ends only after all its tasks have.
// Runs on the loop thread.
#ifndef CORE_SCOPE_H
#define CORE_SCOPE_H

#include <lua.h>

#include "base/list.h"
#include "core/timer.h"
#include "core/types.h"

typedef enum {
  CANCEL_NONE,
  CANCEL_ASKED,     // s:cancel, task:cancel
  CANCEL_TIMEOUT,   // its deadline passed
  CANCEL_FAILURE,   // its body or a child failed
  CANCEL_DAEMONS,   // all but its daemons have ended
  CANCEL_SIGNAL,    // SIGINT, SIGTERM or SIGHUP reached the program
  CANCEL_EXIT,      // corun.exit
  CANCEL_DEADLOCK,  // nothing can wake any task
} cancel_cause;

typedef enum { SCOPE_PLAIN, SCOPE_TIMEOUT, SCOPE_SHIELD, SCOPE_TASK } scope_kind;

// How a scope ended, handed to its leave function with the results of the body on the stack, or
// with an error on top; a task's own scope has none when it was absorbed.
typedef enum {
  SCOPE_OK,         // results of the body are there
  SCOPE_FAILED,     // a failure
  SCOPE_ABSORBED,   // its own cancellation left the body: what the caller is given for it
  SCOPE_CANCELLED,  // an outer cancellation
} scope_outcome;

struct scope {
  timer tm;
  scope *parent;  // NULL for the root
  scope *by;      // the outermost cancelled scope that concerns this one; NULL when there is none
  task *owner;    // the task in whose body it is open
  lua_State *L;   // the coroutine it was opened in; NULL for a task's own scope
  list subs, sub_link;  // scopes directly inside: of the owner's body and of children
  list tasks;           // children, ended ones are taken out
  list slots;           // tasks that wait for a free slot (limit)
  scope *work;          // link of the traversal in scope.c
  uint64_t id;
  uint64_t deadline;  // own, TIMER_NEVER when there is none
  uint64_t until;     // the earliest deadline that concerns it
  double seconds;     // the time limit as it was given, for messages
  uint32_t nkids, ndaemons, limit, site;
  uint32_t depth;      // so many scopes are open in the owner's body, this one included
  uint32_t reserved;   // slots given to tasks that have not spawned yet
  uint32_t nfailures;  // failures beyond those kept
  int reason_ref;      // registry: the reason given to cancel, LUA_NOREF when there is none
  int cancel_ref;      // registry: the cancellation object, made when first raised
  int failed_ref;      // registry: table of failures, made when needed
  int (*leave)(lua_State *L, scope *s, scope_outcome o);
  uint8_t cause;  // of the cancellation, CANCEL_NONE when it is not cancelled
  uint8_t kind, ended;
  uint8_t outcome;   // of the body, then of the scope
  uint8_t shut;      // takes no children: it ends, or could not wait for them
  uint8_t cut;       // a child was cancelled before it had ended
  uint8_t oom;       // a failure could not be kept
  uint8_t joining;   // the owner waits for the children
  uint8_t borrowed;  // no script holds it: scope_attend
};

static inline int scope_is_full(const scope *s) {
  return s->limit && s->nkids + s->ndaemons + s->reserved >= s->limit;
}

// The most scopes that may be open in one task: each takes one of Lua's nested C calls (S10).
#define SCOPE_MOST 190

// The number of scopes that are open in the running task's body. [loop]
uint32_t scope_depth(const task *t);

// Push the userdata of a scope that is not open yet. [loop] Raises on out of memory.
scope *scope_push(lua_State *L);

// Open a scope of `kind` in the running task; `s` is zeroed memory that outlives the scope. Arms
// the deadline. [loop] Raises on out of memory.
void scope_enter(lua_State *L, scope *s, scope_kind kind, double seconds);

// The same for a scope without a deadline that belongs to `site`. [loop]
void scope_enter_at(lua_State *L, scope *s, scope_kind kind, uint32_t site);

// The scope that spawn, async and daemon use in the running task: its innermost one, made for the
// task itself if there is none yet (S1). [loop] Raises on out of memory.
scope *scope_innermost(lua_State *L);

// Make the task's own scope. [loop] Answers NULL on out of memory.
scope *scope_own(rt *r, task *t);

// End the body of a scope: with `failed` its error is on top of the stack, else its results are
// there from `base` on. Waits for the children, then calls `leave` in tail position. [loop]
int scope_leave(lua_State *L, scope *s, int failed,
                int (*leave)(lua_State *L, scope *s, scope_outcome o));

// Cancel a scope; does nothing when it was cancelled before. [loop] Must not run Lua.
void scope_cancel(rt *r, scope *s, cancel_cause cause);

// Push the cancellation object of a cancelled scope. [loop]
void scope_push_cancel(lua_State *L, scope *s);

// A child has ended: take it out, give its slot on, wake the owner. [loop] Must not run Lua.
void scope_child_ended(rt *r, scope *s, task *t);

// A task that was given a slot has used it, or could not: then it goes to the next. [loop] Must not
// run Lua.
void scope_slot_taken(rt *r, scope *s);

// Say whether the cancellation of id `id` concerns the running task: names an enclosing scope that
// is cancelled. [loop]
int scope_concerns(const task *t, uint64_t id);

// Lift all shields because the grace period is over (S14). [loop] Must not run Lua.
void scope_end_grace(rt *r);

// Arm the grace timer; the root scope was just cancelled. [loop]
void scope_begin_grace(rt *r);

// Release what the scope holds. [loop]
void scope_release(rt *r, scope *s);

// Call the function at `fn` with the arguments above it inside a scope. Used by the bindings of
// scope, timeout and shield. [loop]
int scope_call(lua_State *L, scope *s, int fn,
               int (*leave)(lua_State *L, scope *s, scope_outcome o));

// The same with a plain scope that belongs to `site` and that no script can hold. [loop] Raises on
// out of memory.
int scope_attend(lua_State *L, uint32_t site, int fn,
                 int (*leave)(lua_State *L, scope *s, scope_outcome o));

// What `leave` does first of all then: the scope is gone, and a cancellation is raised. [loop]
void scope_attended(lua_State *L, scope *s, scope_outcome o);

#endif
