// SPDX-License-Identifier: MIT
// The buffered stream: life and reading. See stream.h. Writing stands in stream_write.c.
#include "io/stream.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"
#include "io/stream_write.h"

#define SMALL ((size_t)4 << 10)    // up to here copying costs less than holding a block
#define DIRECT ((size_t)16 << 10)  // room from which on bytes are read straight into the buffer
#define KEEP ((size_t)256)         // memory that an empty buffer keeps: connections idle
#define TRUST ((size_t)1 << 20)    // memory reserved on the word of the caller, not of the bytes

// --- Life ------------------------------------------------------------------------------------

static void close_handle(handle *h) {
  stream *s = list_entry(h, stream, h);
  if (!s->closed)
    stream_close(s, 0);
  else if (!s->gone)
    stream_flush(s);
  else if (s->t->hasten)
    s->t->hasten(s);
}

void stream_init(stream *s, rt *r, io_state *io, const stream_transport *t) {
  handle_init(r, &s->h, t->kind, close_handle);
  s->t = t;
  s->io = io_state_ref(io);
  s->refs = 1;
  buffer_init(&s->in);
  list_init(&s->writers);
}

stream *stream_ref(stream *s) {
  s->refs++;
  return s;
}

void stream_unref(stream *s) {
  if (--s->refs == 0) free(s);
}

void stream_close(stream *s, uint32_t site) {
  if (s->closed) return;
  s->closed = 1;
  s->closed_at = site;
  if (s->reading) s->t->stop(s);
  s->reading = 0;
  if (s->reader && !s->woken) {
    s->woken = 1;
    wait_wake(s->reader, STREAM_CLOSED);
  }
  if (s->t->unread) s->t->unread(s, buffer_len(&s->in));
  buffer_fini(&s->in);
  stream_close_writes(s);
}

void stream_closed(stream *s) {
  stream_free_out(s);
  buffer_fini(&s->in);
  handle_fini(&s->h);
  io_state_unref(s->io);
  stream_unref(s);
}

// --- Bytes that arrive -----------------------------------------------------------------------

static void wake_reader(stream *s) {
  if (!s->reader || s->woken || (buffer_len(&s->in) < s->want && !s->in_rc)) return;
  s->woken = 1;
  wait_wake(s->reader, 0);
}

static int is_full(const stream *s) {
  int is_wanted = s->reader && !s->woken && s->want > STREAM_AHEAD;
  return buffer_len(&s->in) >= (is_wanted ? s->want : STREAM_AHEAD);
}

// Make room for `n` more bytes. More than a block's worth is a long piece for one reader: from then
// on in memory that can become its string (core/bytes.h), and grows without being copied.
static int gather(stream *s, size_t n) {
  size_t len = buffer_len(&s->in);
  buffer b;
  if (s->in.capacity > IO_BLOCK || len + n <= IO_BLOCK) return buffer_reserve(&s->in, n);
  buffer_init(&b);
  if (buffer_begin(&b, bytes_head(s->h.r), len + n + BYTES_TAIL) < 0) return -1;
  if (len) buffer_append(&b, buffer_bytes(&s->in), len);
  buffer_consume(&s->in, len);
  io_buffer_release(s->io, &s->in);
  s->in = b;
  return 0;
}

void stream_room(stream *s, uv_buf_t *buf) {
  size_t room = s->in.capacity - s->in.end;
  if (is_full(s) || s->direct) {
    *buf = uv_buf_init(NULL, 0);
  } else if (room >= DIRECT) {
    buf->base = s->in.data + s->in.end;
    buf->len = room;
  } else {
    buf->base = io_block(s->io);
    buf->len = buf->base ? IO_BLOCK : 0;
  }
}

void stream_fed(stream *s, const char *base, size_t n) {
  s->bytes_in += n;
  if (base != s->io->block) {
    s->in.end += n;
  } else if (n > SMALL && !buffer_len(&s->in)) {
    io_block_give(s->io, &s->in, n);
  } else if (gather(s, n) < 0) {
    stream_ended(s, UV_ENOMEM);
    return;
  } else {
    buffer_append(&s->in, base, n);
  }
  wake_reader(s);
}

