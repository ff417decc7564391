// SPDX-License-Identifier: MIT
// What the two files of a connection share: connection.c receives, connection_send.c sends.
#ifndef HTTP_CONNECTION_INNER_H
#define HTTP_CONNECTION_INNER_H

#include "http/connection.h"

// Push the results of a failure (see http_connection_receive) of `op` with the error `rc`. [loop]
int http_connection_fail(lua_State *L, const http_connection *c, int rc, const char *op);

// Go on receiving c->part. [loop]
int http_connection_go_on(lua_State *L, http_connection *c);

#endif
