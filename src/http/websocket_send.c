// SPDX-License-Identifier: MIT
// What a WebSocket sends. See websocket.h.
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/runtime.h"
#include "core/task.h"
#include "http/websocket_inner.h"

#define KEEP ((size_t)64 << 10)     // of a shared buffer, between two messages
#define TOGETHER ((size_t)4 << 10)  // a payload of up to this is copied behind its head
#define PACKER "corun.websocketpacker"

// Stack of a send.
enum { SELF = 1, DATA, OPCODE, PACKED };

// --- Frames ----------------------------------------------------------------------------------

static void fill_mask(websocket_common *c, unsigned char mask[4]) {
  if (c->random_used + 4 > sizeof c->random || !c->random_used) {
    uv_random(NULL, NULL, c->random, sizeof c->random, 0, NULL);
    c->random_used = 0;
  }
  memcpy(mask, c->random + c->random_used, 4);
  c->random_used += 4;
}

// Write a frame as a client does: a masked copy.
static int write_masked(websocket *w, websocket_head *h, const void *p) {
  buffer *b = &w->common->masked;
  size_t n = (size_t)h->length;
  h->masked = 1;
  fill_mask(w->common, h->mask);
  if (buffer_reserve(b, WEBSOCKET_HEAD + n) < 0) return UV_ENOMEM;
  unsigned char *to = (unsigned char *)buffer_bytes(b);
  size_t head = websocket_head_write(h, to);
  websocket_mask(to + head, p, n, h->mask, 0);
  uv_buf_t buf = uv_buf_init((char *)to, (unsigned)(head + n));
  int rc = stream_write(w->s, &buf, 1);
  buffer_trim(b, KEEP);
  return rc;
}

// Write a frame, of which `flags` are the reserved bits. One piece costs the kernel less than two.
static int write_frame(websocket *w, unsigned opcode, unsigned flags, const void *p, size_t n) {
  unsigned char head[WEBSOCKET_HEAD + TOGETHER];
  websocket_head h = {.length = n, .opcode = (uint8_t)opcode, .fin = 1, .reserved = flags & 7};
  if (!w->is_server) return write_masked(w, &h, p);
  size_t size = websocket_head_write(&h, head);
  uv_buf_t bufs[] = {
    {.base = (char *)head, .len = size},
    {.base = (char *)(uintptr_t)p, .len = n},
  };
  if (n > TOGETHER) return stream_write(w->s, bufs, 2);
  if (n) memcpy(head + size, p, n);
  bufs[0].len += n;
  return stream_write(w->s, bufs, 1);
}

void websocket_control(websocket *w, websocket_opcode opcode, const void *p, size_t n) {
  const stream *s = w->s;
  if (s->closed || s->shut || s->out_rc) return;
  write_frame(w, opcode, 0, p, n);  // a failure shows when something is received or sent
}

// --- Compressed messages ---------------------------------------------------------------------

static void set_input(z_stream *z, const char *p, size_t n) {
  z->next_in = (unsigned char *)(uintptr_t)p;
  z->avail_in = (unsigned)n;
}

// The state that deflates a short message; NULL on out of memory.
static z_stream *deflater_of(websocket *w) {
  websocket_deflate *d = w->deflate;
  z_stream **kept = d->send_takeover ? &d->deflater : &w->common->states.deflater;
  if (!*kept) *kept = websocket_deflater(d->send_takeover ? d->send_bits : WEBSOCKET_WINDOW);
  return *kept;
}

// Deflate a short message into the shared buffer. Answers whether it got shorter.
static int pack(websocket *w, const char *p, size_t n) {
  buffer *b = &w->common->packed;
  z_stream *z = deflater_of(w);
  buffer_consume(b, buffer_len(b));
  if (!z) return 0;
  set_input(z, p, n);
  int is_shorter = websocket_pack(z, n, b) == 0 && buffer_len(b) < n;
  // What the peer was not sent is not in its window: then this side begins anew too.
  if (!is_shorter || !w->deflate->send_takeover) deflateReset(z);
  return is_shorter;
}

