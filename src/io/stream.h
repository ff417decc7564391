// SPDX-License-Identifier: MIT
// The one buffered stream: bytes in both directions over a transport (tcp, unix, pipe, tty,
// tls, file). A stream is a C object of its own, counted: one reference belongs to its owner (the
// userdata, or an engine in C), one to the transport until it is closed. Callbacks of the transport
// record and wake. Runs on the loop thread. Invariants: at most one task reads; what was read is
// given out before the end or the error that came after it; a write is queued whole or not at all.
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <lua.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/list.h"
#include "core/handle.h"
#include "core/timer.h"
#include "core/wait.h"
#include "io/state.h"

#define STREAM_AHEAD IO_BLOCK            // bytes read that nobody asked for yet
#define STREAM_QUEUE ((size_t)64 << 10)  // queued bytes from which on writers wait, if not set
#define STREAM_CLOSED UV_ECANCELED       // result of a wait that a close ended

typedef struct stream stream;
typedef struct stream_transport stream_transport;

struct stream_transport {
  const char *kind;  // "tcp"
  // An end is not the last word (a terminal): once it was told, the next read waits for more.
  int ends_again;
  // Begin to deliver bytes (stream_room, stream_fed, stream_refused, stream_ended). 0 or an error.
  int (*start)(stream *s);
  void (*stop)(stream *s);
  // Read up to `n` bytes that are there at once: their number, UV_EAGAIN, UV_EOF, or another error;
  // with `buf` NULL say how many there are. NULL where the transport cannot tell.
  ssize_t (*read_now)(stream *s, char *buf, size_t n);
  // Write what goes at once: the number of bytes, UV_EAGAIN, or another error.
  int (*try_write)(stream *s, const uv_buf_t *bufs, unsigned n);
  // Begin to write `buf`, which leads to stream_written. 0 or an error.
  int (*write)(stream *s, uv_write_t *req, uv_buf_t buf);
  // Begin to end the write side, which leads to stream_shut. 0 or an error.
  int (*shutdown)(stream *s, uv_shutdown_t *req);
  // Write `buf` now, waiting until the instant `until` (uv_hrtime) at most: the runtime ends. If it
  // is under way: what the transport has not written of it. 0 or an error.
  int (*flush)(stream *s, uv_buf_t buf, int under_way, uint64_t until);
  // Begin to close, which leads to stream_closed.
  void (*close)(stream *s);
  // The runtime ends, and the transport was told to close: it may linger here and now, but not in
  // the loop. NULL: it never does.
  void (*hasten)(stream *s);
  // Say whether the loop must stay alive for what this stream may read.
  void (*hold)(stream *s, int on);
  // The stream closes with `n` bytes read ahead that nobody asked for; they are the last that it
  // delivered. NULL: they are lost.
  void (*unread)(stream *s, size_t n);
  // Write whom the stream leads to into `buf`.
  void (*describe)(const stream *s, char *buf, size_t n);
  int asks_again;  // the end and errors are not final: each call tries anew, as with files
  // Say what an error of the transport's own (UV_EPROTO) was: a sentence in `buf`, its code, and
  // whether it may pass. NULL, also as a result: it has none.
  const char *(*explain)(const stream *s, char *buf, size_t n, int *may_pass);
  // A close ends the write side with `shutdown` before it closes: the peer is told.
  int says_farewell;
};

// What a transport that stands on another one (tls on tcp) keeps of a stream, as the beginning of a
// structure of its own.
typedef struct stream_layer {
  const stream_transport *under;
} stream_layer;

// Called in the coroutine when a wait has ended: as wait_ops.done. `rc` is 0, UV_ETIMEDOUT, or
// STREAM_CLOSED.
typedef int stream_done(lua_State *L, stream *s, void *arg, int rc);

// What is queued for writing. It exists while the transport has not taken all.
typedef struct stream_out {
  union {
    uv_write_t write;
    uv_shutdown_t shutdown;
  } req;
  stream *s;
  buffer sending;  // a slice of it is under way: must not move
  buffer next;
  size_t slice;       // bytes of `sending` that are under way
  size_t left;        // bytes left when the linger timer was armed
  timer_call linger;  // gives up on a closed stream that gets nothing rid
} stream_out;

