// SPDX-License-Identifier: MIT
// Compression: gzip, deflate, brotli and zstd behind one small interface. A codec is one stream in
// one direction; codec_run feeds it with what is left of a call's input and appends to the call's
// output, a bounded amount at a time, so that it can go on later, also on another thread. Knows no
// Lua. Invariant: one thread at a time uses a codec.
#ifndef DATA_CODEC_H
#define DATA_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buffer.h"

typedef struct codec codec;

typedef enum {
  CODEC_GO_ON,   // more input will come
  CODEC_FLUSH,   // encoders: give all that was taken, so that the other side can decode it
  CODEC_FINISH,  // this is the end of the input
} codec_goal;

// What a step answers, beside a negative libuv code.
enum {
  CODEC_MORE,  // all input was taken and the goal reached as far as that allows
  CODEC_FULL,  // the room for output is used up: call again
  CODEC_END,   // the stream is complete; input may be left
};

// The room of one step, which makes in_len and out_len what is left of them.
typedef struct codec_room {
  const unsigned char *in;
  unsigned char *out;
  size_t in_len, out_len;
} codec_room;

typedef struct codec_class {
  const char *name;  // "gzip"
  int is_decoder;
  int is_repeatable;          // decoders: streams may follow each other
  int least, most, usual;     // encoders: levels
  size_t size;                // of the structure that begins with a codec
  int weight;                 // KiB that one holds, roughly: for the collector's pace
  size_t (*pace)(int level);  // bytes that take about a millisecond
  // Acquire what the codec needs; `hint` is the size of all input if it is known, else UINT64_MAX.
  // Answers 0, UV_ENOMEM or UV_EINVAL; what was acquired by then is released by `stop`.
  int (*start)(codec *c, int level, uint64_t hint);
  int (*step)(codec *c, codec_room *room, codec_goal goal);
  int (*restart)(codec *c);  // decoders that are repeatable: be ready for the next stream
  void (*stop)(codec *c);
} codec_class;

struct codec {
  const codec_class *cls;
  uint64_t taken, given;  // bytes of input and output so far
  uint64_t max;           // most bytes of output, UINT64_MAX for no limit
  size_t pace;            // bytes that take about a millisecond
  int began, ended;       // the current stream has; both are 0 before the first byte
  const char *reason;     // for UV_EINVAL: why
};

extern const codec_class codec_gzip_encoder, codec_gzip_decoder, codec_deflate_encoder,
  codec_deflate_decoder, codec_br_encoder, codec_br_decoder, codec_zstd_encoder, codec_zstd_decoder;

// Make a codec. [any] Answers NULL on out of memory.
codec *codec_new(const codec_class *cls, int level, uint64_t max, uint64_t hint);

// Free a codec; NULL is allowed. [any]
void codec_free(codec *c);

// One call: input that is left, what is wanted, output so far. Zeroed, it is an empty call.
typedef struct codec_call {
  const unsigned char *in;
  size_t len;
  codec_goal goal;
  buffer out;
} codec_call;

// Go on with a call for about `budget` bytes. [any] Answers 0 when it is done, CODEC_FULL when the
// budget was spent, UV_EINVAL for input that is damaged, truncated or followed by other bytes
// (c->reason), UV_EMSGSIZE when there would be more output than c->max, UV_ENOMEM.
int codec_run(codec *c, codec_call *call, size_t budget);

// Answer UV_EINVAL with a reason, a constant. [any]
static inline int codec_refuse(codec *c, const char *reason) {
  c->reason = reason;
  return UV_EINVAL;
}

#endif
