// SPDX-License-Identifier: MIT
// Zstandard (RFC 8878), on its reference library. Frames are written with a checksum, as zstd(1)
// does. See codec.h.
#include <zstd.h>
#include <zstd_errors.h>

#include "data/codec.h"

typedef struct zstd {
  codec base;
  ZSTD_CCtx *encoder;
  ZSTD_DCtx *decoder;
} zstd;

static zstd *self_of(codec *c) {
  return (zstd *)(void *)c;
}

// Whether a frame of this format, or one to be skipped, begins so. The library would also take what
// zstd wrote before it had a stable format.
static int is_magic(unsigned char first) {
  return first == 0x28 || (first & 0xf0) == 0x50;
}

static int refuse_magic(codec *c) {
  return codec_refuse(c, c->taken && !c->began ? "bytes follow the end of the data"
                                               : "the data is not in this format");
}

static int fail(codec *c, size_t rc) {
  switch (ZSTD_getErrorCode(rc)) {
    case ZSTD_error_memory_allocation: return UV_ENOMEM;
    case ZSTD_error_prefix_unknown: return refuse_magic(c);
    case ZSTD_error_frameParameter_windowTooLarge:
      return codec_refuse(c, "the data needs a window of more than 128 MiB");
    case ZSTD_error_dictionary_wrong: return codec_refuse(c, "the data needs a dictionary");
    case ZSTD_error_checksum_wrong: return codec_refuse(c, "incorrect data check");
    default: return codec_refuse(c, "the data is damaged");
  }
}

static void leave(codec_room *room, const ZSTD_inBuffer *in, const ZSTD_outBuffer *out) {
  room->in_len -= in->pos;
  room->out_len -= out->pos;
}

// --- Encoding --------------------------------------------------------------------------------

static int start_encoder(codec *c, int level, uint64_t hint) {
  ZSTD_CCtx *e = self_of(c)->encoder = ZSTD_createCCtx();
  if (!e) return UV_ENOMEM;
  ZSTD_CCtx_setParameter(e, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(e, ZSTD_c_checksumFlag, 1);
  if (hint != UINT64_MAX) ZSTD_CCtx_setPledgedSrcSize(e, hint);
  return 0;
}

static int step_encoder(codec *c, codec_room *room, codec_goal goal) {
  static const ZSTD_EndDirective directives[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
  ZSTD_inBuffer in = {room->in, room->in_len, 0};
  ZSTD_outBuffer out = {room->out, room->out_len, 0};
  size_t left = ZSTD_compressStream2(self_of(c)->encoder, &out, &in, directives[goal]);
  leave(room, &in, &out);
  if (ZSTD_isError(left)) return fail(c, left);
  if (goal == CODEC_GO_ON) return room->in_len ? CODEC_FULL : CODEC_MORE;
  if (left || room->in_len) return CODEC_FULL;
  return goal == CODEC_FINISH ? CODEC_END : CODEC_MORE;
}

static void stop_encoder(codec *c) {
  ZSTD_freeCCtx(self_of(c)->encoder);
}

static size_t encoder_pace(int level) {
  return (size_t)(level <= 3 ? 128 : level <= 9 ? 32 : level <= 15 ? 8 : 2) << 10;
}

// --- Decoding --------------------------------------------------------------------------------

static int start_decoder(codec *c, int level, uint64_t hint) {
  (void)level;
  (void)hint;
  self_of(c)->decoder = ZSTD_createDCtx();
  return self_of(c)->decoder ? 0 : UV_ENOMEM;
}

static int step_decoder(codec *c, codec_room *room, codec_goal goal) {
  (void)goal;
  if (!c->began && room->in_len && !is_magic(room->in[0])) return refuse_magic(c);
  ZSTD_inBuffer in = {room->in, room->in_len, 0};
  ZSTD_outBuffer out = {room->out, room->out_len, 0};
  size_t left = ZSTD_decompressStream(self_of(c)->decoder, &out, &in);
  leave(room, &in, &out);
  if (ZSTD_isError(left)) return fail(c, left);
  if (!left) return CODEC_END;
  return room->out_len ? CODEC_MORE : CODEC_FULL;
}

// It is ready for a frame as soon as the one before has ended.
static int restart_decoder(codec *c) {
  (void)c;
  return 0;
}

static void stop_decoder(codec *c) {
  ZSTD_freeDCtx(self_of(c)->decoder);
}

static size_t decoder_pace(int level) {
  (void)level;
  return (size_t)512 << 10;
}

const codec_class codec_zstd_encoder = {.name = "zstd",
                                        .least = 1,
                                        .most = 22,
                                        .usual = 3,
                                        .size = sizeof(zstd),
                                        .weight = 4000,
                                        .pace = encoder_pace,
                                        .start = start_encoder,
                                        .step = step_encoder,
                                        .stop = stop_encoder};

const codec_class codec_zstd_decoder = {.name = "zstd",
                                        .is_decoder = 1,
                                        .is_repeatable = 1,
                                        .size = sizeof(zstd),
                                        .weight = 1000,
                                        .pace = decoder_pace,
                                        .start = start_decoder,
                                        .step = step_decoder,
                                        .restart = restart_decoder,
                                        .stop = stop_decoder};
