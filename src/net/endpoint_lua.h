// SPDX-License-Identifier: MIT
// Addresses as scripts write them, read into endpoints; and addresses as scripts see them. Runs on
// the loop thread.
#ifndef NET_ENDPOINT_LUA_H
#define NET_ENDPOINT_LUA_H

#include <lua.h>

#include "net/address.h"

#define ENDPOINT_TEXT (ADDRESS_HOST + 16)  // bytes that the text of any endpoint needs

// Read the address at `idx`: "host:port", "[v6]:port", "unix:/path", {host=, port=}, {path=}.
// Raises at the caller's line when it is none; `operation` is who wants it. [loop]
void endpoint_read(lua_State *L, int idx, const char *operation, endpoint *e);

// Read the option `name` of the table at `idx`, a numeric address; family 0 when it is absent.
// [loop] Raises as endpoint_read.
void endpoint_read_numeric(lua_State *L, int idx, const char *operation, const char *name,
                           address *out);

// Push the text of an address; answer 1. [loop]
int endpoint_push(lua_State *L, const address *a);

#endif
