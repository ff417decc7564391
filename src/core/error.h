// SPDX-License-Identifier: MIT
// Error objects: the tables that scripts see as `err`, with code, op, target, message, cause and
// others. Owns the two metatables (errors, cancellations) in the registry. Runs on any thread that
// owns the lua_State handed in. A failure of the outside world is made here exactly once, at the
// binding; below it travel 0 or negative libuv codes.
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include <lua.h>

// The names of the metatables of errors and cancellations in the registry.
#define ERR_MT "corun.error"
#define ERR_CANCEL_MT "corun.cancelled"

// Register the metatables in the registry of `L`. [loop] Raises only on out of memory.
void err_open(lua_State *L);

// Push one error object. `op` and `target` may be NULL. The message is formatted as by
// lua_pushfstring. [loop] Raises only on out of memory.
void err_push(lua_State *L, const char *code, const char *op, const char *target, const char *fmt,
              ...);

// Raise that there is no memory. [loop]
_Noreturn void err_no_memory(lua_State *L);

// Push nil and an error object; return 2, so that a binding can return it. [loop]
int err_return(lua_State *L, const char *code, const char *op, const char *target, const char *fmt,
               ...);

// The same from a negative libuv code; `target` may be NULL. [loop]
int err_return_uv(lua_State *L, int rc, const char *op, const char *target);

// Push one error object for a negative libuv code. [loop]
void err_push_uv(lua_State *L, int rc, const char *op, const char *target);

// Raise an error object whose message is prefixed with the position of the function that called
// the running C function. Does not return. [loop]
int err_raise(lua_State *L, const char *code, const char *op, const char *target, const char *fmt,
              ...);

// Raise that the handle called `what` was closed at `site`, NULL when that is not known, and what
// to do if it was by the end of a <close> variable (S12, S20). Does not return. [loop]
int err_raise_closed(lua_State *L, const char *op, const char *target, const char *what,
                     const char *site, int by_scope);

// Raise a plain string error about misuse at the line of the script that called into corun, also
// when a Lua module of corun stands in between. Does not return. [loop]
int err_misuse(lua_State *L, const char *fmt, ...);

// Push the position ("file:line: ") of the innermost Lua function of the script, "" when there is
// none. [loop]
void err_where(lua_State *L);

// Push what a message shows of the value at `idx`, and answer it: a number as it is, a string in
// quotes, of all else the type. [loop]
const char *err_show(lua_State *L, int idx);

// Say whether the chunk name is that of an embedded module of corun. [any]
int err_is_embedded(const char *source);

// The most failures of one scope that are kept.
#define ERR_MOST 100

// Push a text for the failure at `idx`, also when its __tostring fails, and answer it. [loop]
const char *err_push_text(lua_State *L, int idx);

// Push the error made of the `n` failures on top of the stack, which are popped (S5): one is
// itself; several become the first with the others in `others`, or a new EGROUP. `omitted` more
// were not kept. [loop]
void err_push_group(lua_State *L, int n, unsigned omitted);

// Push the text of the value at `idx` as messages show it, and answer it: it ends at no zero byte,
// but has "\\0" in its place. [loop]
const char *err_escaped(lua_State *L, int idx);

// Push the error object made of a code, the message at `message` and the fields in the table at
// `fields` (0: no fields). [loop]
void err_push_fields(lua_State *L, const char *code, int message, int fields);

// Say whether the value at `idx` is a corun error object (cancellations included). [loop]
int err_is(lua_State *L, int idx);

// Say whether the value at `idx` is a cancellation. [loop]
int err_is_cancel(lua_State *L, int idx);

// Push a cancellation that names the scope `id`. [loop]
void err_push_cancel(lua_State *L, unsigned long long id, const char *message);

// Answer the scope id which the cancellation at `idx` names, 0 if it is no cancellation. [loop]
unsigned long long err_cancel_scope(lua_State *L, int idx);

// Name of a negative libuv code as scripts see it ("ECONNREFUSED"). [any]
const char *err_code_of(int rc);

// What it means, as messages say it ("connection refused"). [any]
const char *err_reason_of(int rc);

#endif
