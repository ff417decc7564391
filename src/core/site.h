// SPDX-License-Identifier: MIT
// Sites: places in scripts ("scrape.lua:12") as small numbers, so that a task can remember where it
// was spawned in four bytes. Owns the texts; lives as long as the runtime. Runs on the loop thread.
#ifndef CORE_SITE_H
#define CORE_SITE_H

#include <lua.h>

#include "core/types.h"

typedef struct site_entry {
  const void *source;  // address of the chunk's name, only compared
  int line;
  uint32_t name_len;  // how much of the text is the chunk's name
  char *text;
} site_entry;

typedef struct site_table {
  site_entry *entries;  // open addressing; entries[0] stands for "unknown"
  uint32_t *index;      // hash -> number of an entry, 0 = free
  uint32_t count, capacity;
} site_table;

// The number of the line that the innermost script function runs, `level` being the first frame
// looked at; 0 when there is none or no memory. [loop] Does not raise.
uint32_t site_here(lua_State *L, int level);

// The number of the line where the function on top of the stack, which is popped, is defined; 0 for
// one of C, or without memory. [loop] Does not raise.
uint32_t site_of(lua_State *L);

// Text of a site, "?" for 0. [loop]
const char *site_text(const rt *r, uint32_t site);

void site_fini(site_table *s);

#endif
