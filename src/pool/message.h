// SPDX-License-Identifier: MIT
// Messages: Lua values on their way from one runtime to another, as bytes (docs/encoding.md) and
// references to shared things. Encoding reads tables raw and calls no metamethod, so nothing can
// change meanwhile, and refuses before anything is sent what cannot cross.
//
// Cross as copies: nil, booleans, numbers, strings, tables with cycles and sharing, tables with a
// registered metatable, errors of corun, Lua functions with their upvalues. Cross by name: modules,
// and the functions of C and of corun that a loaded module exports. Cross as they are: the globals
// (each side's own), json.null, shared things.
#ifndef POOL_MESSAGE_H
#define POOL_MESSAGE_H

#include <lua.h>
#include <stddef.h>

#include "pool/shared.h"

// A long string on its way: a block of malloc's that becomes the memory of the string there.
typedef struct message_block {
  char *p;  // NULL once it was taken
  size_t n;
} message_block;

typedef struct message {
  unsigned char *bytes;  // malloc's
  size_t len;
  shared **refs;  // the shared things that the bytes number, a reference each
  size_t nrefs;
  message_block *blocks;  // that the bytes number
  size_t nblocks;
  size_t nnames;      // modules and what they export, at most so many times
  int n;              // number of values
  int hidden;         // the first so many are not counted in the sentence that one cannot cross
  struct home *home;  // whose proxies it may carry (proxy.h); NULL: nobody's
} message;            // zeroed: empty

enum {
  MESSAGE_NO_FUNCTIONS = 1,  // refuse functions, and modules and globals as such
  MESSAGE_NO_SHARED = 2,     // refuse shared things: the other side is another process
  MESSAGE_PLAIN = MESSAGE_NO_FUNCTIONS | MESSAGE_NO_SHARED,
  MESSAGE_KEEP = 4,  // what cannot cross stays here, the message's home: its proxy crosses
  MESSAGE_ONCE = 8,  // it is decoded once at most, in this process: long strings cross as blocks
};

// Encode the `n` values from index `first` on into a message that is empty but for `hidden` and
// `home`. Answers 0; or -1 with one sentence pushed, `cannot transfer userdata (tcp stream) at
// argument 2 .conn.sock`, in which `what` is "argument" or "result"; the message is then empty.
// [loop] Raises on out of memory only; the message can then be given to message_fini.
int message_encode(lua_State *L, message *m, int first, int n, const char *what, unsigned flags);

// Push the values and answer their number; the message stays the caller's. [loop, in a task, as
// modules may have to be loaded] Raises on out of memory, when a module or a metatable that the
// message names is not known here, and for bytes that are no message. Without
// MESSAGE_NO_FUNCTIONS the bytes must come from message_encode: bytecode is not verified (S46).
int message_decode(lua_State *L, const message *m, unsigned flags);

// Push a list of the modules that the message names and that are not loaded here, and answer 1; or
// push nothing and answer 0. Decoding loads them where they cannot suspend. [loop] Raises on out of
// memory.
int message_push_missing(lua_State *L, const message *m);

// The same as message_decode, but answers -1 with a sentence pushed for bytes that are no message.
// [loop]
int message_try_decode(lua_State *L, const message *m, unsigned flags);

// Make an empty message that holds bytes, from malloc, of one that was encoded elsewhere; they
// are its own from then on. [any]
void message_adopt(message *m, unsigned char *p, size_t len);

// Free what the message holds, and empty it. [any]
void message_fini(message *m);

// Let tables with the metatable on top of the stack, which is popped, cross under `name`: the other
// side gives them the one it has registered under that name. [loop] Raises on out of memory, and
// when either is registered with another already.
void message_register(lua_State *L, const char *name);

#endif
