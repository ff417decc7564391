// SPDX-License-Identifier: MIT
// Compression: what the formats have in common. See codec.h.
#include "data/codec.h"

#include <stdlib.h>

#define ROOM ((size_t)4 << 10)    // least room for a step's output
#define PIECE ((size_t)64 << 10)  // most input of a step

codec *codec_new(const codec_class *cls, int level, uint64_t max, uint64_t hint) {
  codec *c = calloc(1, cls->size);
  if (!c) return NULL;
  c->cls = cls;
  c->max = max;
  c->pace = cls->pace(level);
  if (cls->start(c, level, hint) == 0) return c;
  codec_free(c);
  return NULL;
}

void codec_free(codec *c) {
  if (!c) return;
  c->cls->stop(c);
  free(c);
}

// One step of at most a piece of the input, into the room that the output has. One byte more than
// the limit is let in, so that passing it is seen.
static int step(codec *c, codec_call *call) {
  if (buffer_reserve(&call->out, ROOM) < 0) return UV_ENOMEM;
  size_t space = call->out.capacity - call->out.end;
  if (c->max != UINT64_MAX && space > c->max - c->given + 1)
    space = (size_t)(c->max - c->given + 1);
  size_t piece = call->len < PIECE ? call->len : PIECE;
  codec_room room = {call->in, (unsigned char *)call->out.data + call->out.end, piece, space};
  int rc = c->cls->step(c, &room, piece < call->len ? CODEC_GO_ON : call->goal);
  size_t taken = piece - room.in_len, given = space - room.out_len;
  if (piece) call->in += taken;
  call->len -= taken;
  call->out.end += given;
  c->taken += taken;
  c->given += given;
  if (taken) c->began = 1;
  return c->given > c->max ? UV_EMSGSIZE : rc;
}

// The stream has ended, and there is more input.
static int go_past_end(codec *c) {
  if (!c->cls->is_decoder || !c->cls->is_repeatable)
    return codec_refuse(c, "bytes follow the end of the data");
  c->ended = c->began = 0;
  return c->cls->restart(c);
}

int codec_run(codec *c, codec_call *call, size_t budget) {
  uint64_t taken = c->taken, given = c->given;
  for (;;) {
    if (c->ended) {
      if (!call->len) return 0;
      int rc = go_past_end(c);
      if (rc < 0) return rc;
    }
    if (c->cls->is_decoder && !call->len && !c->began)
      return call->goal == CODEC_FINISH ? codec_refuse(c, "the data is truncated") : 0;
    int rc = step(c, call);
    if (rc < 0) return rc;
    if (rc == CODEC_END) c->ended = 1;
    if (rc == CODEC_MORE && !call->len) {
      if (c->cls->is_decoder && call->goal == CODEC_FINISH)
        return codec_refuse(c, "the data is truncated");
      return 0;
    }
    if (c->taken - taken >= budget || c->given - given >= budget) return CODEC_FULL;
  }
}