// How far one task has come that wants the stream for itself.
typedef enum stream_reservation {
  STREAM_SHARED,    // there is none
  STREAM_QUEUED,    // others read no more; those who wait to write go before it
  STREAM_DRAINING,  // its turn has come: others write no more
  STREAM_RESERVED   // and all that was written is out
} stream_reservation;

// What read functions are to give; used by the task that reads alone.
typedef struct stream_request {
  uint64_t when;           // time limit
  size_t n, max, scanned;  // bytes wanted, bound of a line, bytes already searched
  const char *op;          // name of the function, for errors
  uint8_t kind, raises, waits;
} stream_request;

struct stream {
  handle h;
  const stream_transport *t;
  stream_layer *layer;  // NULL for a transport of its own
  io_state *io;
  buffer in;
  task *reader;  // from the begin of its wait until its done function runs
  size_t want;   // bytes it waits for
  stream_done *done;
  void *arg;
  list writers;     // tasks that wait to write, or for the stream to be shut or closed
  stream_out *out;  // NULL when the transport has taken all
  stream_request rq;
  float timeout;  // seconds that a call without a limit of its own may take, above 0; 0: any number
  uint32_t bound;                // queued bytes from which on writers wait, 0: STREAM_QUEUE
  uint32_t refs, granted;        // woken writers that have not run
  uint32_t closed_at;            // site of the close
  uint64_t bytes_in, bytes_out;  // that were read, and taken to be written
  int in_rc, out_rc;             // end of a direction: 0 while it works, UV_EOF, an error
  unsigned reading : 1;          // the transport delivers
  unsigned refused : 1;          // it was told that there is no room, and nothing was taken since
  unsigned direct : 1;           // the reader takes the bytes from the transport itself (read_now)
  unsigned ready : 1;            // and there are some
  unsigned woken : 1;            // the reader was woken, or its time limit passed
  unsigned shut : 1;             // the write side was ended
  unsigned shut_done : 1;        // the peer was told
  unsigned many : 1;             // recv got a large piece last
  unsigned closed : 1;           // no further calls
  unsigned hurry : 1;            // lingering may not be prolonged
  unsigned gone : 1;             // the transport is closing or closed
  unsigned by_scope : 1;         // closed by a <close> variable
  unsigned answered : 1;         // nothing counts as arrived that the peer has not answered
  unsigned reserved : 2;         // stream_reservation
};

// --- Life ------------------------------------------------------------------------------------

// Make a stream in zeroed memory from malloc, of which it is the beginning; free frees it. The one
// reference belongs to the transport; the owner takes another. [loop]
void stream_init(stream *s, rt *r, io_state *io, const stream_transport *t);

// Count an owner. [loop]
stream *stream_ref(stream *s);

// Let go of an owner's reference; the stream must be closed, or be another owner's. [loop]
void stream_unref(stream *s);

// Close: waiting tasks get STREAM_CLOSED, what is queued is still sent in the background. `site` is
// where, for messages, or 0. A second call does nothing. [loop]
void stream_close(stream *s, uint32_t site);

// Suspend until a closed stream has sent what it had queued, also in a cancelled scope, but then
// not for longer than the grace period. `ops` has stream_cancel_linger; its done function gets 0 or
// what kept the bytes from being sent, at once when the running function cannot suspend. [loop]
int stream_linger(lua_State *L, stream *s, const wait_ops *ops);

wait_answer stream_cancel_linger(task *t, void *s);

// The transport that the stream was made with. [loop]
static inline const stream_transport *stream_base(const stream *s) {
  return s->layer ? s->layer->under : s->t;
}

// --- Reading ---------------------------------------------------------------------------------

// The bytes that have arrived and are not consumed, never NULL; valid until the task suspends.
// [loop]
static inline const char *stream_peek(const stream *s, size_t *n) {
  *n = buffer_len(&s->in);
  return s->in.data ? s->in.data + s->in.start : "";
}

// Drop `n` of them from the front. [loop]
void stream_consume(stream *s, size_t n);

// Bytes were taken out of the buffer itself. [loop]
void stream_consumed(stream *s);

