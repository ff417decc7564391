// SPDX-License-Identifier: MIT
// Compressed messages of WebSocket (permessage-deflate, RFC 7692), each way with a window of its
// own. A state of zlib costs 40 KB to inflate and 256 KB to deflate, so that connections have none
// while they idle, unless the window is carried over from message to message: one message after the
// other uses those that all share. Runs on the loop thread.
#ifndef HTTP_WEBSOCKET_DEFLATE_H
#define HTTP_WEBSOCKET_DEFLATE_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/buffer.h"

#define WEBSOCKET_WINDOW 15                   // bits of the largest window
#define WEBSOCKET_AT_ONCE ((size_t)64 << 10)  // input that is compressed in one go
#define WEBSOCKET_SLICE ((size_t)256 << 10)   // output that is inflated in one go

// What was agreed on for a connection, and the states that it keeps.
typedef struct websocket_deflate {
  z_stream *deflater, *inflater;  // with takeover, once used; and an inflater amid a message
  buffer packed;                  // what has come of a compressed message
  size_t threshold;               // messages from so many bytes on are compressed
  uint8_t send_bits, recv_bits;   // of the windows
  unsigned send_takeover : 1;
  unsigned recv_takeover : 1;
} websocket_deflate;

// The states that connections share, NULL until used.
typedef struct websocket_states {
  z_stream *deflater, *inflater;
} websocket_states;

z_stream *websocket_deflater(int bits);  // NULL on out of memory
void websocket_deflater_free(z_stream *z);
z_stream *websocket_inflater(void);
void websocket_inflater_free(z_stream *z);

// Deflate what is left of z's input, `budget` bytes of it at most, to the end of `out`. Answers 1
// when input is left; 0 when the message is complete, in the form that it is sent in; UV_ENOMEM.
int websocket_pack(z_stream *z, size_t budget, buffer *out);

// Inflate what is left of z's input, and then what the sender has cut off, for about `budget` bytes
// of output, or 16 KiB of input. Answers 1 when there is more; 0 when the message is complete;
// UV_EINVAL when it is damaged, UV_EMSGSIZE when `out` gets longer than `max`, UV_ENOMEM.
int websocket_unpack(z_stream *z, size_t budget, uint64_t max, buffer *out);

// The state that inflates the connection's next message; NULL on out of memory.
z_stream *websocket_take_inflater(websocket_deflate *d, websocket_states *shared);

// The message is complete, or given up.
void websocket_give_inflater(websocket_deflate *d, websocket_states *shared);

void websocket_deflate_fini(websocket_deflate *d);
void websocket_states_fini(websocket_states *shared);

#endif
