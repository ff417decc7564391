// SPDX-License-Identifier: MIT
// The encoder at work: what encode.c shares with the files that name things and places for it.
// While a message is encoded nothing here may run the collector's steps (make a string, a table, a
// userdata): a finaliser could change the tables that are being read.
#ifndef POOL_ENCODE_H
#define POOL_ENCODE_H

#include "pool/codec.h"
#include "pool/message.h"

// Where in the object `at` the value on top of the stack is.
enum step { STEP_SELF, STEP_VALUE, STEP_KEY, STEP_UPVALUE };

typedef struct writer {
  lua_State *L;
  codec *c;
  message *m;
  const char *what;
  unsigned flags;
  int codec_at, queue_at;
  const void *globals, *loaded;  // the tables _G and package.loaded
  int knows_modules;
  uint32_t nkept, nobjects, nslots;
  int32_t at;  // the object whose contents are written, or -(the number of the argument)
  enum step step;
  int upvalue;   // at STEP_UPVALUE
  int npending;  // in c->pending
} writer;

// What stands at an address: see encode.c.
#define PLACE_MODULE UINT64_MAX  // a module that was not met yet

// The place of an address. It is new when its value is 0. [loop] Raises on out of memory.
place *writer_place(writer *w, const void *key);

// Push the sentence that `what` at the place of the value on top of the stack cannot cross; answer
// -1. What it leaves on the stack besides is the caller's to drop. [loop]
int writer_refuse(writer *w, const char *what);

// Enter the addresses of all loaded modules as places. [loop]
void writer_know_modules(writer *w);

// Put into the scratch bytes the value that names the module, or the function that a module
// exports, on top of the stack; answer whether there is a name. [loop]
int writer_name(writer *w);

#endif
