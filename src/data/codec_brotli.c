// SPDX-License-Identifier: MIT
// Brotli (RFC 7932), on its reference libraries. The format has no checksum: damage that leaves a
// valid stream is not seen. See codec.h.
#include <brotli/decode.h>
#include <brotli/encode.h>

#include "data/codec.h"

#define LARGE_WINDOW 22  // bits: the default of the reference encoder

typedef struct brotli {
  codec base;
  BrotliEncoderState *encoder;
  BrotliDecoderState *decoder;
} brotli;

static brotli *self_of(codec *c) {
  return (brotli *)(void *)c;
}

// --- Encoding --------------------------------------------------------------------------------

static int start_encoder(codec *c, int level, uint64_t hint) {
  BrotliEncoderState *e = BrotliEncoderCreateInstance(NULL, NULL, NULL);
  if (!e) return UV_ENOMEM;
  self_of(c)->encoder = e;
  uint32_t window = LARGE_WINDOW;
  while (window > BROTLI_MIN_WINDOW_BITS && hint <= (UINT64_C(1) << (window - 1))) window--;
  BrotliEncoderSetParameter(e, BROTLI_PARAM_QUALITY, (uint32_t)level);
  BrotliEncoderSetParameter(e, BROTLI_PARAM_LGWIN, window);
  if (hint < UINT32_MAX) BrotliEncoderSetParameter(e, BROTLI_PARAM_SIZE_HINT, (uint32_t)hint);
  return 0;
}

static int step_encoder(codec *c, codec_room *room, codec_goal goal) {
  static const BrotliEncoderOperation operations[] = {
    BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH};
  BrotliEncoderState *e = self_of(c)->encoder;
  if (!BrotliEncoderCompressStream(e, operations[goal], &room->in_len, &room->in, &room->out_len,
                                   &room->out, NULL))
    return UV_ENOMEM;  // the only thing that can be wrong
  if (BrotliEncoderIsFinished(e)) return CODEC_END;
  return room->in_len || BrotliEncoderHasMoreOutput(e) ? CODEC_FULL : CODEC_MORE;
}

static void stop_encoder(codec *c) {
  BrotliEncoderState *e = self_of(c)->encoder;
  if (e) BrotliEncoderDestroyInstance(e);
}

static size_t encoder_pace(int level) {
  return (size_t)(level <= 4 ? 64 : level <= 9 ? 32 : 1) << 10;
}

// --- Decoding --------------------------------------------------------------------------------

static int start_decoder(codec *c, int level, uint64_t hint) {
  (void)level;
  (void)hint;
  self_of(c)->decoder = BrotliDecoderCreateInstance(NULL, NULL, NULL);
  return self_of(c)->decoder ? 0 : UV_ENOMEM;
}

static int step_decoder(codec *c, codec_room *room, codec_goal goal) {
  BrotliDecoderState *d = self_of(c)->decoder;
  (void)goal;
  switch (
    BrotliDecoderDecompressStream(d, &room->in_len, &room->in, &room->out_len, &room->out, NULL)) {
    case BROTLI_DECODER_RESULT_SUCCESS: return CODEC_END;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: return CODEC_FULL;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: return CODEC_MORE;
    default: break;
  }
  BrotliDecoderErrorCode e = BrotliDecoderGetErrorCode(d);
  if (e <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
      e >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES)
    return UV_ENOMEM;
  return codec_refuse(c, "the data is damaged");
}

static void stop_decoder(codec *c) {
  BrotliDecoderState *d = self_of(c)->decoder;
  if (d) BrotliDecoderDestroyInstance(d);
}

static size_t decoder_pace(int level) {
  (void)level;
  return (size_t)256 << 10;
}

const codec_class codec_br_encoder = {.name = "br",
                                      .least = BROTLI_MIN_QUALITY,
                                      .most = BROTLI_MAX_QUALITY,
                                      .usual = 5,
                                      .size = sizeof(brotli),
                                      .weight = 6000,
                                      .pace = encoder_pace,
                                      .start = start_encoder,
                                      .step = step_encoder,
                                      .stop = stop_encoder};

const codec_class codec_br_decoder = {.name = "br",
                                      .is_decoder = 1,
                                      .size = sizeof(brotli),
                                      .weight = 2000,
                                      .pace = decoder_pace,
                                      .start = start_decoder,
                                      .step = step_decoder,
                                      .stop = stop_decoder};