void stream_refused(stream *s) {
  if (!s->direct && !is_full(s)) {
    stream_ended(s, UV_ENOMEM);
    return;
  }
  if (s->direct) s->ready = 1;
  if (s->direct && !s->woken) {
    s->woken = 1;
    wait_wake(s->reader, 0);
  } else if (s->refused) {  // asking the kernel again and again would spin
    s->t->stop(s);
    s->reading = 0;
  }
  s->refused = 1;
}

void stream_ended(stream *s, int rc) {
  if (s->in_rc || s->closed) return;
  s->in_rc = rc;
  if (s->reading) s->t->stop(s);
  s->reading = 0;
  wake_reader(s);
}

void stream_expect(stream *s, size_t n) {
  size_t len = buffer_len(&s->in);
  if (n < len || n - len < DIRECT) return;
  n -= len;
  gather(s, n < TRUST ? n : TRUST);  // if it fails the buffer grows as it fills
}

void stream_consume(stream *s, size_t n) {
  if (s->closed) return;  // meanwhile, by a finaliser: nothing is left of what was read
  buffer_consume(&s->in, n);
  stream_consumed(s);
}

void stream_consumed(stream *s) {
  s->refused = 0;
  if (!buffer_len(&s->in) && s->in.capacity > KEEP) io_buffer_release(s->io, &s->in);
}

void stream_trim(stream *s) {
  buffer_trim(&s->in, 0);
}

// --- The wait of the reader ------------------------------------------------------------------

static void forget_reader(stream *s) {
  s->reader = NULL;
  s->direct = 0;
  s->want = 0;
  s->t->hold(s, 0);
}

// The reader keeps its place when its time limit passes, until it has run; it is never run again
// when it was cancelled, or could not even wait.
static wait_answer cancel_read(task *t, void *arg) {
  stream *s = arg;
  s->woken = 1;
  if (t->state != TASK_WAITING || (t->in && t->in->by)) forget_reader(s);
  return WAIT_STOPPED;
}

static int resume_reader(lua_State *L, void *arg, int rc) {
  stream *s = arg;
  stream_done *done = s->done;
  void *done_arg = s->arg;
  forget_reader(s);
  return done(L, s, done_arg, s->closed ? STREAM_CLOSED : rc);
}

void stream_describe_wait(const task *t, const void *arg, char *buf, size_t n) {
  const stream *s = arg;
  (void)t;
  s->t->describe(s, buf, n);
}

static const wait_ops read_ops = {"data from", cancel_read, resume_reader, stream_describe_wait};

int stream_is_ready(stream *s) {
  int is_ready = s->ready;
  s->ready = 0;
  return is_ready;
}

static int begin_wait(lua_State *L, stream *s, size_t want, uint64_t when, stream_done *done,
                      void *arg, int direct) {
  s->ready = 0;
  if (s->closed) return done(L, s, arg, STREAM_CLOSED);
  if (buffer_len(&s->in) >= want || s->in_rc) return done(L, s, arg, 0);
  assert(!s->reader);
  wait_check(L);
  s->reader = task_current(L);
  s->want = want;
  s->done = done;
  s->arg = arg;
  s->woken = 0;
  s->refused = 0;
  s->direct = direct != 0;
  s->t->hold(s, 1);
  if (!s->reading) {
    s->reading = 1;
    int rc = s->t->start(s);  // may deliver at once what the transport has in store
    if (rc < 0) stream_ended(s, rc);
  }
  return wait_begin_until(L, &read_ops, s, when);
}

int stream_wait(lua_State *L, stream *s, size_t want, uint64_t when, stream_done *done, void *arg) {
  return begin_wait(L, s, want, when, done, arg, 0);
}

int stream_wait_direct(lua_State *L, stream *s, uint64_t when, stream_done *done, void *arg) {
  return begin_wait(L, s, 1, when, done, arg, 1);
}

// --- A wait of the transport -----------------------------------------------------------------

void stream_occupy(lua_State *L, stream *s) {
  assert(!s->reader);
  s->reader = task_current(L);
  s->want = SIZE_MAX;
  s->woken = 0;
  s->t->hold(s, 1);
}

void stream_wake(stream *s) {
  if (!s->reader || s->woken) return;
  s->woken = 1;
  wait_wake(s->reader, 0);
}

void stream_vacate(stream *s) {
  s->woken = 1;
  if (s->reader) forget_reader(s);
}
