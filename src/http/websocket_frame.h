// SPDX-License-Identifier: MIT
// The bytes of WebSocket (RFC 6455): heads of frames, masks, close codes, UTF-8 that comes in
// pieces. Pure: no Lua, no stream, nothing is owned.
#ifndef HTTP_WEBSOCKET_FRAME_H
#define HTTP_WEBSOCKET_FRAME_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
  WEBSOCKET_MORE = 0,  // continues the message that has begun
  WEBSOCKET_TEXT = 1,
  WEBSOCKET_BINARY = 2,
  WEBSOCKET_CLOSE = 8,
  WEBSOCKET_PING = 9,
  WEBSOCKET_PONG = 10,
} websocket_opcode;

enum {
  WEBSOCKET_NORMAL = 1000,
  WEBSOCKET_GOING_AWAY = 1001,
  WEBSOCKET_PROTOCOL = 1002,  // the peer broke the rules
  WEBSOCKET_NO_CODE = 1005,   // the peer gave none; never sent
  WEBSOCKET_LOST = 1006,      // there was no goodbye; never sent
  WEBSOCKET_NO_TEXT = 1007,   // text that is not UTF-8
  WEBSOCKET_TOO_BIG = 1009,
};

#define WEBSOCKET_HEAD 14      // the longest head
#define WEBSOCKET_CONTROL 125  // the most bytes that a control frame carries

typedef struct websocket_head {
  uint64_t length;
  unsigned char mask[4];
  uint8_t opcode;
  unsigned fin : 1;
  unsigned reserved : 3;  // RSV1 is 4
  unsigned masked : 1;
} websocket_head;

#define WEBSOCKET_RSV1 4u  // the message is compressed

// Read the head that begins at `p`. Answers its length; 0 when more than the `n` bytes are needed,
// then opcode, fin, reserved and masked are there if n is 2 or more; -1 when the length is not
// written as it must be.
int websocket_head_read(websocket_head *h, const unsigned char *p, size_t n);

// Write a head to `p`, which has room for WEBSOCKET_HEAD bytes; answer its length.
size_t websocket_head_write(const websocket_head *h, unsigned char *p);

// Mask, or unmask, `n` bytes to `to`, which may be `from`; `at` is the place of the first one in
// the payload.
void websocket_mask(unsigned char *to, const unsigned char *from, size_t n,
                    const unsigned char mask[4], uint64_t at);

// Say whether a close frame may carry this code.
int websocket_code_valid(unsigned code);

// Check further bytes of a text. `state` is 0 at its beginning, and again where it may end; answers
// 0 when it can be no UTF-8 any more.
int websocket_utf8(uint32_t *state, const unsigned char *p, size_t n);

#endif
