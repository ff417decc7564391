// SPDX-License-Identifier: MIT
// Operations on files, on libuv's threads. See fs_op.h.
#include "sys/fs_op.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"

#define OP_CLASS "corun.fs_op"

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
  fs_op *o = req->data;
  o->rc = o->type->run(o);
}

static void on_worked(uv_work_t *req, int status) {
  fs_op *o = req->data;
  if (status < 0) {
    o->rc = status;  // it was taken out of the queue
  } else if (o->rc == FS_AGAIN) {
    o->begun = 1;
    uv_queue_work(&o->r->loop, &o->req, on_work, on_worked);
    return;
  }
  job_end(o->r, &o->job);
  if (o->t) wait_wake(o->t, 0);
  o->t = NULL;
  unref(o);
}

static void submit(fs_op *o) {
  o->req.data = o;
  o->refs++;
  job_begin(o->r, &o->job, o->type->op, o->target ? o->target : "");
  uv_queue_work(&o->r->loop, &o->req, on_work, on_worked);  // fails only without a function
}

void fs_detach(fs_op *o) {
  submit(o);
}

// --- Waiting ---------------------------------------------------------------------------------

// What no thread has begun with is as good as never asked for.
static wait_answer cancel(task *t, void *arg) {
  fs_op *o = arg;
  (void)t;
  if (!o->begun && uv_cancel((uv_req_t *)&o->req) == 0) {
    o->t = NULL;
    return WAIT_STOPPED;
  }
  atomic_store(&o->cancelled, 1);
  return WAIT_CANNOT_STOP;
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
  o->t = task_current(L);
  submit(o);
  return wait_begin(L, &op_ops, o);
}

int fs_fail(lua_State *L, fs_op *o) {
  if (o->rc == UV_ECANCELED) task_checkpoint(L);
  return err_return_uv(L, o->rc, o->type->op, o->target);
}
