// SPDX-License-Identifier: MIT
// Handles: the C objects behind libuv handles. They live on the C heap, apart from the userdata
// that scripts hold, so that libuv may still use one after the collector took the userdata. The
// runtime lists them, closes what is left at its end, and counts them for leak checks. Runs on the
// loop thread. Invariant: a handle is freed exactly once, in its close callback.
#ifndef CORE_HANDLE_H
#define CORE_HANDLE_H

#include <uv.h>

#include "base/list.h"
#include "core/types.h"

typedef struct handle {
  list link;  // in rt->handles
  rt *r;
  const char *kind;                 // "tcp", shown in reports
  void (*close)(struct handle *h);  // begin to close; leads to handle_fini
} handle;

// Put a handle into the runtime's list. [loop]
void handle_init(rt *r, handle *h, const char *kind, void (*close)(handle *));

// Take it out again; the caller frees it. [loop]
void handle_fini(handle *h);

// Close all that is left. [loop, from rt_close]
void handle_close_all(rt *r);

#endif