// Give the memory back that no bytes are in: nothing is expected for long. [loop]
void stream_trim(stream *s);

// Make room for `n` bytes altogether, which are to be waited for in one piece. [loop]
void stream_expect(stream *s, size_t n);

// Why no further bytes will come: 0 while they may, UV_EOF, or an error. [loop]
static inline int stream_end(const stream *s) {
  return s->in_rc;
}

// Suspend until at least `want` bytes are there, or no more will come, or the instant `when`. Then
// `done` runs, at once when there is nothing to wait for. To be returned from a lua_CFunction in
// tail position. No other task may be reading (stream_is_busy). [loop]
int stream_wait(lua_State *L, stream *s, size_t want, uint64_t when, stream_done *done, void *arg);

// The same, for a reader that will take what is there from the transport itself: it is woken with
// the buffer empty and stream_is_ready. [loop]
int stream_wait_direct(lua_State *L, stream *s, uint64_t when, stream_done *done, void *arg);

// Say whether the transport has bytes, and forget it. [loop]
int stream_is_ready(stream *s);

// Say whether a task is reading, or the stream is reserved. [loop]
static inline int stream_is_busy(const stream *s) {
  return s->reader != NULL || s->reserved;
}

// --- Writing ---------------------------------------------------------------------------------

// Set how many bytes may be queued before writers wait, 0: as many as usual. [loop]
void stream_set_bound(stream *s, lua_Integer bytes);

// Say whether a write may be queued without waiting. [loop]
int stream_is_writable(const stream *s);

// Suspend until it is this task's turn to write. `ops` has no cancel function; its done function
// must first call stream_take_turn. To be returned in tail position. [loop]
int stream_wait_turn(lua_State *L, stream *s, uint64_t when, const wait_ops *ops, void *arg);

// Take the turn that the wait ended with: 0 when the task may write, else UV_ETIMEDOUT,
// STREAM_CLOSED, or the error of the write side. `rc` is what the done function got. [loop]
int stream_take_turn(stream *s, int rc);

// Reserve the stream: nobody else reads, and who begins to write waits, until stream_release.
// [loop] Answers 1 once what was written before is out; until then stream_wait_drained must follow,
// and this again. 0 otherwise.
int stream_reserve(stream *s);

// Suspend as stream_wait_turn does, until the next try of stream_reserve. [loop]
int stream_wait_drained(lua_State *L, stream *s, uint64_t when, const wait_ops *ops, void *arg);

// The stream is everybody's again. [loop] Must not run Lua.
void stream_release(stream *s);

// Write `n` buffers as one piece: what the transport does not take at once is copied and queued.
// Answers 0, or an error, which stays that of the write side. [loop]
int stream_write(stream *s, const uv_buf_t *bufs, unsigned n);

// The bytes that are queued for writing. [loop]
size_t stream_queued(const stream *s);

// End the write side once all is written. Tasks that wait for it are in `writers`. [loop] 0 or an
// error.
int stream_shutdown(stream *s);

// --- For transports --------------------------------------------------------------------------

// Give memory to read into; an empty one when there is no room (then call stream_refused). [loop]
void stream_room(stream *s, uv_buf_t *buf);

// `n` bytes have arrived at `base`, memory from stream_room. [loop] Must not run Lua.
void stream_fed(stream *s, const char *base, size_t n);

// There was no room. [loop] Must not run Lua.
void stream_refused(stream *s);

// No more bytes will come: UV_EOF or an error. [loop] Must not run Lua.
void stream_ended(stream *s, int rc);

// The write under way has ended. [loop] Must not run Lua.
void stream_written(stream *s, int rc);

// The write side has ended. [loop] Must not run Lua.
void stream_shut(stream *s, int rc);

// Make the running task, which is about to wait for the transport itself, the reader: others are
// refused, and stream_ended, stream_close or stream_wake wake it. [loop]
void stream_occupy(lua_State *L, stream *s);

// Wake that task. [loop] Must not run Lua.
void stream_wake(stream *s);

// It was woken, or gives up. [loop] Must not run Lua.
void stream_vacate(stream *s);

// The transport is closed: frees the stream unless its owner holds it. [loop] Must not run Lua.
void stream_closed(stream *s);

#endif
