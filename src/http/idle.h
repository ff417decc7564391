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
  list connections;    // the one that has idled longest first
  list *warm;          // from this one on they keep the memory of their last message
  unsigned nwarm;      // so many
  unsigned most_warm;  // so many may; 0: any number
  unsigned is_closing : 1;
  uint64_t limit;  // milliseconds; 0: any time, then there is no timer and no handle
} http_idle;

// Make one that closes what has idled for `seconds`, if that is not infinite. Only the `most_warm`
// that began last to idle keep the memory of their last message, if that is not 0: those that are
// busy all the time are among them. [loop] 0 or UV_ENOMEM.
int http_idle_open(rt *r, double seconds, unsigned most_warm, http_idle **out);

// Let go of the connections and free it. [loop]
void http_idle_close(http_idle *i);

// Close all connections in it. [loop]
void http_idle_close_all(http_idle *i);

// The owner is closing: end those from which nothing has come (http_connection_end); the others are
// busy in a moment. [loop]
void http_idle_close_silent(http_idle *i);

// A connection idles from now on, until http_idle_remove. [loop]
void http_idle_add(http_idle *i, http_connection *c);

// It idles no longer; harmless when it did not. [loop]
void http_idle_remove(http_connection *c);

#endif
