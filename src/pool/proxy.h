// SPDX-License-Identifier: MIT
// Proxies: shared things that stand for values which stay in a worker, since they cannot cross. A
// home is the worker of a pool that keeps such values, as both sides know it: a message between
// them may carry its proxies, and no other message may. There a proxy is the value itself; in the
// runtime that called it is a userdata. Invariant: a worker keeps a value as long as its proxy has
// a reference; whoever gives up the last one tells the worker, which lets go between two jobs.
#ifndef POOL_PROXY_H
#define POOL_PROXY_H

#include <lua.h>
#include <stddef.h>

#include "core/types.h"
#include "pool/shared.h"

typedef struct home home;

extern const shared_type proxy_type;

// Make a home with one reference, the caller's; NULL on out of memory. [loop]
home *home_new(void);

// Give a reference up; the last one frees. [any]
void home_unref(home *h);

// The values are kept in the runtime of `L` from now on. [its loop] Raises on out of memory.
void home_enter(lua_State *L, home *h);

// They were, until now. [its thread]
void home_leave(home *h, const rt *r);

// Let go of the values that have lost their proxies, and collect them. [its loop, in a task]
void home_clean(lua_State *L, home *h);

// See to it that home_clean collects garbage, whatever was let go of. [its loop]
void home_litter(home *h);

// Say whether home_clean has something to collect. [any]
int home_is_littered(home *h);

// The number of values that are kept. [its loop]
size_t home_kept(const home *h);

// The number of proxies that somebody holds and has not shut, but for those of functions, such as
// iterators: nobody closes them. [any]
size_t home_open(home *h);

// Let all proxies of this home that come here hold the userdata on top of the stack. [loop of the
// runtime that calls] Raises on out of memory.
void home_set_owner(lua_State *L, const home *h);

// A new reference to the proxy of the value on top of the stack, NULL when it has none. [its loop]
shared *proxy_find(lua_State *L);

// A proxy, with one reference, for the value on top of the stack; NULL on out of memory. [its loop]
// Until proxy_keep it must not come home.
shared *proxy_new(lua_State *L, home *h);

// Keep the value on top of the stack for its new proxy. [its loop] Raises on out of memory.
void proxy_keep(lua_State *L, shared *s);

// Say whether the shared thing can be in a message for, or from, this home. [any]
int proxy_may_cross(const shared *s, const home *h);

// What it is called, such as "SQLite3 connection". [any]
const char *proxy_name(const shared *s);

// The value was closed: the proxy counts no more as open. [any]
void proxy_shut(shared *s);
int proxy_is_open(shared *s);

#endif
