// SPDX-License-Identifier: MIT
// What a WebSocket receives. See websocket.h.
#include "http/websocket.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "http/websocket_inner.h"

#define TRUST ((uint64_t)64 << 10)  // memory reserved on the word of the peer

// --- Rules -------------------------------------------------------------------------------------

// What is wrong with the first two bytes of a frame; NULL if nothing is.
static const char *fault_of(const websocket *w, const websocket_head *h, unsigned length) {
  int is_control = h->opcode & 8,
      begins = h->opcode == WEBSOCKET_TEXT || h->opcode == WEBSOCKET_BINARY;
  unsigned allowed = w->deflate && begins ? WEBSOCKET_RSV1 : 0;
  if (h->reserved & ~allowed) return "a reserved bit is set";
  if ((h->opcode & 7) > 2) return "the opcode is reserved";
  if (h->masked != w->is_server)
    return w->is_server ? "the frame is not masked" : "the frame is masked";
  if (is_control && !h->fin) return "a control frame is fragmented";
  if (is_control && length > WEBSOCKET_CONTROL) return "a control frame is too long";
  if (begins && w->opcode) return "a message begins inside of another";
  if (h->opcode == WEBSOCKET_MORE && !w->opcode)
    return "nothing has begun that the frame continues";
  return NULL;
}

// Read the head of the next frame. Answers its length; 0 when more must come, or the peer broke a
// rule: then it is over.
static size_t read_head(websocket *w, const unsigned char *p, size_t n) {
  int size = websocket_head_read(&w->head, p, n);
  const char *fault = n < 2 ? NULL : fault_of(w, &w->head, p[1] & 127);
  if (!fault && size < 0) fault = "the length of a frame is not written as it must be";
  if (fault) websocket_fail(w, WEBSOCKET_PROTOCOL, fault);
  return fault ? 0 : (size_t)size;
}

// --- Control frames ------------------------------------------------------------------------------

static void take_goodbye(websocket *w, const unsigned char *p, size_t n) {
  uint32_t state = 0;
  unsigned code = n >= 2 ? (unsigned)(p[0] << 8 | p[1]) : WEBSOCKET_NO_CODE;
  if (n == 1 || (n >= 2 && !websocket_code_valid(code)))
    websocket_fail(w, WEBSOCKET_PROTOCOL, "a close frame has no valid code");
  else if (n > 2 && (!websocket_utf8(&state, p + 2, n - 2) || state))
    websocket_fail(w, WEBSOCKET_NO_TEXT, "the reason of a close frame is not UTF-8");
  else
    websocket_end(w, code, p + 2, n > 2 ? n - 2 : 0);
}

// Act on a control frame, all of which is there; then it is consumed.
static void take_control(websocket *w, size_t head) {
  size_t n = (size_t)w->head.length;
  unsigned char *p = (unsigned char *)buffer_bytes(&w->s->in) + head;
  if (w->head.masked) websocket_mask(p, p, n, w->head.mask, 0);
  // A peer that asks and asks without reading is not answered for ever.
  if (w->head.opcode == WEBSOCKET_PING && stream_queued(w->s) < STREAM_QUEUE)
    websocket_control(w, WEBSOCKET_PONG, p, n);
  if (w->head.opcode == WEBSOCKET_CLOSE) take_goodbye(w, p, n);
  if (!w->s->closed) stream_consume(w->s, head + n);
}

void websocket_attend(websocket *w) {
  size_t len, head;
  while (!w->over && !w->s->closed && !w->in_frame && !w->unpacking && !w->is_complete) {
    const unsigned char *p = (const unsigned char *)stream_peek(w->s, &len);
    if (len < 2 || !(p[0] & 8)) return;
    head = read_head(w, p, len);
    if (!head || len < head + w->head.length) return;
    take_control(w, head);
  }
}

// --- Messages ------------------------------------------------------------------------------------

static const char not_text[] = "a text is not UTF-8";
static const char too_big[] = "a message is too long";

