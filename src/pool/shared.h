// SPDX-License-Identifier: MIT
// Shared things: what runtimes share instead of copying it: channels, buffers, counters. They live
// on the C heap with a count of references, which any thread may change; a runtime holds one
// reference for each userdata that its scripts see. Invariant: one shared thing is one userdata in
// a state, so that scripts can compare them.
#ifndef POOL_SHARED_H
#define POOL_SHARED_H

#include <lua.h>
#include <stdatomic.h>

#include "core/types.h"

typedef struct shared shared;

typedef struct shared_type {
  const char *name;         // "pool channel", shown in messages
  void (*free)(shared *s);  // called by whoever gives up the last reference, on any thread
  // What a runtime keeps for the thing as long as it has the userdata; NULL: nothing. [loop] `view`
  // answers NULL on out of memory; `drop_view` gives up the userdata's reference, too.
  void *(*view)(rt *r, shared *s);
  void (*drop_view)(void *view);
  // Bytes that the userdata keeps from being freed, for the collector; NULL: few. [any]
  size_t (*weight)(const shared *s);
  // Push what the thing itself is in this runtime and answer 1; 0 where its userdata stands for it.
  // NULL: everywhere. [loop]
  int (*push_own)(lua_State *L, shared *s);
  // Give its new userdata, on top of the stack, its user value; NULL: it has none. [loop] Raises on
  // out of memory.
  void (*bind)(lua_State *L, shared *s);
} shared_type;

struct shared {
  const shared_type *type;
  atomic_uint refs;
};

// Begin with one reference, the caller's. [any]
void shared_init(shared *s, const shared_type *type);

// Take a reference; answer `s`. [any]
shared *shared_ref(shared *s);

// Take a reference if there is one that was not given up; answer whether. The memory must still be
// there. [any]
int shared_revive(shared *s);

// Give a reference up; the last one frees. [any]
void shared_unref(shared *s);

// Make the table on top of the stack, which is popped, the metatable of the things of a type in
// this state. It gets `__name` and `__gc`. [loop] Raises on out of memory.
void shared_register(lua_State *L, const shared_type *type);

// Push the userdata of `s`, the same one each time; it holds a reference of its own. Or what the
// type's push_own pushes. [loop] Raises on out of memory, and when the type is not registered in
// this state.
void shared_push(lua_State *L, shared *s);

// The same for a new thing, whose one reference becomes the userdata's. [loop] Raises as that does;
// then the thing is freed.
void shared_adopt(lua_State *L, shared *s);

// What this runtime keeps for the thing behind a userdata. [loop]
void *shared_view(void *userdata);

// The shared thing at `idx`; the reference stays the userdata's. [loop] Raises when the value is
// something else.
shared *shared_check(lua_State *L, int idx, const shared_type *type);

// The shared thing of any type at `idx`, NULL when the value is something else. [loop]
shared *shared_of(lua_State *L, int idx);

#endif
