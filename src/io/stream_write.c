// SPDX-License-Identifier: MIT
// The write side of streams: the queue, its waiters, the end of the write side, and closing with
// bytes still queued. See stream.h. Runs on the loop thread. Invariant: `out` is there exactly
// while the transport has a write or a shutdown to end.
#include "io/stream_write.h"

#include <assert.h>
#include <stdlib.h>

#include "core/runtime.h"
#include "core/scope.h"
#include "core/task.h"

#define SLICE ((size_t)256 << 10)  // bytes that one write of the transport carries

static void on_linger(timer_call *c);

size_t stream_queued(const stream *s) {
  return s->out ? buffer_len(&s->out->sending) + buffer_len(&s->out->next) : 0;
}

static size_t bound(const stream *s) {
  return s->bound ? s->bound : STREAM_QUEUE;
}

void stream_set_bound(stream *s, lua_Integer bytes) {
  s->bound = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

void stream_free_out(stream *s) {
  stream_out *o = s->out;
  if (!o) return;
  timer_disarm(s->h.r, &o->linger.tm);
  buffer_fini(&o->sending);
  buffer_fini(&o->next);
  free(o);
  s->out = NULL;
}

static stream_out *make_out(stream *s) {
  stream_out *o = calloc(1, sizeof *o);
  if (!o) return NULL;
  o->s = s;
  o->linger.tm.kind = TIMER_CALL;
  o->linger.fire = on_linger;
  s->out = o;
  return s->out;
}

// --- Waiters ---------------------------------------------------------------------------------

static void wake_all(stream *s, int rc) {
  for (list *l; (l = list_shift(&s->writers));) wait_wake(list_entry(l, task, wlink), rc);
}

// Give the turn to the first writer. It is counted until it runs, so that nobody gets ahead of it.
static void wake_writer(stream *s) {
  if (s->shut || s->granted || stream_queued(s) >= bound(s)) return;
  if (s->reserved == STREAM_RESERVED || (s->reserved == STREAM_DRAINING && s->out)) return;
  list *l = list_shift(&s->writers);
  if (!l) return;
  s->granted++;
  wait_wake(list_entry(l, task, wlink), 0);
}

int stream_is_writable(const stream *s) {
  if (s->out_rc) return 1;
  return list_empty(&s->writers) && !s->granted && !s->reserved && stream_queued(s) < bound(s);
}

int stream_reserve(stream *s) {
  if (s->out || (s->reserved == STREAM_SHARED && !stream_is_writable(s))) return 0;
  s->reserved = STREAM_RESERVED;
  return 1;
}

void stream_release(stream *s) {
  s->reserved = STREAM_SHARED;
  wake_writer(s);
}

int stream_wait_turn(lua_State *L, stream *s, uint64_t when, const wait_ops *ops, void *arg) {
  wait_check(L);
  list_push(&s->writers, &task_current(L)->wlink);
  return wait_begin_until(L, ops, arg, when);
}

int stream_wait_drained(lua_State *L, stream *s, uint64_t when, const wait_ops *ops, void *arg) {
  wait_check(L);
  int has_turn = s->reserved != STREAM_SHARED;
  s->reserved = has_turn ? STREAM_DRAINING : STREAM_QUEUED;
  list_push(has_turn ? s->writers.next : &s->writers, &task_current(L)->wlink);
  return wait_begin_until(L, ops, arg, when);
}

int stream_take_turn(stream *s, int rc) {
  if (rc == 0) s->granted--;
  if (s->closed || s->shut) return STREAM_CLOSED;
  return rc == 0 ? s->out_rc : rc;
}

// --- The queue -------------------------------------------------------------------------------

// The write side is of no use any more.
static void fail(stream *s, int rc) {
  s->out_rc = rc;
  if (s->closed) {
    stream_finish(s, rc);
    return;
  }
  stream_free_out(s);
  wake_all(s, rc);
}

static int send_slice(stream *s) {
  stream_out *o = s->out;
  size_t n = buffer_len(&o->sending);
  o->slice = n < SLICE ? n : SLICE;
  return s->t->write(s, &o->req.write, uv_buf_init(buffer_bytes(&o->sending), (unsigned)o->slice));
}

static int begin_shutdown(stream *s) {
  if (!s->out && !make_out(s)) return UV_ENOMEM;
  return s->t->shutdown(s, &s->out->req.shutdown);
}

// Everything is written.
static void drained(stream *s) {
  if (s->closed && !s->t->says_farewell) {
    stream_finish(s, 0);
  } else if (s->shut || s->closed) {
    s->shut = 1;
    int rc = begin_shutdown(s);
    if (rc < 0) stream_shut(s, rc);
  } else {
    stream_free_out(s);
  }
}

void stream_written(stream *s, int rc) {
  if (s->gone) return;
  if (rc < 0) {
    fail(s, rc);
    return;
  }
  stream_out *o = s->out;
  buffer_consume(&o->sending, o->slice);
  o->slice = 0;
  if (!buffer_len(&o->sending)) {
    buffer full = o->next;
    o->next = o->sending;
    o->sending = full;
  }
  if (buffer_len(&o->sending)) {
    rc = send_slice(s);
    if (rc < 0) fail(s, rc);
  } else {
    drained(s);
  }
  if (!s->gone) wake_writer(s);
}

static int append(buffer *b, const uv_buf_t *bufs, unsigned n, size_t skip, size_t total) {
  if (buffer_reserve(b, total - skip) < 0) return UV_ENOMEM;
  for (unsigned i = 0; i < n; i++) {
    size_t done = skip < bufs[i].len ? skip : bufs[i].len;
    buffer_append(b, bufs[i].base + done, bufs[i].len - done);
    skip -= done;
  }
  return 0;
}

// Queue the rest of a write of which the transport took `sent` bytes.
static int enqueue(stream *s, const uv_buf_t *bufs, unsigned n, size_t sent, size_t total) {
  if (s->out && s->out->slice) return append(&s->out->next, bufs, n, 0, total);
  if (!s->out && !make_out(s)) return UV_ENOMEM;
  int rc = append(&s->out->sending, bufs, n, sent, total);
  if (rc < 0) {
    stream_free_out(s);
    return rc;
  }
  return send_slice(s);
}

int stream_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  size_t total = 0, sent = 0;
  int rc = s->out_rc;
  if (rc < 0) return rc;
  assert(!s->shut && !s->closed);
  for (unsigned i = 0; i < n; i++) total += bufs[i].len;
  if (!total) {
    wake_writer(s);
    return 0;
  }
  if (!s->out) {
    s->h.r->sending = 1;
    rc = s->t->try_write(s, bufs, n);
    s->h.r->sending = 0;
    sent = rc > 0 ? (size_t)rc : 0;
    if (rc == UV_EAGAIN) rc = 0;
  }
  if (rc >= 0 && sent < total) {
    rc = enqueue(s, bufs, n, sent, total);
    if (rc == UV_ENOMEM && !sent) return rc;  // nothing was written: the stream is as it was
  }
  if (rc < 0)
    fail(s, rc);
  else
    s->bytes_out += total;
  wake_writer(s);
  return rc < 0 ? rc : 0;
}