static void push_kind(lua_State *L, unsigned opcode) {
  lua_pushstring(L, opcode == WEBSOCKET_TEXT ? "text" : "binary");
}

static void empty(buffer *b) {
  buffer_consume(b, buffer_len(b));
  buffer_trim(b, 0);
}

// The message is complete or given up.
static void forget_message(websocket *w) {
  empty(&w->message);
  if (w->deflate) {
    empty(&w->deflate->packed);
    websocket_give_inflater(w->deflate, &w->common->states);
  }
  w->opcode = 0;
  w->utf8 = 0;
  w->is_packed = w->unpacking = w->is_complete = w->is_spoiled = 0;
}

// What a call that receives notes before it gives a message. To make a string may run finalisers,
// which may receive, and it may fail. So until a message is counted as given it stays where it is,
// for whoever receives next; and who finds that it was given meanwhile goes on without results.
typedef struct giving {
  uint64_t until;
  unsigned given, raises;
} giving;

static giving begin_giving(const websocket *w) {
  return (giving){w->until, w->given, w->raises};
}

// Drop `n` values: the message was given meanwhile. Answers the number of results.
static int go_without(lua_State *L, websocket *w, const giving *g, int n) {
  lua_pop(L, n);
  w->until = g->until;
  w->raises = g->raises != 0;
  return 0;
}

// Give the message that was gathered. Answers the number of results. The bytes of a long one leave
// the buffer before they are a string: then it is not for a finaliser, which goes on to the next.
static int give_message(lua_State *L, websocket *w) {
  if (!w->is_complete) w->size = buffer_len(&w->message);
  w->is_complete = 1;
  const giving g = begin_giving(w);
  push_kind(L, w->opcode);
  if (w->given != g.given) return go_without(L, w, &g, 1);
  size_t n = w->size;
  if (buffer_len(&w->message) != n) {
    w->given++;
    forget_message(w);
    return go_without(L, w, &g, 1);
  }
  int has_left = bytes_take_long(L, &w->message, n, 0);
  if (!has_left) lua_pushlstring(L, n ? buffer_bytes(&w->message) : "", n);
  lua_insert(L, -2);
  if (w->given != g.given) return has_left ? 2 : go_without(L, w, &g, 2);
  w->given++;
  forget_message(w);
  return 2;
}

// Give a message that came in one frame, all of which is in the stream's buffer. Answers the number
// of results.
static int give_frame(lua_State *L, websocket *w, unsigned char *p, size_t head) {
  const giving g = begin_giving(w);
  size_t n = (size_t)w->head.length;
  unsigned opcode = w->opcode;
  w->opcode = 0;
  if (w->head.masked) {
    websocket_mask(p, p, n, w->head.mask, 0);
    memset(p - sizeof w->head.mask, 0, sizeof w->head.mask);  // who reads it again unmasks nothing
  }
  if (opcode == WEBSOCKET_TEXT && (!websocket_utf8(&w->utf8, p, n) || w->utf8)) {
    websocket_fail(w, WEBSOCKET_NO_TEXT, not_text);
    return 0;
  }
  lua_pushlstring(L, (const char *)p, n);
  push_kind(L, opcode);
  if (w->given != g.given) return go_without(L, w, &g, 2);
  w->given++;
  stream_consume(w->s, head + n);
  return 2;
}

static int on_rested(lua_State *L, void *arg, int rc) {
  websocket *w = arg;
  (void)rc;
  w->resting = 0;
  return websocket_go_on(L, w);
}

// It keeps its place until it has run, but is never run again when it was cancelled.
static wait_answer cancel_rest(task *t, void *arg) {
  websocket *w = arg;
  if (t->state != TASK_WAITING || (t->in && t->in->by)) w->resting = 0;
  return WAIT_STOPPED;
}

static const wait_ops rest_ops = {"other tasks", cancel_rest, on_rested, NULL};

