// SPDX-License-Identifier: MIT
// Arguments of functions bound in C: as luaL_check* and luaL_opt*, but what is wrong is told at the
// line of the script that called into corun, with the name of the function however it was called
// (`pcall(s.read, s, 1.5)`), and with the number that the caller counts: `self` is none. Owns
// nothing; runs on the loop thread.
#ifndef CORE_ARGS_H
#define CORE_ARGS_H

#include <lua.h>
#include <stddef.h>

// Raise that the argument at `idx` is bad, and why. Does not return. [loop]
int arg_error(lua_State *L, int idx, const char *why);

// Raise that it is of another type than `expected`. Does not return. [loop]
int arg_type_error(lua_State *L, int idx, const char *expected);

// Raise that the self of the method `name`, at index 1, is none. Does not return. [loop]
int arg_self_error(lua_State *L, const char *name, const char *expected);

// Raise arg_error unless the condition holds. [loop]
#define arg_check(L, condition, idx, why) ((void)((condition) || arg_error(L, idx, why)))

// The argument as what it must be. [loop] Raises when it is something else.
lua_Integer arg_integer(lua_State *L, int idx);
lua_Number arg_number(lua_State *L, int idx);
const char *arg_string(lua_State *L, int idx);
const char *arg_lstring(lua_State *L, int idx, size_t *len);
void arg_type(lua_State *L, int idx, int type);
void arg_any(lua_State *L, int idx);

// An integer of at least `least`, which is 0 or 1. [loop] Raises when it is something else.
lua_Integer arg_count(lua_State *L, int idx, lua_Integer least);

// The userdata with the metatable that luaL_newmetatable knows as `class`; messages call it by its
// __name. [loop] Raises when it is something else.
void *arg_object(lua_State *L, int idx, const char *class);

// The index of the word in `words` (ended by NULL); `otherwise`, if not NULL, when it is absent.
// [loop] Raises when it is none of them.
int arg_option(lua_State *L, int idx, const char *otherwise, const char *const *words);

// The same, `otherwise` when it is none or nil. [loop]
lua_Integer arg_opt_integer(lua_State *L, int idx, lua_Integer otherwise);
lua_Number arg_opt_number(lua_State *L, int idx, lua_Number otherwise);
const char *arg_opt_string(lua_State *L, int idx, const char *otherwise);

#endif
