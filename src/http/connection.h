// SPDX-License-Identifier: MIT
// One HTTP/1.1 connection, client or server side: writes whole messages to a stream and parses
// those that arrive, waiting in between. Lives in the userdata that lua/corun/http*.lua holds; owns
// the stream. Runs on the loop thread. Invariant: it is `busy` from the first byte of an exchange
// until the message that ends it is complete, and a busy connection is never used again.
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <lua.h>

#include "base/buffer.h"
#include "base/list.h"
#include "http/parser.h"
#include "io/block.h"
#include "io/stream.h"

#define HTTP_CONNECTION_AT_ONCE ((size_t)64 << 10)

// How long a client may take, in seconds; negative: as long as it likes.
typedef struct http_timing {
  double head;   // for the head of a request, from its first byte on
  double total;  // for all of the request
  double pause;  // of silence in the middle of it, or while the answer is sent
} http_timing;

typedef struct http_idle http_idle;
typedef struct http_connection http_connection;

// Takes a request that has come: its method, target, path, header lines and body (nil: that is
// still to come) are the last values on the stack. Answers how many results the call has that
// waited for it. It may run Lua, and suspend.
typedef int http_taker(lua_State *L, http_connection *c);

struct http_connection {
  stream *s;  // kept until the userdata goes: a task may still wait on it
  http_parser p;
  buffer body;           // a body that comes in several spans
  http_text whole;       // a body that came in one span of the stream's buffer
  http_taker *take;      // of requests
  const void *request;   // the one whose handler runs, for comparison alone; NULL: none does
  block *block;          // what a piece is gathered in instead, while it is waited for; or NULL
  list idle;             // among those that idle
  http_idle *idles_in;   // whose list that is; NULL: none
  uint64_t idle_since;   // milliseconds of the loop's clock
  http_timing timing;    // of requests
  uint64_t pause;        // longest silence of the peer, in nanoseconds; 0: any
  uint64_t until;        // the instant when the whole exchange must be over
  uint64_t head_until;   // the instant when the head that has begun must be complete
  uint64_t call_until;   // the instant when the call under way must be over
  uint64_t answered_at;  // the instant of the first byte of the peer's message
  uint64_t sent_at;      // the instant when the body in pieces was sent
  size_t untaken;        // bytes of the answer that were queued at the last look at a slow peer
  size_t sent;           // bytes of what is sent that were handed to the stream
  int parts;             // strings that it consists of
  int send_rc;           // why not all of it was
  unsigned busy : 1;
  unsigned warm : 1;          // it idles with the memory of its last message
  unsigned answered : 1;      // a byte of the peer's message has come
  unsigned out_of_step : 1;   // it answered before it was asked
  unsigned receive_next : 1;  // after sending, wait for the peer's message
  unsigned in_pieces : 1;     // a body is being sent in pieces, by another task than receives
  unsigned until_go_on : 1;   // 100 Continue ends the wait for the peer's message
  unsigned go_on_due : 1;     // the client waits for 100 Continue
  unsigned part : 2;          // http_part: what is received
  unsigned offers : 1;        // the request offers another protocol, which the peer may switch to
};

typedef enum http_part { HTTP_PART_WHOLE, HTTP_PART_HEAD, HTTP_PART_PIECE } http_part;

// Make a connection in place on a stream, a reference to which it takes over. [loop]
void http_connection_init(http_connection *c, stream *s, http_kind kind, const http_limits *limits);

// Close the stream; a task that waits on it gets an error. A second call does nothing. [loop]
void http_connection_close(http_connection *c);

// Give up waiting for a request, since the list that the connection idles in is closing: close, or
// first let the peer take what is queued, which is for the task that waits to do
// (http_connection_finish). [loop] Must not run Lua.
void http_connection_end(http_connection *c);

// Hand over the stream, and what has come of another protocol, with the reference: both sides have
// agreed to leave HTTP. The connection is closed from then on. [loop]
stream *http_connection_take(http_connection *c);

// Give back the memory that the last message took: it may idle for long. [loop]
void http_connection_cool(http_connection *c);

// Free what is held; no task waits. [loop]
void http_connection_fini(http_connection *c);

