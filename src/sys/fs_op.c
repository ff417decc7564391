// SPDX-License-Identifier: MIT
// Operations on files, on libuv's threads. See fs_op.h.
#include "sys/fs_op.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/host.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"

#define OP_CLASS "corun.fs_op"
#define MOST_TRIES 10  // to make a descriptor while programs are started

// --- Owners ----------------------------------------------------------------------------------

void fs_discard(fs_op *o) {
  if (o->type->drop) o->type->drop(o);
  free(o);
}

static void unref(fs_op *o) {
  if (--o->refs == 0) fs_discard(o);
}

static int l_gc(lua_State *L) {
  fs_op **box = lua_touserdata(L, 1);
  if (*box) unref(*box);
  *box = NULL;
  return 0;
}

void *fs_new_bare(rt *r, const fs_optype *type, size_t size) {
  fs_op *o = calloc(1, size);
  if (!o) return NULL;
  o->type = type;
  o->r = r;
  return o;
}

void *fs_new(lua_State *L, const fs_optype *type, size_t size) {
  fs_op **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  if (luaL_newmetatable(L, OP_CLASS)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  fs_op *o = *box = fs_new_bare(rt_of(L), type, size);
  if (!o) luaL_error(L, "not enough memory");
  o->refs = 1;
  return o;
}

// --- The pool --------------------------------------------------------------------------------

static void on_work(uv_work_t *req) {
  fs_slice *s = req->data;
  s->run(s);
}

static void on_worked(uv_work_t *req, int status);

static void hand_over(fs_slice *s, int is_counted) {
  s->is_counted = is_counted;
  s->r->nslices += (uint32_t)is_counted;
  s->req.data = s;
  uv_queue_work(&s->r->loop, &s->req, on_work, on_worked);  // fails only without a function
}

static int has_room(rt *r) {
  if (!r->most_slices) {
    unsigned cores = uv_available_parallelism();
    r->most_slices = cores <= 2 ? 1 : cores >= 4 ? 3 : cores - 1;
  }
  return r->nslices < r->most_slices;
}

static void on_worked(uv_work_t *req, int status) {
  fs_slice *s = req->data;
  rt *r = s->r;
  r->nslices -= (uint32_t)s->is_counted;
  s->end(s, status);  // it may be gone after this
  while (!list_empty(&r->slices) && has_room(r))
    hand_over(list_entry(list_shift(&r->slices), fs_slice, link), 1);
}

void fs_slice_queue(fs_slice *s, int is_long) {
  list_init(&s->link);
  if (is_long && !has_room(s->r))
    list_push(&s->r->slices, &s->link);
  else
    hand_over(s, is_long);
}

int fs_slice_cancel(fs_slice *s, int has_begun) {
  if (!list_empty(&s->link)) {
    list_remove(&s->link);
    hand_over(s, 0);
  }
  return !has_begun && uv_cancel((uv_req_t *)&s->req) == 0;
}

int fs_tries_again(int *tries) {
  if (errno == EINTR) return 1;
  return errno == EMFILE && ++*tries < MOST_TRIES && host_await_descriptors();
}

// --- Operations ------------------------------------------------------------------------------

static void run(fs_slice *s) {
  fs_op *o = list_entry(s, fs_op, slice);
  o->rc = o->type->run(o);
}

static void end(fs_slice *s, int status) {
  fs_op *o = list_entry(s, fs_op, slice);
  if (status < 0) {
    o->rc = status;  // it was taken out of the queue
  } else if (o->rc == FS_AGAIN) {
    o->begun = 1;
    fs_slice_queue(s, !fs_is_cancelled(o));
    return;
  }
  job_end(o->r, &o->job);
  if (o->t) wait_wake(o->t, 0);
  o->t = NULL;
  unref(o);
}

static void submit(fs_op *o) {
  o->slice.r = o->r;
  o->slice.run = run;
  o->slice.end = end;
  o->refs++;
  job_begin(o->r, &o->job, o->type->op, o->target ? o->target : "");
  fs_slice_queue(&o->slice, o->is_long);
}

void fs_detach(fs_op *o) {
  submit(o);
}

// --- Waiting ---------------------------------------------------------------------------------

// What no thread has begun with is as good as never asked for.
static wait_answer cancel(task *t, void *arg) {
  fs_op *o = arg;
  (void)t;
  atomic_store(&o->cancelled, 1);
  if (!fs_slice_cancel(&o->slice, o->begun)) return WAIT_CANNOT_STOP;
  o->t = NULL;
  return WAIT_STOPPED;
}

static int resumed(lua_State *L, void *arg, int rc) {
  fs_op *o = arg;
  (void)rc;
  return o->type->done(L, o);
}

static void describe(const task *t, const void *arg, char *buf, size_t n) {
  const fs_op *o = arg;
  (void)t;
  snprintf(buf, n, "%s %s", o->type->op, o->target ? o->target : "");
}

static const wait_ops op_ops = {"a thread to", cancel, resumed, describe};

int fs_begin(lua_State *L, fs_op *o) {
  o->rc = host_check_pool();
  if (o->rc < 0) return o->type->done(L, o);
  o->t = task_current(L);
  submit(o);
  return wait_begin(L, &op_ops, o);
}

int fs_fail(lua_State *L, fs_op *o) {
  if (o->rc == UV_ECANCELED) task_checkpoint(L);
  return err_return_uv(L, o->rc, o->type->op, o->target);
}
