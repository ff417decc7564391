// SPDX-License-Identifier: MIT
// Functions of Lua's own libraries which must behave otherwise where the process is not the
// runtime's own: in a worker's thread, inside another program. Owns nothing.
#ifndef CORE_STOCK_H
#define CORE_STOCK_H

#include <lua.h>

// Let os.execute and io.popen start programs with the mask of signals in the runtime's options, not
// with that of the thread, in which signals are blocked that the program must get. [loop] Raises on
// out of memory.
void stock_unblock(lua_State *L);

// Let os.exit raise. [loop] Raises on out of memory.
void stock_keep_process(lua_State *L);

#endif
