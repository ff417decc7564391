// SPDX-License-Identifier: MIT
// Waitables: objects on which a task can wait for an operation, alone or as one case of a select.
// A class says in a static table how to try an operation, how to queue for it and what it gives; it
// is registered under the metatable of the class, so that classes of higher layers can join. Runs
// on the loop thread. Invariant: a queued waiter is served, or taken out, exactly once; when one
// case of a select is served, the others leave their queues in the same instant.
#ifndef CORE_WAITABLE_H
#define CORE_WAITABLE_H

#include <lua.h>

#include "base/list.h"
#include "core/types.h"
#include "core/wait.h"

typedef struct waitable waitable;
typedef struct selection selection;

// A task in the queue of an object. Its coroutine keeps the object, and the item to send, on its
// stack while it waits.
typedef struct waiter {
  list link;  // in the queue of the object
  task *t;
  lua_State *L;  // the coroutine that waits
  void *object;  // the userdata that is waited for
  const waitable *cls;
  selection *of;  // the select that this is a case of, NULL when it waits for this alone
  int item;       // place of the item to send in the frame of L, 0 to receive
} waiter;

// What served a waiter: the `rc` of its wait. A class may use positive numbers of its own.
enum { SERVED = 0, SERVED_CLOSED = -1 };

struct waitable {
  const char *name;  // "channel", for reports
  int sends;         // whether it takes items too

  // Do the operation if that is possible at once, and push its results. `object` and `item` (0 to
  // receive) are stack indices. Answers the number of results, -1 when it has to wait. May raise,
  // with nothing done.
  int (*poll)(lua_State *L, int object, int item);

  // Put the waiter into the queue of its object, and take it out. Must not run Lua.
  void (*enqueue)(waiter *w);
  void (*dequeue)(waiter *w);

  // Push the results of an operation that was served while it waited: `rc`, and the values handed
  // over on top of the stack, are those of waiter_serve. Answers their number.
  int (*finish)(lua_State *L, int object, int item, int rc);
};

// Make the class waitable whose metatable is on top of the stack. [loop] Raises on out of memory.
void waitable_register(lua_State *L, const waitable *cls);

// The class of the value at `idx`, NULL when it cannot be waited for. [loop]
const waitable *waitable_of(lua_State *L, int idx);

// Do the operation on the object at index 1, or suspend until it is done; `item` is the index of
// the item to send, 0 to receive. To be returned from a lua_CFunction. Raises a cancellation before
// any effect. The `done` function of `ops` gets a waiter that is freed already; the other two are
// those below. [loop]
int waitable_begin(lua_State *L, const wait_ops *ops, const waitable *cls, int item);

wait_answer waitable_cancel(task *t, void *arg);
void waitable_describe(const task *t, const void *arg, char *buf, size_t n);

// What the `done` function of such an operation answers. [loop]
int waitable_done(lua_State *L, const waitable *cls, int item, int rc);

// Serve a queued waiter: take it, and the other cases of its select, out of the queues and wake its
// task with `rc` and the `n` values on top of `from`, which are popped. [loop] Must not run Lua.
// Answers 0, or UV_ENOMEM with nothing popped: then the task raises that and the next waiter may be
// served.
int waiter_serve(waiter *w, int rc, lua_State *from, int n);

// Wait until an operation of the table of cases at index 1 is possible and do that one, for at most
// `seconds`. To be returned from a lua_CFunction. [loop] Raises a cancellation before any effect.
int select_begin(lua_State *L, double seconds);

// --- What all channels have in common --------------------------------------------------------

// Raise unless index 2 holds the one item that `op` is to send. [loop]
void waitable_check_item(lua_State *L, const char *op);

// Send the item at index 2 if that is possible at once, else give false. [loop] Answers the number
// of results.
int waitable_try_send(lua_State *L, const waitable *cls);

// Receive if that is possible at once, else give nil and EEMPTY; messages show the object's address
// `self`. [loop] Answers the number of results.
int waitable_try_recv(lua_State *L, const waitable *cls, const void *self);

// Give nil and ECLOSED to who sends; answer 2. [loop]
int waitable_fail_closed(lua_State *L, const waitable *cls, const void *self);

#endif