// Say whether a message of `n` bytes is compressed at all, and whether in one go. A window that is
// smaller than that of the shared state does for messages that fit into it.
static int is_packable(const websocket *w, size_t n) {
  return w->deflate && n >= w->deflate->threshold;
}

static int is_packed_at_once(const websocket *w, size_t n) {
  const websocket_deflate *d = w->deflate;
  int fits = d->send_takeover || n <= (size_t)1 << d->send_bits || d->send_bits == WEBSOCKET_WINDOW;
  return n <= WEBSOCKET_AT_ONCE && fits;
}

// A message that is deflated by and by, in a userdata of the frame that sends it.
typedef struct packer {
  z_stream *z;
  buffer out;
} packer;

static int packer_gc(lua_State *L) {
  packer *p = lua_touserdata(L, 1);
  websocket_deflater_free(p->z);
  p->z = NULL;
  buffer_fini(&p->out);
  return 0;
}

static int send_now(lua_State *L, websocket *w);
static int go_on_packing(lua_State *L, websocket *w);

static int on_rested(lua_State *L, void *arg, int rc) {
  (void)rc;
  return go_on_packing(L, arg);
}

static const wait_ops pack_ops = {"other tasks", NULL, on_rested, NULL};

static int go_on_packing(lua_State *L, websocket *w) {
  packer *p = lua_touserdata(L, PACKED);
  int rc;
  while ((rc = websocket_pack(p->z, WEBSOCKET_AT_ONCE, &p->out)) == 1) {
    wait_count(L, WAIT_MILLISECOND);
    if (!wait_may_go_on(L, 0)) return wait_begin_until(L, &pack_ops, w, timer_after(rt_of(L), 0));
  }
  if (rc < 0) return luaL_error(L, "not enough memory");
  if (buffer_len(&p->out) < (size_t)lua_rawlen(L, DATA)) {
    lua_pushinteger(L, lua_tointeger(L, OPCODE) | WEBSOCKET_RSV1 << 8);
    lua_replace(L, OPCODE);
    bytes_take(L, &p->out, buffer_len(&p->out), 0);
    lua_replace(L, DATA);
  }
  websocket_deflater_free(p->z);
  p->z = NULL;
  return send_now(L, w);
}

