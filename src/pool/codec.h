// SPDX-License-Identifier: MIT
// What the two halves of the codec share: the format (docs/encoding.md) and the memory that a Lua
// state keeps for it between messages.
#ifndef POOL_CODEC_H
#define POOL_CODEC_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CODEC_VERSION 1
#define CODEC_HEAD 32     // bytes of the header
#define CODEC_TEXT 40     // a string of at most so many bytes is a text, remembered in a slot
#define CODEC_SLOTS 256   // for texts
#define CODEC_SHARED 256  // a string of at least so many bytes is kept, and never written twice
#define CODEC_BLOCK ((size_t)32 << 10)  // from here on a string may be a block of its own
#define CODEC_LEAST (-16)               // the smallest integer that is one byte
#define CODEC_PENDING 16                // functions that are remembered from one message
#define CODEC_NEAR 64  // so many kept values or objects the decoder holds on the stack

// The first byte of each value.
enum codec_tag {
  TAG_NIL,
  TAG_FALSE,
  TAG_TRUE,
  TAG_NULL,
  TAG_INT16,
  TAG_INT32,
  TAG_INT64,
  TAG_FLOAT,
  TAG_TEXT,        // slot, length, bytes
  TAG_TEXT_AGAIN,  // slot
  TAG_STRING,      // length, bytes
  // Values that are kept; each has the next number.
  TAG_LONG,      // length, bytes
  TAG_FUNCTION,  // a dump; the globals are the one upvalue, if any
  TAG_EXPORT,    // module, number of names, names: the function found there
  TAG_MODULE,    // its name
  TAG_THING,     // number of the shared thing
  TAG_KEPT,      // the number of one
  // Objects; each new one has the next number.
  TAG_NEW,
  TAG_OBJECT,  // number
  TAG_GLOBALS,
  TAG_UPVALUE,  // function, upvalue: joined with that one; only among upvalues
  TAG_BLOCK,    // number of the message's block: a string; kept
  TAG_SMALL = 0x40,
};

// The first byte of the description of an object.
enum codec_object {
  OBJECT_TABLE,   // items, pairs
  OBJECT_CLASS,   // the same; before its contents the metatable's name, and a traceback or nil
  OBJECT_CLOSURE  // upvalues; where its dump was written before, or 0 and the dump
};

typedef struct bytes {
  unsigned char *p;
  size_t len, room;
} bytes;

// What was met in a message, by address.
typedef struct place {
  const void *key;
  uint64_t value;
  uint32_t turn;  // of the codec; another: the place is empty
} place;

typedef struct text_slot {
  const char *s;
  uint32_t turn;
  uint8_t slot;
} text_slot;

// A function that was decoded, to be given out again; the closure is in the table of closures.
typedef struct loaded {
  uint64_t hash;
  size_t len;
  unsigned char *dump;
} loaded;

// Where in the message the bytes stand that are to be remembered for a function.
typedef struct pending {
  int in_objects;  // or among the values
  size_t place, len;
} pending;

typedef struct codec {
  bytes out, objects, scratch, best;
  place *places;
  size_t nplaces, capacity;  // capacity is a power of two
  int busy;                  // encoding, or left by a raise
  uint32_t turn;             // number of the message
  int32_t *parents;          // of each object: an object, or -(the number of the argument)
  size_t parents_room;
  pending pending[CODEC_PENDING];
  text_slot texts[CODEC_SLOTS];
  loaded loaded[CODEC_SLOTS];
} codec;

// User values of the codec.
enum {
  CODEC_QUEUE = 1,  // list: objects of the message being encoded
  CODEC_RECORDS,    // weak keys: function -> the bytes that stand for it
  CODEC_CLOSURES,   // list: closure of the loaded function at the same place
  CODEC_CLASSES,    // registered metatables: name -> metatable, metatable -> name
  CODEC_LAST = CODEC_CLASSES
};

// Push the state's codec and answer it. [loop] Raises on out of memory.
codec *codec_push(lua_State *L);

// Push the name, or the metatable, that is registered for the metatable, or the name, on top of the
// stack, which is popped; answer its type. The codec is at `at`. [loop]
int codec_class(lua_State *L, int at);

// The hash by which a dump is known. [any]
uint64_t codec_hash(const unsigned char *p, size_t n);

// --- Bytes ---------------------------------------------------------------------------------------

// The block of `n` bytes, of malloc's, made of `old` if that is not NULL. [loop] Raises on out of
// memory; `old` is then left as it was.
void *codec_realloc(lua_State *L, void *old, size_t n);

// Make room for `n` more bytes. [loop] Raises on out of memory.
void bytes_grow(lua_State *L, bytes *b, size_t n);

static inline unsigned char *bytes_room(lua_State *L, bytes *b, size_t n) {
  if (b->room - b->len < n) bytes_grow(L, b, n);
  return b->p + b->len;
}

// Numbers are little-endian on any machine.
static inline uint64_t codec_little(uint64_t x) {
  return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(x) : x;
}

static inline void codec_store(unsigned char *p, uint64_t x, size_t n) {
  x = codec_little(x);
  memcpy(p, &x, n);
}

static inline uint64_t codec_load(const unsigned char *p, size_t n) {
  uint64_t x = 0;
  memcpy(&x, p, n);
  return codec_little(x);
}

// Read a count at *p, which goes on behind it. Answers 0, or -1 when there is none before `end`.
static inline int codec_load_count(const unsigned char **p, const unsigned char *end, uint64_t *x) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && *p < end; shift += 7) {
    unsigned char byte = *(*p)++;
    value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) {
      *x = value;
      return 0;
    }
  }
  return -1;
}

#define CODEC_COUNT_MAX 10  // bytes of a count: seven bits each, the lowest first

static inline size_t codec_store_count(unsigned char *p, uint64_t x) {
  size_t n = 0;
  for (; x >= 0x80; x >>= 7) p[n++] = (unsigned char)(x | 0x80);
  p[n++] = (unsigned char)x;
  return n;
}

#endif
