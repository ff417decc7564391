// SPDX-License-Identifier: MIT
// gzip (RFC 1952) and deflate, which in HTTP is zlib's format (RFC 1950) but is met without its
// header too (RFC 1951): the decoder takes both. On zlib. See codec.h.
#include <zlib.h>

#include "data/codec.h"

#define WINDOW 15  // bits: 32 KiB, the most there is
#define GZIP 16    // added to it: gzip's header and trailer
#define MEMORY 8   // zlib's default

typedef struct deflater {
  codec base;
  z_stream z;
  int is_ready;  // z was initialised
} deflater;

static deflater *self_of(codec *c) {
  return (deflater *)(void *)c;
}

// --- Encoding --------------------------------------------------------------------------------

static int start_encoder(codec *c, int level, int window) {
  deflater *d = self_of(c);
  int rc = deflateInit2(&d->z, level, Z_DEFLATED, window, MEMORY, Z_DEFAULT_STRATEGY);
  d->is_ready = rc == Z_OK;
  return d->is_ready ? 0 : rc == Z_MEM_ERROR ? UV_ENOMEM : UV_EINVAL;
}

static int start_gzip_encoder(codec *c, int level, uint64_t hint) {
  (void)hint;
  return start_encoder(c, level, WINDOW + GZIP);
}

static int start_deflate_encoder(codec *c, int level, uint64_t hint) {
  (void)hint;
  return start_encoder(c, level, WINDOW);
}

static void enter(z_stream *z, const codec_room *room) {
  z->next_in = (Bytef *)room->in;  // zlib reads it only
  z->avail_in = (uInt)room->in_len;
  z->next_out = room->out;
  z->avail_out = room->out_len > UINT32_MAX ? UINT32_MAX : (uInt)room->out_len;
}

static void leave(const z_stream *z, codec_room *room) {
  room->in_len = z->avail_in;
  room->out_len -= (size_t)(z->next_out - room->out);
}

static int step_encoder(codec *c, codec_room *room, codec_goal goal) {
  static const int flush[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
  deflater *d = self_of(c);
  enter(&d->z, room);
  int rc = deflate(&d->z, flush[goal]);
  leave(&d->z, room);
  if (rc == Z_STREAM_END) return CODEC_END;
  return room->out_len ? CODEC_MORE : CODEC_FULL;
}

static void stop_encoder(codec *c) {
  deflater *d = self_of(c);
  if (d->is_ready) deflateEnd(&d->z);
}

static size_t encoder_pace(int level) {
  return (size_t)(level <= 3 ? 64 : level <= 6 ? 32 : 12) << 10;
}

// --- Decoding --------------------------------------------------------------------------------

static int start_decoder(codec *c, int window) {
  deflater *d = self_of(c);
  int rc = inflateInit2(&d->z, window);
  d->is_ready = rc == Z_OK;
  return d->is_ready ? 0 : rc == Z_MEM_ERROR ? UV_ENOMEM : UV_EINVAL;
}

static int start_gzip_decoder(codec *c, int level, uint64_t hint) {
  (void)level;
  (void)hint;
  return start_decoder(c, WINDOW + GZIP);
}

// Which format it is, is known with the first byte.
static int start_deflate_decoder(codec *c, int level, uint64_t hint) {
  (void)c;
  (void)level;
  (void)hint;
  return 0;
}

static int step_decoder(codec *c, codec_room *room, codec_goal goal) {
  deflater *d = self_of(c);
  (void)goal;
  if (c->taken && !c->began && room->in_len && room->in[0] != 0x1f)  // no further member
    return codec_refuse(c, "bytes follow the end of the data");
  enter(&d->z, room);
  int rc = inflate(&d->z, Z_NO_FLUSH);
  leave(&d->z, room);
  switch (rc) {
    case Z_STREAM_END: return CODEC_END;
    case Z_OK:
    case Z_BUF_ERROR: return room->out_len ? CODEC_MORE : CODEC_FULL;
    case Z_MEM_ERROR: return UV_ENOMEM;
    case Z_NEED_DICT: return codec_refuse(c, "the data needs a dictionary");
    default: return codec_refuse(c, d->z.msg ? d->z.msg : "the data is damaged");
  }
}

// The first byte of zlib's header names method 8 and a window of up to 32 KiB. A raw stream that
// began with such a byte would be a stored block with rubbish in the bits that fill up its byte,
// which no encoder writes.
static int step_deflate_decoder(codec *c, codec_room *room, codec_goal goal) {
  if (!self_of(c)->is_ready) {
    if (!room->in_len) return CODEC_MORE;
    unsigned char first = room->in[0];
    int rc = start_decoder(c, (first & 15) == Z_DEFLATED && first >> 4 <= 7 ? WINDOW : -WINDOW);
    if (rc < 0) return rc;
  }
  return step_decoder(c, room, goal);
}

static int restart_decoder(codec *c) {
  inflateReset(&self_of(c)->z);
  return 0;
}

static void stop_decoder(codec *c) {
  deflater *d = self_of(c);
  if (d->is_ready) inflateEnd(&d->z);
}

static size_t decoder_pace(int level) {
  (void)level;
  return (size_t)256 << 10;
}

const codec_class codec_gzip_encoder = {.name = "gzip",
                                        .least = 0,
                                        .most = 9,
                                        .usual = 6,
                                        .size = sizeof(deflater),
                                        .weight = 300,
                                        .pace = encoder_pace,
                                        .start = start_gzip_encoder,
                                        .step = step_encoder,
                                        .stop = stop_encoder};

const codec_class codec_deflate_encoder = {.name = "deflate",
                                           .least = 0,
                                           .most = 9,
                                           .usual = 6,
                                           .size = sizeof(deflater),
                                           .weight = 300,
                                           .pace = encoder_pace,
                                           .start = start_deflate_encoder,
                                           .step = step_encoder,
                                           .stop = stop_encoder};

const codec_class codec_gzip_decoder = {.name = "gzip",
                                        .is_decoder = 1,
                                        .is_repeatable = 1,
                                        .size = sizeof(deflater),
                                        .weight = 50,
                                        .pace = decoder_pace,
                                        .start = start_gzip_decoder,
                                        .step = step_decoder,
                                        .restart = restart_decoder,
                                        .stop = stop_decoder};

const codec_class codec_deflate_decoder = {.name = "deflate",
                                           .is_decoder = 1,
                                           .size = sizeof(deflater),
                                           .weight = 50,
                                           .pace = decoder_pace,
                                           .start = start_deflate_decoder,
                                           .step = step_deflate_decoder,
                                           .stop = stop_decoder};
