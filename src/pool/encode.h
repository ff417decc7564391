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

// The value of a place: a number that is never 0, and two bits that say of what.
enum { PLACE_KEPT, PLACE_OBJECT, PLACE_DUMP, PLACE_UPVALUE };

static inline uint64_t place_value(uint64_t n, int kind) {
  return (n + 1) << 2 | (unsigned)kind;
}

#define PLACE_MODULE UINT64_MAX  // a module that was not met yet

// The place of an address. It is new when its value is 0. [loop] Raises on out of memory.
place *writer_place(writer *w, const void *key);

// Write the number of an object or a kept value that was written before. [loop]
void writer_again(writer *w, uint64_t value);

// Give the table or closure on top of the stack, new at `p`, the next number, and queue it. [loop]
void writer_add_object(writer *w, place *p);

// Write the function on top of the stack, as message_encode's put_value does. [loop]
int writer_function(writer *w);

// Describe the closure on top of the stack: its dump, or where one like it is. [loop]
void writer_closure(writer *w, int upvalues);

// Append a record and, if it is new, see to it that it is remembered for the function on top of the
// stack. [loop]
void writer_record(writer *w, bytes *to, const unsigned char *p, size_t n, int is_new);

// Remember the new records of the message, whose objects begin there: this makes strings. [loop]
void writer_remember(writer *w, size_t objects);

// Say whether the value on top of the stack, an upvalue of that name, stands for the globals: those
// themselves, or an environment that falls back on them, as busted gives one to each spec. [loop]
int writer_is_globals(writer *w, const char *name);

// Push the sentence that `what` at the place of the value on top of the stack cannot cross; answer
// -1. What it leaves on the stack besides is the caller's to drop. [loop]
int writer_refuse(writer *w, const char *what);

// Let the value on top of the stack, which cannot cross, stay: write its proxy, where proxies may
// be made, and answer 0. Else answer as writer_refuse. [loop]
int writer_stay(writer *w, const char *what);

// Enter the addresses of all loaded modules as places. [loop]
void writer_know_modules(writer *w);

// Put into the scratch bytes the value that names the module, or the function that a module
// exports, on top of the stack; answer whether there is a name. [loop]
int writer_name(writer *w);

#endif
