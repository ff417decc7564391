// SPDX-License-Identifier: MIT
// Failures of a scope: the errors of its body and children, and the async children that failed and
// have not been awaited yet (S3, S5). The first hundred of each kind are kept in Lua tables, the
// rest counted. Runs on the loop thread, inside a protected call.
#ifndef CORE_FAILURES_H
#define CORE_FAILURES_H

#include <lua.h>

#include "core/types.h"

// Keep the error on top of the stack, which is popped. [loop] Raises on out of memory.
void failures_note(lua_State *L, scope *s);

// Keep the failed async task whose handle is at `idx` until it is awaited. [loop] Raises on out of
// memory.
void failures_pend(lua_State *L, scope *s, int idx);

// Forget the failed async task whose handle is at `idx`: an await gave its error. [loop]
void failures_deliver(lua_State *L, scope *s, int idx);

// Push the error made of all failures and answer 1, or answer 0 when there are none. [loop]
int failures_push(lua_State *L, scope *s);

// Push the error made of the `n` failures on top of the stack, which are popped, with the traceback
// of the first (S5); `omitted` more were not kept. [loop]
void failures_group(lua_State *L, int n, unsigned omitted);

// No await shall look for this scope any more: it ends. [loop] Does not raise.
void failures_forget(rt *r, scope *s);

#endif
