// SPDX-License-Identifier: MIT
// The allocator of a runtime's Lua state: counts bytes, can be told to fail (tests). Runs on the
// runtime's thread.
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include <stddef.h>

#include "core/types.h"

// A lua_Alloc; `ud` is the runtime.
void *alloc_lua(void *ud, void *p, size_t old_size, size_t size);

// Give all memory back; the Lua state is closed.
void alloc_fini(rt *r);

#endif
