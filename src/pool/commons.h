// SPDX-License-Identifier: MIT
// Commons: channels that the runtimes of a program find by name: the one that began, and those of
// all workers that descend from it. Made when first wanted, and gone with the last runtime. Any
// thread; takes a lock of its own.
#ifndef POOL_COMMONS_H
#define POOL_COMMONS_H

#include <lua.h>

typedef struct commons commons;

// The commons of the runtime of `L`, which holds them as long as it lives. [loop] Raises on out of
// memory.
commons *commons_of(lua_State *L);

// Take and give up a reference. [any]
commons *commons_ref(commons *c);
void commons_unref(commons *c);

// Push the channel called by the `len` bytes of `name`, which keeps one item; answer whether it was
// made now. [loop] Raises on out of memory.
int commons_push(lua_State *L, const char *name, size_t len);

#endif