static int rest(lua_State *L, websocket *w) {
  wait_check(L);
  w->resting = 1;
  return wait_begin_until(L, &rest_ops, w, timer_after(rt_of(L), 0));
}

// --- Compressed messages -------------------------------------------------------------------------

// All of the compressed message is there. Answers 0 or UV_ENOMEM.
static int begin_unpacking(websocket *w) {
  buffer *packed = &w->deflate->packed;
  z_stream *z = websocket_take_inflater(w->deflate, &w->common->states);
  size_t likely = buffer_len(packed) * 2 + BYTES_TAIL;
  if (!z || buffer_begin(&w->message, bytes_head(w->s->h.r), likely) < 0) return UV_ENOMEM;
  z->next_in = (unsigned char *)buffer_bytes(packed);
  z->avail_in = (unsigned)buffer_len(packed);
  w->unpacking = 1;
  return 0;
}

// Inflate a slice of the message. Answers the number of results once it is complete.
static int unpack(lua_State *L, websocket *w) {
  int rc = websocket_unpack(w->deflate->inflater, WEBSOCKET_SLICE, w->max, &w->message);
  wait_count(L, WAIT_MILLISECOND / 2);
  if (rc == 1) return wait_may_go_on(L, 0) ? 0 : rest(L, w);
  const unsigned char *p = (const unsigned char *)buffer_bytes(&w->message);
  int is_text = w->opcode == WEBSOCKET_TEXT;
  if (rc == UV_EMSGSIZE)
    websocket_fail(w, WEBSOCKET_TOO_BIG, too_big);
  else if (rc == UV_ENOMEM)
    websocket_lost(w, rc);
  else if (rc < 0)
    websocket_fail(w, WEBSOCKET_NO_TEXT, "a compressed message is damaged");
  else if (is_text && (!websocket_utf8(&w->utf8, p, buffer_len(&w->message)) || w->utf8))
    websocket_fail(w, WEBSOCKET_NO_TEXT, not_text);
  return w->over ? 0 : give_message(L, w);
}

// --- Frames --------------------------------------------------------------------------------------

// Where the message is gathered.
static buffer *gathered(websocket *w) {
  return w->is_packed ? &w->deflate->packed : &w->message;
}

// Say whether the message may have `n` more bytes. Deflating can make it a little longer.
static int is_too_big(websocket *w, uint64_t n) {
  uint64_t most = w->is_packed ? w->max + (w->max >> 10) + 64 : w->max;
  return n > most || buffer_len(gathered(w)) > most - n;
}

// A data frame begins, whose head is of `head` bytes.
static void begin_frame(websocket *w, size_t head) {
  buffer *to = gathered(w);
  stream_consume(w->s, head);
  w->in_frame = 1;
  w->left = w->head.length;
  if (w->discards || to->data || !w->left) return;
  uint64_t likely = w->left < TRUST ? w->left : TRUST;
  buffer_begin(to, bytes_head(w->s->h.r), (size_t)likely + BYTES_TAIL);  // else it grows
}

// Take the next frame. Answers the number of results; 0 when there are none: then `need` is how
// many bytes must be there to go on.
static int take_frame(lua_State *L, websocket *w, size_t *need) {
  size_t len;
  unsigned char *p = (unsigned char *)(uintptr_t)stream_peek(w->s, &len);
  size_t head = read_head(w, p, len);
  if (w->over) return 0;
  if (!head || (w->head.opcode & 8 && len < head + w->head.length)) {
    *need = len + 1;
    return 0;
  }
  if (w->head.opcode & 8) {
    take_control(w, head);
    return w->over || wait_may_go_on(L, WAIT_SYSTEM_CALL) ? 0 : rest(L, w);
  }
  if (w->head.opcode != WEBSOCKET_MORE) {
    w->opcode = w->head.opcode;
    w->is_packed = w->head.reserved != 0;
  }
  if (!w->discards && is_too_big(w, w->head.length)) {
    websocket_fail(w, WEBSOCKET_TOO_BIG, too_big);
    return 0;
  }
  int is_whole = w->head.fin && w->head.opcode != WEBSOCKET_MORE && len - head >= w->head.length;
  if (is_whole && !w->is_packed && !w->discards) return give_frame(L, w, p + head, head);
  begin_frame(w, head);
  return 0;
}

