// SPDX-License-Identifier: MIT
// Option tables of functions bound in C: unknown keys and wrong types raise at the caller's line
// with a "did you mean". Owns nothing; runs on the loop thread.
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H

#include <lua.h>
#include <stddef.h>

// Raise unless the value at `idx` is none, nil or a table whose keys are all in `names` (ended by
// NULL). Answer whether there is a table. [loop]
int opt_check(lua_State *L, int idx, const char *operation, const char *const *names);

// The option `name` as a number of seconds, `otherwise` when it is absent. Raises unless it is a
// number that is at least 0. [loop]
double opt_seconds(lua_State *L, int idx, const char *operation, const char *name,
                   double otherwise);

// The option `name` as a count of at least `least`, `otherwise` when it is absent. [loop]
lua_Integer opt_count(lua_State *L, int idx, const char *operation, const char *name,
                      lua_Integer least, lua_Integer otherwise);

// The option `name` as an integer from `least` to `most`, `otherwise` when it is absent. [loop]
lua_Integer opt_range(lua_State *L, int idx, const char *operation, const char *name,
                      lua_Integer least, lua_Integer most, lua_Integer otherwise);

// The option `name` as a boolean, `otherwise` when it is absent. [loop]
int opt_flag(lua_State *L, int idx, const char *operation, const char *name, int otherwise);

// The option `name` as a string that stays valid while the table holds it, NULL when absent. [loop]
const char *opt_string(lua_State *L, int idx, const char *operation, const char *name, size_t *len);

// The argument `idx` as a number of seconds; negative is allowed, NaN raises. [loop]
double opt_duration(lua_State *L, int idx);

#endif
