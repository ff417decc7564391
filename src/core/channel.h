// SPDX-License-Identifier: MIT
// Channels: queues of Lua values between tasks. A channel is a userdata; what it holds lies in a
// ring, a Lua table in its user value, so that the collector sees it. Items of blocked senders stay
// on the senders' stacks. Runs on the loop thread. Invariant: senders wait only while the channel
// is full, receivers only while it is empty, and an item moves only to a task that gets it (S15).
#ifndef CORE_CHANNEL_H
#define CORE_CHANNEL_H

#include <lua.h>

#include "core/waitable.h"

typedef struct channel {
  list senders, receivers;  // of waiters
  lua_Integer capacity;
  uint32_t count;       // items in the ring
  uint32_t head, room;  // slot of the oldest item; slots in the ring, 0 or a power of two
  int closed;
} channel;

extern const waitable channel_class;

// Push a new channel, still without a metatable. [loop] Raises on out of memory.
channel *channel_new(lua_State *L, lua_Integer capacity);

// Send the item at index 2 into the channel at index 1: gives true, or nil, err when it is closed
// (S34). To be returned from a lua_CFunction. [loop]
int channel_send(lua_State *L);

// Receive from the channel at index 1: gives the item, nil when it is closed and drained. To be
// returned from a lua_CFunction. [loop]
int channel_recv(lua_State *L);

// Close the channel; closing again does nothing. [loop] Must not run Lua.
void channel_close(channel *c);

#endif
