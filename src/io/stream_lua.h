// SPDX-License-Identifier: MIT
// Streams as scripts see them: the userdata that owns a stream, the classes that share the stream
// methods, their errors. Runs on the loop thread.
#ifndef IO_STREAM_LUA_H
#define IO_STREAM_LUA_H

#include <lauxlib.h>
#include <lua.h>

#include "io/stream.h"

typedef struct stream_box {
  const void *tag;  // tells the userdata from those of others
  stream *s;        // NULL: empty, which is closed
} stream_box;

// Register the class `name` ("corun.tcp"), shown as `shown` ("tcp stream"), with the stream methods
// and `extra`. [loop] Raises on out of memory.
void stream_class(lua_State *L, const char *name, const char *shown, const luaL_Reg *extra);

// Push an empty userdata of a class; put the stream into it, a reference to which it then owns,
// once nothing can fail. [loop] Raises on out of memory.
stream_box *stream_newbox(lua_State *L, const char *name);

// Say whether the value at `idx` is a stream, open or closed. [loop]
int stream_is(lua_State *L, int idx);

// The stream at `idx`. Raises when the value is no stream, and ECLOSED when it is closed. `op` is
// the function that asks. [loop]
stream *stream_check(lua_State *L, int idx, const char *op);

// Take the reference that the userdata at `idx` owns; it is closed for the script from then on. The
// value must have passed stream_check. [loop]
stream *stream_take(lua_State *L, int idx);

// Raise ECLOSED for an operation begun on a closed stream; `s` may be NULL. [loop]
int stream_raise_closed(lua_State *L, const stream *s, const char *op);

// Push nil and the error for a negative libuv code, STREAM_CLOSED included; answer 2. [loop]
int stream_fail(lua_State *L, const stream *s, int rc, const char *op);

// Read the option table at index 2, whose keys are `names`, and set "timeout" and "queue". [loop]
// Raises at the caller's line.
void stream_configure(lua_State *L, stream *s, const char *const *names);

// The instant at which a call ends that was begun now: by the option "timeout" of the table at
// `idx`, if there is one, else by the stream's own limit. [loop]
uint64_t stream_limit(lua_State *L, const stream *s, int idx, const char *op);

// The end of the write side, for classes that have one. [loop]
int stream_l_shutdown(lua_State *L);

// The reading methods (stream_read.c), ended by NULL.
extern const luaL_Reg stream_readers[];

#endif
