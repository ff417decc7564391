// SPDX-License-Identifier: MIT
// The connections of one owner that idle, in order of the time since when. A pool closes what has
// idled too long: then there is a timer, which keeps nothing alive (S38). Owns not the connections.
// Runs on the loop thread. Invariant: a connection in the list is in no exchange.
#ifndef HTTP_IDLE_H
#define HTTP_IDLE_H

#include <uv.h>

#include "base/list.h"
#include "core/handle.h"

typedef struct http_connection http_connection;

typedef struct http_idle {
  handle h;
  uv_timer_t timer;
  list connections;  // the one that has idled longest first
  uint64_t limit;    // milliseconds; 0: any time, then there is no timer and no handle
} http_idle;

// Make one that closes what has idled for `seconds`, if that is not infinite. [loop] 0 or
// UV_ENOMEM.
int http_idle_open(rt *r, double seconds, http_idle **out);

// Let go of the connections and free it. [loop]
void http_idle_close(http_idle *i);

// Close all connections in it. [loop]
void http_idle_close_all(http_idle *i);

// Close those from which nothing has come; the others are busy in a moment. [loop]
void http_idle_close_silent(http_idle *i);

// A connection idles from now on, until http_idle_remove. [loop]
void http_idle_add(http_idle *i, http_connection *c);

// It idles no longer; harmless when it did not. [loop]
void http_idle_remove(http_connection *c);

#endif