// Nobody wants the message, or a part of it is missing. What is compressed may build on it.
static void throw_message(websocket *w) {
  if (w->is_packed && !w->is_complete && w->deflate->recv_takeover) w->is_out_of_step = 1;
  forget_message(w);
}

// All of the message has come. Answers the number of results.
static int end_message(lua_State *L, websocket *w) {
  if (w->discards || w->is_spoiled || (w->is_packed && w->is_out_of_step)) {
    throw_message(w);
  } else if (w->is_packed) {
    if (begin_unpacking(w) < 0) websocket_lost(w, UV_ENOMEM);
  } else if (w->utf8) {
    websocket_fail(w, WEBSOCKET_NO_TEXT, not_text);
  } else {
    return give_message(L, w);
  }
  return 0;
}

// Take what has come of the payload. Answers as take_frame.
static int take_payload(lua_State *L, websocket *w, size_t *need) {
  size_t n;
  unsigned char *p = (unsigned char *)(uintptr_t)stream_peek(w->s, &n);
  if (n > w->left) n = (size_t)w->left;
  if (!n && w->left) {
    *need = 1;
    return 0;
  }
  if (w->discards && n) w->is_spoiled = 1;
  if (!w->is_spoiled && n) {
    if (w->head.masked) websocket_mask(p, p, n, w->head.mask, w->head.length - w->left);
    int is_text = w->opcode == WEBSOCKET_TEXT && !w->is_packed;
    if (is_text && !websocket_utf8(&w->utf8, p, n)) {
      websocket_fail(w, WEBSOCKET_NO_TEXT, not_text);
      return 0;
    }
    if (buffer_append(gathered(w), p, n) < 0) {
      websocket_lost(w, UV_ENOMEM);  // the bytes are unmasked already
      return 0;
    }
  }
  stream_consume(w->s, n);
  w->left -= n;
  if (w->left) return 0;
  w->in_frame = 0;
  return w->head.fin ? end_message(L, w) : 0;
}

// --- Receiving -----------------------------------------------------------------------------------

// After a rule was broken: what still comes is thrown away until the peer closes.
static int throw_away(lua_State *L, websocket *w, stream_done *done) {
  size_t n;
  stream_peek(w->s, &n);
  stream_consume(w->s, n);
  return stream_wait(L, w->s, 1, TIMER_NEVER, done, w);
}

static int on_data(lua_State *L, stream *s, void *arg, int rc) {
  (void)s;
  if (rc == UV_ETIMEDOUT) return websocket_give_error(L, arg, rc, "recv");
  return websocket_go_on(L, arg);
}

int websocket_go_on(lua_State *L, websocket *w) {
  for (;;) {
    size_t need = 0;
    int results;
    if (w->discards && w->over && !w->s->closed && !stream_end(w->s))
      return throw_away(L, w, on_data);
    if (w->over || w->s->closed) return websocket_give_end(L, w);
    if (w->discards && (w->unpacking || w->is_complete)) throw_message(w);
    if (w->is_complete)
      results = give_message(L, w);
    else if (w->unpacking)
      results = unpack(L, w);
    else
      results = w->in_frame ? take_payload(L, w, &need) : take_frame(L, w, &need);
    if (results) return results;
    if (!need) continue;
    if (!stream_end(w->s)) return stream_wait(L, w->s, need, w->until, on_data, w);
    websocket_lost(w, stream_end(w->s));
  }
}

int websocket_is_busy(const websocket *w) {
  return w->resting || stream_is_busy(w->s);
}

int websocket_receive(lua_State *L, websocket *w, uint64_t until, int raises) {
  w->until = until;
  w->raises = raises != 0;
  w->discards = 0;
  return websocket_go_on(L, w);
}
