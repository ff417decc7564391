// SPDX-License-Identifier: MIT
// Compressed messages of WebSocket. See websocket_deflate.h.
#include "http/websocket_deflate.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define ROOM ((size_t)4 << 10)  // that a step has for its output at least
#define BITE 16384u             // input that a step takes at most
#define LEVEL 3                 // a third of the time of 6, for a few per cent more bytes
#define MEMORY 8

static const unsigned char tail[] = {0, 0, 0xFF, 0xFF};  // an empty block, which is not sent

z_stream *websocket_deflater(int bits) {
  z_stream *z = calloc(1, sizeof *z);
  if (z && deflateInit2(z, LEVEL, Z_DEFLATED, -bits, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK) return z;
  free(z);
  return NULL;
}

void websocket_deflater_free(z_stream *z) {
  if (z) deflateEnd(z);
  free(z);
}

z_stream *websocket_inflater(void) {
  z_stream *z = calloc(1, sizeof *z);
  if (z && inflateInit2(z, -WEBSOCKET_WINDOW) == Z_OK) return z;
  free(z);
  return NULL;
}

void websocket_inflater_free(z_stream *z) {
  if (z) inflateEnd(z);
  free(z);
}

// Let the next step write `n` bytes at most.
static int make_room(z_stream *z, buffer *out, size_t n) {
  if (buffer_reserve(out, n) < 0) return UV_ENOMEM;
  z->next_out = (unsigned char *)out->data + out->end;
  z->avail_out = (unsigned)n;
  return 0;
}

static void took(const z_stream *z, buffer *out) {
  out->end = (size_t)((char *)z->next_out - out->data);
}

int websocket_pack(z_stream *z, size_t budget, buffer *out) {
  unsigned later = z->avail_in > budget ? z->avail_in - (unsigned)budget : 0;
  z->avail_in -= later;
  do {
    if (make_room(z, out, ROOM) < 0) return UV_ENOMEM;
    deflate(z, later ? Z_NO_FLUSH : Z_SYNC_FLUSH);
    took(z, out);
  } while (!z->avail_out);
  z->avail_in += later;
  if (later) return 1;
  out->end -= sizeof tail;  // which ends what Z_SYNC_FLUSH gives
  return 0;
}

// One step. Answers 1 when there is more, 0 when all input was taken, or an error.
static int inflate_some(z_stream *z, uint64_t max, buffer *out) {
  size_t left =
    max - buffer_len(out) < WEBSOCKET_SLICE ? (size_t)(max - buffer_len(out)) + 1 : WEBSOCKET_SLICE;
  unsigned later = z->avail_in > BITE ? z->avail_in - BITE : 0;
  size_t likely = (size_t)(z->avail_in - later) * 4 + ROOM;
  if (make_room(z, out, likely < left ? likely : left) < 0) return UV_ENOMEM;
  z->avail_in -= later;
  int rc = inflate(z, Z_SYNC_FLUSH);
  z->avail_in += later;
  took(z, out);
  if (buffer_len(out) > max) return UV_EMSGSIZE;
  if (rc == Z_MEM_ERROR) return UV_ENOMEM;
  if (rc == Z_STREAM_END) rc = inflateReset(z);  // a block that said that it is the last one
  if (rc != Z_OK && rc != Z_BUF_ERROR) return UV_EINVAL;
  return z->avail_in || !z->avail_out;
}

// Blocks may be all head, so input that gives nothing costs time as well.
int websocket_unpack(z_stream *z, size_t budget, uint64_t max, buffer *out) {
  size_t before = buffer_len(out);
  unsigned all = z->avail_in;
  int rc;
  while ((rc = inflate_some(z, max, out)) == 1)
    if (buffer_len(out) - before >= budget || all - z->avail_in >= BITE) return 1;
  if (rc < 0) return rc;
  z->next_in = (unsigned char *)(uintptr_t)tail;
  z->avail_in = sizeof tail;
  while ((rc = inflate_some(z, max, out)) == 1) continue;
  return rc;
}

z_stream *websocket_take_inflater(websocket_deflate *d, websocket_states *shared) {
  if (!d->inflater && !d->recv_takeover) {
    d->inflater = shared->inflater;
    shared->inflater = NULL;
  }
  if (!d->inflater) d->inflater = websocket_inflater();
  return d->inflater;
}

void websocket_give_inflater(websocket_deflate *d, websocket_states *shared) {
  if (d->recv_takeover || !d->inflater) return;
  if (shared->inflater || inflateReset(d->inflater) != Z_OK)
    websocket_inflater_free(d->inflater);
  else
    shared->inflater = d->inflater;
  d->inflater = NULL;
}

void websocket_deflate_fini(websocket_deflate *d) {
  websocket_deflater_free(d->deflater);
  websocket_inflater_free(d->inflater);
  buffer_fini(&d->packed);
}

void websocket_states_fini(websocket_states *shared) {
  websocket_deflater_free(shared->deflater);
  websocket_inflater_free(shared->inflater);
}
