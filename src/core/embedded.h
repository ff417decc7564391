// SPDX-License-Identifier: MIT
// The Lua modules of lua/corun, compiled at build time and linked into the program. The table is
// made by cmake/embed.c, ends with a NULL name, and is constant: any thread may read it.
#ifndef CORE_EMBEDDED_H
#define CORE_EMBEDDED_H

#include <stddef.h>

struct embedded {
  const char *name;           // as given to require: "corun", "corun.http"
  const unsigned char *data;  // bytecode with debug information
  size_t size;
};

// Hidden, so that the program does not export it beside the functions of corun.h.
extern const struct embedded corun_embedded[] __attribute__((visibility("hidden")));

#endif