static int begin_packing(lua_State *L, websocket *w) {
  size_t n;
  const char *data = lua_tolstring(L, DATA, &n);
  packer *p = lua_newuserdatauv(L, sizeof *p, 0);
  p->z = NULL;
  buffer_init(&p->out);
  if (luaL_newmetatable(L, PACKER)) {
    lua_pushcfunction(L, packer_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  p->z = websocket_deflater(w->deflate->send_bits);
  size_t head = bytes_head(rt_of(L));
  if (!p->z || buffer_begin(&p->out, head, n / 4 + BYTES_TAIL) < 0)
    return luaL_error(L, "not enough memory");
  set_input(p->z, data, n);
  return go_on_packing(L, w);
}

// --- Messages --------------------------------------------------------------------------------

static int finish_send(lua_State *L, const websocket *w, int rc) {
  if (rc < 0) return websocket_give_error(L, w, rc, "send");
  lua_pushboolean(L, 1);
  return 1;
}

static int can_send(const websocket *w) {
  return !w->over && !w->said_bye && !w->s->closed && !w->s->shut;
}

// Write the message. One that was compressed apart is in no window but the peer's.
static int write_message(lua_State *L, websocket *w) {
  size_t n;
  const char *p = lua_tolstring(L, DATA, &n);
  unsigned opcode = (unsigned)lua_tointeger(L, OPCODE), flags = opcode >> 8;
  if (!can_send(w)) return websocket_give_closed(L, w, "send");
  if (flags && w->deflate->deflater) deflateReset(w->deflate->deflater);
  if (!flags && lua_isnone(L, PACKED) && is_packable(w, n) && pack(w, p, n)) {
    flags = WEBSOCKET_RSV1;
    p = buffer_bytes(&w->common->packed);
    n = buffer_len(&w->common->packed);
  }
  int rc = write_frame(w, opcode & 15, flags, p, n);
  buffer_trim(&w->common->packed, KEEP);
  if (!websocket_is_busy(w))
    websocket_attend(w);  // after it: the peer may say goodbye and listen on
  return finish_send(L, w, rc);
}

static int on_turn(lua_State *L, void *arg, int rc) {
  websocket *w = arg;
  rc = stream_take_turn(w->s, rc);
  if (rc == STREAM_CLOSED) return websocket_give_closed(L, w, "send");
  return rc < 0 ? finish_send(L, w, rc) : write_message(L, w);
}

static void describe_turn(const task *t, const void *arg, char *buf, size_t n) {
  const websocket *w = arg;
  (void)t;
  w->s->t->describe(w->s, buf, n);
}

static int on_written(lua_State *L, void *arg, int rc) {
  (void)L;
  (void)arg;
  (void)rc;
  return 1;  // the result is on top
}

static const wait_ops turn_ops = {"room to write to", NULL, on_turn, describe_turn};
static const wait_ops rest_ops = {"other tasks", NULL, on_written, NULL};

static int send_now(lua_State *L, websocket *w) {
  if (!can_send(w)) return websocket_give_closed(L, w, "send");
  if (!stream_is_writable(w->s)) return stream_wait_turn(L, w->s, TIMER_NEVER, &turn_ops, w);
  int results = write_message(L, w);
  if (results == 1 && !wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, w, timer_after(rt_of(L), 0));
  return results;
}

int websocket_send(lua_State *L, websocket *w) {
  size_t n = (size_t)lua_rawlen(L, DATA);
  if (can_send(w) && is_packable(w, n) && !is_packed_at_once(w, n)) return begin_packing(L, w);
  return send_now(L, w);
}

// --- Broadcasts ------------------------------------------------------------------------------

static int make_frame(buffer *b, unsigned opcode, unsigned flags, const void *p, size_t n) {
  unsigned char head[WEBSOCKET_HEAD];
  websocket_head h = {.length = n, .opcode = (uint8_t)opcode, .fin = 1, .reserved = flags & 7};
  size_t size = websocket_head_write(&h, head);
  if (buffer_reserve(b, size + n) < 0) return UV_ENOMEM;
  buffer_append(b, head, size);
  buffer_append(b, p, n);
  return 0;
}

// The compressed frame; NULL when there is none.
static buffer *packed_frame(websocket *w, websocket_broadcast *b) {
  int fits = is_packable(w, b->len) && b->len <= WEBSOCKET_AT_ONCE &&
             w->deflate->send_bits == WEBSOCKET_WINDOW;
  if (!fits) return NULL;
  if (!b->is_tried) {
    b->is_tried = 1;
    z_stream *z = websocket_deflater(WEBSOCKET_WINDOW);
    buffer out;
    buffer_init(&out);
    if (z) set_input(z, b->data, b->len);
    if (z && websocket_pack(z, b->len, &out) == 0 && buffer_len(&out) < b->len)
      make_frame(&b->packed, b->opcode, WEBSOCKET_RSV1, buffer_bytes(&out), buffer_len(&out));
    buffer_fini(&out);
    websocket_deflater_free(z);
  }
  if (!buffer_len(&b->packed)) return NULL;
  if (w->deflate->deflater) deflateReset(w->deflate->deflater);
  return &b->packed;
}

int websocket_cast(websocket *w, websocket_broadcast *b) {
  if (!w->s || !can_send(w)) return UV_ECANCELED;
  size_t queued = stream_queued(w->s);
  if (queued && queued + b->len > b->most) return UV_EAGAIN;
  if (!w->is_server) return write_frame(w, b->opcode, 0, b->data, b->len);
  buffer *frame = packed_frame(w, b);
  if (!frame) {
    frame = &b->plain;
    if (!buffer_len(frame) && make_frame(frame, b->opcode, 0, b->data, b->len) < 0)
      return UV_ENOMEM;
  }
  uv_buf_t buf = uv_buf_init(buffer_bytes(frame), (unsigned)buffer_len(frame));
  return stream_write(w->s, &buf, 1);
}
