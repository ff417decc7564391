// SPDX-License-Identifier: MIT
// Compression for scripts: a recoder is a codec in a userdata, with one call at a time. What takes
// no more than about a millisecond is done at once; the rest of a call goes on on a thread
// (core/work.h) while the task waits. Runs on the loop thread. Invariant: while a thread works, the
// loop thread leaves the codec and the call alone.
#ifndef DATA_RECODE_H
#define DATA_RECODE_H

#include <lua.h>

#include "core/work.h"
#include "data/codec.h"

// Metatables of the userdata; the binding registers them.
#define RECODER_ENCODER "corun.encoder"
#define RECODER_DECODER "corun.decoder"

typedef struct recoder {
  const codec_class *cls;
  codec *codec;  // NULL once it is closed, or has failed
  codec_call call;
  work *busy;     // the work of the call under way
  unsigned refs;  // one of the userdata, one of the work
  int rc;         // what the last call came to; a failure is for good
  const char *reason;
  uint64_t offset, max;
  int is_closed, by_scope;
  size_t most;                      // output after which a call ends early, 0: never
  int is_resting;                   // a call waits until others have run, and has not begun
  uint32_t closed_at, finished_at;  // sites
} recoder;

// Make a recoder and push its userdata. `hint` as for codec_new. [loop] Raises on out of memory.
recoder *recoder_new(lua_State *L, const codec_class *cls, int level, uint64_t max, uint64_t hint);

// Feed it `len` bytes, which must stay where they are until the call has ended, and give what comes
// out of it: a string, or nil and an error. To be returned in tail position, after task_checkpoint.
// A call that finishes closes it, at the site `finished_at`. [loop] Suspends when it takes long.
// Raises when another call is under way or it is closed, and on out of memory.
int recoder_feed(lua_State *L, recoder *r, const char *in, size_t len, codec_goal goal);

// The same for a decoder, on the loop alone: the call ends early once there are about `most` bytes
// of output. Then a second result says how many bytes of the input are left, which are to be given
// again. [loop]
int recoder_feed_some(lua_State *L, recoder *r, const char *in, size_t len, size_t most);

// Close it; a call under way ends with ECLOSED. [loop]
void recoder_close(recoder *r, uint32_t site, int by_scope);

// The userdata is collected. [loop]
void recoder_unref(recoder *r);

#endif
