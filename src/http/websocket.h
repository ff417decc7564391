// SPDX-License-Identifier: MIT
// One WebSocket, of a client or a server: messages over a stream that an HTTP connection has handed
// over. What arrives is parsed by whoever receives: it answers pings and the peer's goodbye too. A
// timer asks a silent peer for a sign of life, and ends a goodbye that takes too long. Lives in the
// userdata that scripts hold; owns the stream. Runs on the loop thread. Invariants: one task at a
// time receives; once `over` is set nothing is parsed, and why it ended does not change.
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include <lua.h>

#include "base/buffer.h"
#include "base/list.h"
#include "core/timer.h"
#include "http/websocket_deflate.h"
#include "http/websocket_frame.h"
#include "io/stream.h"

// What all WebSockets of a runtime share.
typedef struct websocket_common {
  websocket_states states;
  buffer packed;              // a message that is compressed
  buffer masked;              // a frame as a client sends it
  unsigned char random[256];  // for masks
  size_t random_used;
} websocket_common;

typedef struct websocket {
  stream *s;  // kept until the userdata goes: a task may still wait on it
  websocket_common *common;
  websocket_deflate *deflate;  // NULL: messages are not compressed
  timer_call timer;            // looks for a sign of life; or ends the goodbye
  list closers;                // tasks that wait for the end while another one receives
  buffer message;              // what has come of a message in several pieces
  size_t size;                 // of it, once it is complete
  websocket_head head;         // of the frame whose payload is coming
  uint64_t left;               // bytes of it that are still to come
  uint64_t max;                // most bytes of a message
  uint64_t until;              // the instant when the call that receives must be over
  uint64_t ping;               // nanoseconds of silence after which the peer is asked; 0: never
  uint64_t seen;               // bytes that had come when the timer fired
  size_t queued;               // and bytes that were waiting to be sent
  const char *fault;           // what rule the peer broke
  char *reason;                // the peer's, of reason_len bytes
  uint32_t utf8;               // state of the text that is coming
  int rc;                      // why the stream ended
  unsigned given;              // messages; wraps around
  uint16_t code;               // that it ended with
  uint8_t reason_len;
  uint8_t opcode;  // of the message that has begun, 0: none
  unsigned is_server : 1;
  unsigned in_frame : 1;        // its payload is coming
  unsigned is_packed : 1;       // the message that has begun is compressed
  unsigned unpacking : 1;       // all of it has come: it is being inflated
  unsigned is_complete : 1;     // `message` is to be given
  unsigned is_spoiled : 1;      // a part of it was thrown away
  unsigned is_out_of_step : 1;  // a compressed one was, on which others build
  unsigned pinged : 1;          // the peer was asked
  unsigned said_bye : 1;        // our close frame was sent
  unsigned is_ours : 1;         // it was this side that wanted to end
  unsigned is_shut : 1;         // the script has closed it
  unsigned over : 1;            // nothing more is parsed
  unsigned is_closing : 1;      // the timer ends the goodbye
  unsigned discards : 1;        // who receives wants no messages but the end
  unsigned resting : 1;         // who receives lets others run
  unsigned raises : 1;          // who receives wants failures raised
} websocket;

// Make a WebSocket in place on a stream, a reference to which it takes over. [loop]
void websocket_init(websocket *w, stream *s, websocket_common *common, int is_server);

// Free what is held; no task waits. [loop]
void websocket_fini(websocket *w);

// Ask the peer for a sign of life after so many seconds of silence, from now on; 0: never. [loop]
void websocket_set_ping(websocket *w, double seconds);

// Say whether a task receives. [loop]
int websocket_is_busy(const websocket *w);

// Wait for a message until the instant `until`. To be returned from a lua_CFunction whose index 1
// keeps the WebSocket, after task_checkpoint, and not while it is busy. Results: the message and
// "text" or "binary"; nil alone when the peer, or this side, closed as it should; else nil and an
// error, which is raised if `raises`. A time limit that has passed, or a cancellation, loses
// nothing. [loop]
int websocket_receive(lua_State *L, websocket *w, uint64_t until, int raises);

// Send the string at index 2 as one message, `opcode` being at index 3, with room for one more
// value. To be returned as above. Results: true; or nil and an error. [loop]
int websocket_send(lua_State *L, websocket *w);

// A message that many are sent.
typedef struct websocket_broadcast {
  const char *data;
  size_t len;
  buffer plain, packed;  // the frames as servers send them; the latter made when first wanted
  size_t most;           // bytes that may wait in the queue of a peer that is sent more
  uint8_t opcode;
  unsigned is_tried : 1;  // to pack it
} websocket_broadcast;

// Send it. [loop] Answers 0; UV_EAGAIN when too much is waiting to be sent; UV_ECANCELED when the
// WebSocket is closed; or why it cannot be sent.
int websocket_cast(websocket *w, websocket_broadcast *b);

// Say goodbye, wait for the peer's, for `seconds` at most, and close the stream. To be returned as
// above. Gives true. [loop]
int websocket_close(lua_State *L, websocket *w, unsigned code, const char *why, size_t n,
                    double seconds);

// Say goodbye and go on receiving: the peer will answer, or be given up after `seconds`. [loop]
void websocket_leave(websocket *w, unsigned code, double seconds);

#endif