// --- The end of the write side ---------------------------------------------------------------

int stream_shutdown(stream *s) {
  if (s->shut) return 0;
  if (s->out_rc) return s->out_rc;
  if (!s->out) {
    int rc = begin_shutdown(s);
    if (rc < 0) {
      stream_free_out(s);
      return rc;
    }
  }
  s->shut = 1;
  wake_all(s, STREAM_CLOSED);  // writers whose turn had not come
  return 0;
}

void stream_shut(stream *s, int rc) {
  if (s->gone) return;
  s->shut_done = 1;
  if (rc < 0) s->out_rc = rc;
  if (s->closed) {
    stream_finish(s, rc);
    return;
  }
  stream_free_out(s);
  wake_all(s, rc);
}

// --- Closing ---------------------------------------------------------------------------------

void stream_finish(stream *s, int rc) {
  s->gone = 1;
  if (s->out) timer_disarm(s->h.r, &s->out->linger.tm);
  wake_all(s, rc);
  s->t->close(s);
}

uint64_t stream_flush_until(stream *s) {
  io_state *io = s->io;
  if (!io->flush_until) io->flush_until = uv_hrtime() + (uint64_t)(s->h.r->opts.grace * 1e9);
  return io->flush_until;
}

void stream_flush(stream *s) {
  stream_out *o = s->out;
  uint64_t until = stream_flush_until(s);
  const uv_buf_t parts[] = {
    {.base = buffer_bytes(&o->sending), .len = o->slice},
    {.base = buffer_bytes(&o->sending) + o->slice, .len = buffer_len(&o->sending) - o->slice},
    {.base = buffer_bytes(&o->next), .len = buffer_len(&o->next)},
  };
  int rc = 0;
  for (int i = 0; i < 3 && rc == 0; i++)
    if (parts[i].len) rc = s->t->flush(s, parts[i], i == 0, until);
  stream_finish(s, rc);
}

static void arm_linger(stream *s) {
  rt *r = s->h.r;
  stream_out *o = s->out;
  o->left = stream_queued(s);
  timer_disarm(r, &o->linger.tm);
  if (timer_arm(r, &o->linger.tm, timer_after(r, r->opts.grace)) < 0) stream_finish(s, UV_ENOMEM);
}

static void on_linger(timer_call *c) {
  stream *s = list_entry(c, stream_out, linger)->s;
  if (!s->hurry && stream_queued(s) < s->out->left) {
    arm_linger(s);
    return;
  }
  s->out_rc = UV_ETIMEDOUT;
  stream_finish(s, UV_ETIMEDOUT);
}

void stream_close_writes(stream *s) {
  wake_all(s, STREAM_CLOSED);
  if (!s->out && !s->out_rc && !s->shut && s->t->says_farewell && !s->h.r->closing) drained(s);
  if (s->gone) return;
  if (!s->out || s->out_rc)
    stream_finish(s, 0);
  else if (s->h.r->closing)
    stream_flush(s);
  else
    arm_linger(s);
}

wait_answer stream_cancel_linger(task *t, void *arg) {
  stream *s = arg;
  (void)t;
  if (!s->hurry && s->out) {
    s->hurry = 1;
    arm_linger(s);
  }
  return WAIT_CANNOT_STOP;
}

int stream_linger(lua_State *L, stream *s, const wait_ops *ops) {
  rt *r = s->h.r;
  if (s->gone || !r->current || !wait_is_possible(L)) return ops->done(L, s, s->out_rc);
  list_push(&s->writers, &r->current->wlink);
  return wait_begin(L, ops, s);
}
