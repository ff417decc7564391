// SPDX-License-Identifier: MIT
// The userdata that hold a connection, and a list of those that idle, for the modules of http. Runs
// on the loop thread.
#ifndef HTTP_CONNECTION_LUA_H
#define HTTP_CONNECTION_LUA_H

#include <lua.h>

#include "http/connection.h"

#define HTTP_CONNECTION_CLASS "corun.httpconnection"

// Push a connection that takes over the stream at `idx`. [loop] Raises on out of memory.
http_connection *http_connection_push(lua_State *L, int idx, http_kind kind);

// Answer the connection at `idx`, which may be closed; raise when there is none. [loop]
http_connection *http_connection_any(lua_State *L, int idx);

// Answer the connection at index 1; raise unless it is open. [loop]
http_connection *http_connection_check(lua_State *L);

#define HTTP_IDLE_CLASS "corun.httpidle"

// Push the userdata of a list of connections that idle, in which there is none yet. [loop] Raises
// on out of memory.
http_idle **http_idle_push(lua_State *L);

// Answer the list in the userdata at `idx`, NULL once it is closed; raise when there is no such
// userdata. [loop]
http_idle **http_idle_any(lua_State *L, int idx);

#endif
