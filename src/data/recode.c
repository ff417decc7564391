// SPDX-License-Identifier: MIT
// Compression for scripts. See recode.h.
#include "data/recode.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"

#define KEPT ((size_t)64 << 10)  // memory for output that a stream keeps between calls
#define FIRST ((size_t)4 << 10)  // memory for output that a call begins with

enum { ENCODER_COST = 16, DECODER_COST = 2 };  // microseconds, more or less

typedef struct recode_work {
  work base;
  recoder *r;
} recode_work;

static const char *op_of(const recoder *r) {
  return r->cls->is_decoder ? "decode" : "encode";
}

static void release(recoder *r) {
  codec_free(r->codec);
  r->codec = NULL;
  buffer_fini(&r->call.out);
}

void recoder_unref(recoder *r) {
  if (--r->refs) return;
  release(r);
  free(r);
}

recoder *recoder_new(lua_State *L, const codec_class *cls, int level, uint64_t max, uint64_t hint) {
  recoder **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, cls->is_decoder ? RECODER_DECODER : RECODER_ENCODER);
  recoder *r = *box = calloc(1, sizeof *r);
  if (!r) luaL_error(L, "not enough memory");
  r->cls = cls;
  r->refs = 1;
  r->max = max;
  r->codec = codec_new(cls, level, max, hint);
  if (!r->codec) luaL_error(L, "not enough memory");
  wait_count(L, cls->is_decoder ? DECODER_COST : ENCODER_COST);
  return r;
}

void recoder_close(recoder *r, uint32_t site, int by_scope) {
  if (r->is_closed) return;
  r->is_closed = 1;
  r->closed_at = site;
  r->by_scope = by_scope;
  if (r->busy && !r->busy->is_withdrawn)
    work_stop(r->busy);  // released when it has ended
  else
    release(r);
}

// --- What a call comes to --------------------------------------------------------------------

static int raise_closed(lua_State *L, const recoder *r) {
  char what[32];
  snprintf(what, sizeof what, "%s %s", r->cls->name, r->cls->is_decoder ? "decoder" : "encoder");
  const char *site = r->closed_at ? site_text(rt_of(L), r->closed_at) : NULL;
  return err_raise_closed(L, op_of(r), r->cls->name, what, site, r->by_scope);
}

static int fail(lua_State *L, const recoder *r) {
  const char *op = op_of(r), *name = r->cls->name;
  switch (r->rc) {
    case UV_ENOMEM: return luaL_error(L, "not enough memory");
    case UV_EAGAIN: return work_fail(L, op, name);
    case UV_EMSGSIZE:
      err_return(L, "EMSGSIZE", op, name, "there is more than the %I bytes of \"max\"",
                 (LUAI_UACINT)r->max);
      break;
    case UV_ECANCELED:
      return err_return(L, "ECANCELED", op, name, "an earlier call was given up in the middle");
    default: err_return(L, "EINVAL", op, name, "%s at byte %I", r->reason, (LUAI_UACINT)r->offset);
  }
  lua_pushinteger(L, (lua_Integer)r->offset);
  lua_setfield(L, -2, "offset");
  return 2;
}

// The call has ended with r->rc: push its results.
static int conclude(lua_State *L, recoder *r) {
  if (r->is_closed) {
    release(r);
    const char *site = r->closed_at ? site_text(rt_of(L), r->closed_at) : "?";
    return err_return(L, "ECLOSED", op_of(r), r->cls->name, "it was closed meanwhile at %s", site);
  }
  if (r->rc < 0) {
    r->reason = r->codec->reason;
    r->offset = r->codec->taken + 1;
    release(r);
    if (r->rc == UV_ECANCELED) task_checkpoint(L);
    return fail(L, r);
  }
  buffer *out = &r->call.out;
  bytes_take(L, out, buffer_len(out), 0);
  buffer_trim(out, KEPT);
  if (r->call.goal == CODEC_FINISH) recoder_close(r, r->finished_at, 0);
  if (r->rc != CODEC_FULL) return 1;
  r->rc = 0;
  lua_pushinteger(L, (lua_Integer)r->call.len);
  return 2;
}

