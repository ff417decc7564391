// SPDX-License-Identifier: MIT
// Sockets that the program was started with: a supervisor such as systemd opens them, and says with
// the environment (sd_listen_fds(3)) whom they are for, how many there are, from descriptor 3 on,
// and what they are called. Runs on the loop thread. Invariant: once this has been noted, children
// inherit neither the descriptors nor the variables.
#ifndef NET_HANDED_H
#define NET_HANDED_H

#include <lua.h>

// Note what was handed over, before the first script runs. For the program's main state alone.
void handed_note(lua_State *L);

// Push what was noted: a table of the names in the order of the descriptors, whose field `other` is
// set when the variables were for the process of that number; nil where nothing was noted. [loop]
void handed_push(lua_State *L);

#endif