// Set the longest silence of the peer, in seconds; negative or infinite means any. [loop]
void http_connection_pause(http_connection *c, double seconds);

// Set the time limits of what follows: `pause` seconds of silence, `total` seconds in all; negative
// or infinite means none. [loop]
void http_connection_limit(http_connection *c, double pause, double total);

// Send the strings at stack index 2 and 3 (the second may be nil) as one message. To be returned
// from a lua_CFunction whose index 1 keeps the connection. Results: true; or those of a failure,
// see http_connection_receive. [loop]
int http_connection_send(lua_State *L, http_connection *c);

// The same, then wait for the response. Results of a whole one: status, head, body, whether the
// connection may be kept, content codings or nil, seconds as of http_connection_head; of a head:
// those of that. [loop]
int http_connection_exchange(lua_State *L, http_connection *c, http_part part);

// Send `bufs`, of HTTP_CONNECTION_AT_ONCE bytes and two at most with a head, as one message; they
// are read before it returns. Results as above. [loop]
int http_connection_send_bytes(lua_State *L, http_connection *c, const uv_buf_t *bufs, unsigned n);

// Send the head at index 2 of a request whose body will come in pieces. Results as above. [loop]
int http_connection_begin(lua_State *L, http_connection *c);

// Send the strings from index 2 to 4 (nil: empty) as a piece of that body. Another task may wait
// for the response meanwhile. Results: true; or nil and an error. [loop]
int http_connection_write(lua_State *L, http_connection *c);

// Tell that the body was sent: only now its connection may be kept. [loop]
void http_connection_sent(http_connection *c);

// Wait for the head of a response, whose body http_connection_piece gives. With `seconds` of 0 or
// more wait for 100 Continue too, for so long at most. To be returned from a lua_CFunction.
// Results: status, head, length if it is known, content codings, seconds of
// the runtime's clock when its first byte came; true for 100 Continue; or those of
// a failure. [loop]
int http_connection_head(lua_State *L, http_connection *c, double seconds);

// Wait for a request, for `idle` seconds until its first byte. To be returned from a lua_CFunction.
// With HTTP_PART_HEAD only the head is waited for, if there is a body, which http_connection_piece
// gives then. Results: those of `take`; or nil alone when the peer closed between two messages; or
// those of a failure: nil, error, the status that a server answers with (0: it does not), and
// whether the peer had closed the connection before it answered a byte. [loop]
int http_connection_receive(lua_State *L, http_connection *c, http_part part, double idle,
                            http_taker *take);

// Wait for a piece of the body of the message whose head was received, for `seconds` at most. To
// be returned from a lua_CFunction. Results: the piece, perhaps empty; whether it was the last; and
// whether the connection may be kept. Else nil and an error; a time limit that has passed loses
// nothing. With the block at index 3 the piece is that block, filled anew: to its end, unless the
// body or its connection ends before, or the peer is slow; a cancellation loses what is in it.
// [loop]
int http_connection_piece(lua_State *L, http_connection *c, double seconds, block *b);

// Say whether the connection may be used for another message after the one received last. [loop]
int http_connection_keeps(const http_connection *c);

// Tell the peer that nothing more comes and read what it still sends for `seconds`, so that closing
// does not make its system drop the answer. To be returned from a lua_CFunction. [loop]
int http_connection_drain(lua_State *L, http_connection *c, double seconds);

// Tell the peer that nothing more comes and wait until its system has taken what is queued, as long
// as it takes some within the pause that it may make. Also of a connection that is closed, that has
// become something else, or whose peer is too slow already: then there is nothing to wait for. To
// be returned from a lua_CFunction. Results: none. [loop]
int http_connection_finish(lua_State *L, http_connection *c);

// Wait until the peer sends no more, while nobody else receives. To be returned from a
// lua_CFunction. Results: true; false when it sends that much that its end cannot be seen. [loop]
int http_connection_watch(lua_State *L, http_connection *c);

// Say whether the peer has sent something that was not parsed, also when it waits in the system to
// be read. [loop]
int http_connection_has_more(const http_connection *c);

// Say whether it is idle, alive and in step, so that it may serve another exchange. [loop]
int http_connection_is_reusable(const http_connection *c);

#endif