// --- On a thread -----------------------------------------------------------------------------

static void run(work *w) {
  recoder *r = ((recode_work *)(void *)w)->r;
  do {
    r->rc = work_is_cancelled(w) ? UV_ECANCELED : codec_run(r->codec, &r->call, r->codec->pace);
  } while (r->rc == CODEC_FULL);
}

static int done(lua_State *L, work *w, int rc) {
  recoder *r = ((recode_work *)(void *)w)->r;
  r->busy = NULL;
  if (rc < 0) r->rc = rc;
  return conclude(L, r);
}

static void drop(work *w) {
  recoder *r = ((recode_work *)(void *)w)->r;
  if (!r) return;
  if (r->busy == w) r->busy = NULL;
  recoder_unref(r);
}

static const work_type encoding = {.op = "encode", .run = run, .done = done, .drop = drop};
static const work_type decoding = {.op = "decode", .run = run, .done = done, .drop = drop};

static int go_on(lua_State *L, recoder *r) {
  wait_check(L);
  work *w = work_new(L, r->cls->is_decoder ? &decoding : &encoding, sizeof(recode_work));
  w->target = r->cls->name;
  ((recode_work *)(void *)w)->r = r;
  r->refs++;
  r->busy = w;
  return work_begin(L, w, TIMER_NEVER);
}

// --- Calls -----------------------------------------------------------------------------------

// Do at once what does not take long.
static int begin(lua_State *L, recoder *r) {
  codec *c = r->codec;
  uint64_t before = c->taken + c->given;
  size_t budget = r->most && r->most < c->pace ? r->most : c->pace;
  r->rc = r->call.len > c->pace && !r->most ? CODEC_FULL : codec_run(c, &r->call, budget);
  wait_count(L, (size_t)(c->taken + c->given - before) * WAIT_MILLISECOND / c->pace);
  if (r->rc == CODEC_FULL && !r->most) return go_on(L, r);
  return conclude(L, r);
}

static wait_answer cancel_rest(task *t, void *arg) {
  (void)t;
  ((recoder *)arg)->is_resting = 0;
  return WAIT_STOPPED;
}

static int on_rested(lua_State *L, void *arg, int rc) {
  recoder *r = arg;
  (void)rc;
  r->is_resting = 0;
  return r->is_closed ? conclude(L, r) : begin(L, r);
}

static const wait_ops rest_ops = {"other tasks", cancel_rest, on_rested, NULL};

static int feed(lua_State *L, recoder *r, codec_call call, size_t most) {
  if (r->is_closed) return raise_closed(L, r);
  if (r->is_resting || (r->busy && !r->busy->is_withdrawn))
    return err_raise(L, "EBUSY", op_of(r), r->cls->name, "another task's call is under way");
  if (r->rc == CODEC_FULL) r->rc = UV_ECANCELED;
  if (r->rc < 0) return fail(L, r);
  buffer out = r->call.out;
  buffer_begin(&out, bytes_head(rt_of(L)), FIRST);  // if it fails so will the codec
  r->call = call;
  r->call.out = out;
  r->most = most;
  if (wait_may_go_on(L, WAIT_QUICK)) return begin(L, r);
  r->is_resting = 1;
  return wait_begin_until(L, &rest_ops, r, timer_after(rt_of(L), 0));
}

int recoder_feed(lua_State *L, recoder *r, const char *in, size_t len, codec_goal goal) {
  return feed(L, r, (codec_call){.in = (const unsigned char *)in, .len = len, .goal = goal}, 0);
}

int recoder_feed_some(lua_State *L, recoder *r, const char *in, size_t len, size_t most) {
  return feed(L, r, (codec_call){.in = (const unsigned char *)in, .len = len}, most);
}
