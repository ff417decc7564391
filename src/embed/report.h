// SPDX-License-Identifier: MIT
// What is said of an error that nobody caught: its text, its traceback, its causes, and what failed
// beside it. Owns nothing.
#ifndef EMBED_REPORT_H
#define EMBED_REPORT_H

#include <lua.h>
#include <stdio.h>

// Write the report of the error on top of the stack, behind a label, and pop the error. [loop]
// Never raises.
void report_write(lua_State *L, FILE *f, const char *label);

#endif
