// SPDX-License-Identifier: MIT
// Channels between runtimes: a queue of messages under a lock. Tasks that wait are kept apart for
// each runtime, in a port; who makes something possible calls a port, and the operation is then
// done on the loop of the task that waits for it, so that a select commits to one case only.
// Invariant: a port is in the list exactly while tasks of its runtime wait, and as long as
// something is possible for some of them, a port is called.
#ifndef POOL_SHARED_CHANNEL_H
#define POOL_SHARED_CHANNEL_H

#include "core/waitable.h"
#include "pool/shared.h"

typedef struct shared_channel shared_channel;

extern const shared_type shared_channel_type;
extern const waitable shared_channel_class;

// Push a new channel that keeps up to `capacity` items; one without room takes an item when a
// receiver waits. [loop] Raises on out of memory.
void shared_channel_push(lua_State *L, lua_Integer capacity);

// Send the value at index 2 over the channel at index 1, and receive from it. To be returned from a
// lua_CFunction. [loop]
int shared_channel_send(lua_State *L);
int shared_channel_recv(lua_State *L);

// Close it, for all runtimes. [any]
void shared_channel_close(shared_channel *c);

// The number of items in it, what it keeps at most, and whether it is closed. [any]
size_t shared_channel_count(shared_channel *c, lua_Integer *capacity, int *closed);

#endif
