// SPDX-License-Identifier: MIT
// Open files: the operations and their order. See file.h.
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/runtime.h"
#include "core/task.h"

static int last_error(void) {
  return uv_translate_sys_error(errno);
}

// --- On a thread -----------------------------------------------------------------------------

static void settle(file *f) {
  f->at = f->seekable && !f->append ? f->out_at : lseek(f->fd, 0, SEEK_CUR);
}

// Write a piece at the place where `out` goes.
static int put(file *f, const char *p, size_t n, size_t *done) {
  int rc = fs_write_all(f->fd, p, n, f->seekable && !f->append ? f->out_at : -1, done);
  f->out_at += (int64_t)*done;
  return rc;
}

// Write what is gathered; what could not be written stays.
static int write_out(file *f) {
  size_t n = buffer_len(&f->out), done;
  if (!n) return 0;
  int rc = put(f, buffer_bytes(&f->out), n, &done);
  buffer_consume(&f->out, done);
  settle(f);
  return rc;
}

static int write_direct(file *f) {
  int rc = f->begun ? 0 : write_out(f);
  size_t left = f->begun ? FS_SLICE : FS_FIRST, done;
  while (rc == 0 && f->next_direct < f->ndirect) {
    uv_buf_t *b = &f->direct[f->next_direct];
    if (!left) return FS_AGAIN;
    rc = put(f, b->base, b->len < left ? b->len : left, &done);
    b->base += done;
    b->len -= done;
    left -= done;
    if (!b->len) f->next_direct++;
  }
  if (f->ndirect && !buffer_len(&f->out)) settle(f);
  return rc;
}

static int read_chunk(file *f) {
  int rc = write_out(f);
  ssize_t n = 0;
  if (rc < 0) return rc;
  do n = f->seekable ? pread(f->fd, f->chunk, IO_BLOCK, f->at) : read(f->fd, f->chunk, IO_BLOCK);
  while (n < 0 && errno == EINTR);
  f->got = n > 0 ? (size_t)n : 0;
  return n < 0 ? last_error() : 0;
}

static int read_rest(file *f) {
  if (atomic_load(&f->cancelled)) return UV_ECANCELED;
  if (!f->begun) {
    int rc = write_out(f);
    if (rc < 0) return rc;
    f->slurp.offset = f->at;
    rc = fs_slurp_begin(&f->slurp);
    if (rc < 0) return rc;
  }
  return fs_slurp_slice(&f->slurp, f->begun ? FS_SLICE : FS_FIRST);
}

static int measure(file *f) {
  uv_fs_t req;
  int rc = write_out(f);
  if (rc < 0) return rc;
  rc = uv_fs_fstat(NULL, &req, f->fd, NULL);
  f->st = req.statbuf;
  uv_fs_req_cleanup(&req);
  return rc;
}

static int sync_file(file *f) {
  int rc = write_out(f);
  return rc == 0 && fsync(f->fd) < 0 ? last_error() : rc;
}

static int cut(file *f) {
  int rc = write_out(f);
  return rc == 0 && ftruncate(f->fd, f->size) < 0 ? last_error() : rc;
}

static int close_file(file *f) {
  int rc = f->is_temp ? 0 : write_out(f);
  if (f->is_temp && unlink(f->path) < 0 && errno != ENOENT) rc = last_error();
  if (close(f->fd) < 0 && errno != EINTR && rc == 0) rc = last_error();
  return rc;
}

static void run(fs_slice *slice) {
  file *f = list_entry(slice, file, slice);
  switch (f->kind) {
    case FILE_READ: f->rc = read_chunk(f); break;
    case FILE_SLURP: f->rc = read_rest(f); break;
    case FILE_WRITE: f->rc = write_direct(f); break;
    case FILE_MEASURE: f->rc = measure(f); break;
    case FILE_SYNC: f->rc = sync_file(f); break;
    case FILE_TRUNCATE: f->rc = cut(f); break;
    case FILE_CLOSE: f->rc = close_file(f); break;
    case FILE_IDLE: break;
  }
}

// --- One after another -----------------------------------------------------------------------

static void submit(file *f, file_kind kind) {
  static const char *const names[] = {"",     "read", "read",     "write",
                                      "seek", "sync", "truncate", "close"};
  f->kind = kind;
  f->begun = 0;
  f->next_direct = 0;
  atomic_store(&f->cancelled, 0);
  job_begin(f->s.h.r, &f->job, names[kind], f->path);
  fs_slice_queue(&f->slice, 0);
}

static void submit_read(file *f) {
  if (!f->chunk) f->chunk = malloc(IO_BLOCK);
  if (f->chunk)
    submit(f, FILE_READ);
  else
    stream_ended(&f->s, UV_ENOMEM);
}

// The file is free: what is next?
static void go_on(file *f) {
  if (f->closing) {
    submit(f, FILE_CLOSE);
  } else if (f->granted) {
    return;
  } else if (f->want_read) {
    f->want_read = 0;
    submit_read(f);
  } else {
    list *l = list_shift(&f->turns);
    if (!l) return;
    f->granted++;
    wait_wake(list_entry(l, task, wlink), 0);
  }
}

// Hand what was read to the stream: as the block of all streams, so that nothing is copied if it is
// much.
static void feed(file *f) {
  io_state *io = f->s.io;
  if (f->s.closed) return;
  if (f->rc < 0 || !f->got) {
    stream_ended(&f->s, f->rc < 0 ? f->rc : UV_EOF);
    return;
  }
  f->at += (int64_t)f->got;
  char *block = f->chunk;
  f->chunk = io->block;
  io->block = block;
  stream_fed(&f->s, block, f->got);
  if (f->s.in_rc == UV_ENOMEM) f->at -= (int64_t)f->got;  // there was no room for them
  if (!f->s.reading) return;
  if (f->s.reader && !f->s.woken) {
    f->want_read = 1;
    return;
  }
  f->s.reading = 0;
  free(f->chunk);  // a file may be open for long and read seldom
  f->chunk = NULL;
}

static void finish_close(file *f) {
  if (f->closer) wait_wake(f->closer, f->rc);
  buffer_fini(&f->out);
  free(f->chunk);
  free(f->slurp.block);
  stream_closed(&f->s);
}

static void end(fs_slice *slice, int status) {
  file *f = list_entry(slice, file, slice);
  file_kind kind = f->kind;
  if (status < 0) {
    f->rc = status;
  } else if (f->rc == FS_AGAIN) {
    f->begun = 1;
    fs_slice_queue(slice, !atomic_load(&f->cancelled));
    return;
  }
  job_end(f->s.h.r, &f->job);
  f->kind = FILE_IDLE;
  if (kind == FILE_CLOSE) {
    finish_close(f);
    return;
  }
  if (kind == FILE_READ) feed(f);
  // Of a write that failed, nothing is tried again that its writer was not told is done.
  if (kind == FILE_WRITE && f->rc < 0 && f->fresh) {
    size_t left = buffer_len(&f->out);
    f->out.end -= f->fresh < left ? f->fresh : left;
  }
  f->fresh = 0;
  task *t = f->t;
  f->t = NULL;
  if (t) {
    f->granted++;  // the file stays its own until it has run
    wait_wake(t, f->rc);
  }
  if (!t || f->closing) go_on(f);
}

void file_pass(file *f) {
  if (f->kind == FILE_IDLE && !f->closing) go_on(f);
}

void file_end(file *f) {
  f->granted--;
  file_pass(f);
}

// --- Turns -----------------------------------------------------------------------------------

int file_wait_turn(lua_State *L, file *f, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  list_push(&f->turns, &task_current(L)->wlink);
  file_pass(f);
  return wait_begin_until(L, ops, f, when);
}

wait_answer file_cancel_turn(task *t, void *f) {
  (void)f;
  list_remove(&t->wlink);
  return WAIT_STOPPED;
}

int file_take_turn(file *f, int rc) {
  if (rc == 0) f->granted--;
  if (f->s.closed) return STREAM_CLOSED;
  return rc;
}

// --- Operations of tasks ---------------------------------------------------------------------

int file_begin(lua_State *L, file *f, file_kind kind, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  f->t = task_current(L);
  submit(f, kind);
  return wait_begin_until(L, ops, f, when);
}

int file_slurp(lua_State *L, file *f, size_t limit, size_t max, uint64_t when,
               const wait_ops *ops) {
  size_t ahead = buffer_len(&f->s.in), head = bytes_head(rt_of(L));
  wait_check(L);
  free(f->slurp.block);
  f->slurp = (fs_slurp){.fd = f->fd, .by_offset = 1, .head = head, .limit = limit, .max = max};
  f->slurp.block = malloc(head + ahead + BYTES_TAIL);
  if (!f->slurp.block) return luaL_error(L, "not enough memory");
  f->slurp.n = f->slurp.capacity = ahead < limit ? ahead : limit;
  if (ahead) memcpy(f->slurp.block + head, buffer_bytes(&f->s.in), f->slurp.n);
  f->s.reader = task_current(L);  // nobody else may read meanwhile
  f->s.woken = 1;
  return file_begin(L, f, FILE_SLURP, when, ops);
}

// What no thread has begun with is as good as never asked for.
wait_answer file_cancel_op(task *t, void *arg) {
  file *f = arg;
  (void)t;
  atomic_store(&f->cancelled, 1);
  if (!fs_slice_cancel(&f->slice, f->begun)) return WAIT_CANNOT_STOP;
  f->t = NULL;
  if (f->kind == FILE_SLURP) f->s.reader = NULL;
  return WAIT_STOPPED;
}

// --- The position ----------------------------------------------------------------------------

int64_t file_tell(const file *f) {
  size_t gathered = buffer_len(&f->out);
  return gathered ? f->out_at + (int64_t)gathered : f->at - (int64_t)buffer_len(&f->s.in);
}

void file_move(file *f, int64_t to) {
  size_t ahead = buffer_len(&f->s.in);
  int64_t back = f->at - to;
  if (back >= 0 && (uint64_t)back <= ahead) {
    stream_consume(&f->s, ahead - (size_t)back);
    return;
  }
  if (ahead) stream_consume(&f->s, ahead);
  f->at = to;
}

void file_forget_ahead(file *f) {
  if (buffer_len(&f->out)) return;
  f->at = f->out_at = file_tell(f);
  if (buffer_len(&f->s.in)) stream_consume(&f->s, buffer_len(&f->s.in));
}

int file_gather(file *f, const uv_buf_t *bufs, unsigned n, size_t total) {
  file_forget_ahead(f);
  if (buffer_reserve(&f->out, total) < 0) return UV_ENOMEM;
  for (unsigned i = 0; i < n; i++) buffer_append(&f->out, bufs[i].base, bufs[i].len);
  return 0;
}

// --- The stream ------------------------------------------------------------------------------

static int start(stream *s) {
  file *f = file_of(s);
  if (!f->readable) return UV_EBADF;
  if (f->kind == FILE_IDLE && !f->granted)
    submit_read(f);
  else
    f->want_read = 1;
  return 0;
}

static void stop(stream *s) {
  file_of(s)->want_read = 0;  // a chunk that is under way is kept
}

static int try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  (void)s;
  (void)bufs;
  (void)n;
  return UV_ENOTSUP;  // files are written by their own methods
}

static int write_chunk(stream *s, uv_write_t *req, uv_buf_t buf) {
  (void)req;
  return try_write(s, &buf, 1);
}

static int end_writes(stream *s, uv_shutdown_t *req) {
  (void)s;
  (void)req;
  return UV_ENOTSUP;
}

static int flush(stream *s, uv_buf_t buf, int under_way, uint64_t until) {
  (void)under_way;
  (void)until;
  return try_write(s, &buf, 1);
}

static void begin_close(stream *s) {
  file *f = file_of(s);
  f->closing = 1;
  for (list *l; (l = list_shift(&f->turns));) wait_wake(list_entry(l, task, wlink), STREAM_CLOSED);
  if (f->kind == FILE_IDLE) submit(f, FILE_CLOSE);
}

// An operation keeps the loop alive by itself.
static void hold(stream *s, int on) {
  (void)s;
  (void)on;
}

static void describe(const stream *s, char *buf, size_t n) {
  snprintf(buf, n, "%s", ((const file *)(const void *)s)->path);
}

const stream_transport file_transport = {
  .kind = "file",
  .start = start,
  .stop = stop,
  .try_write = try_write,
  .write = write_chunk,
  .shutdown = end_writes,
  .flush = flush,
  .close = begin_close,
  .hold = hold,
  .describe = describe,
  .asks_again = 1,
};

int file_new(rt *r, io_state *io, int fd, const char *path, file **out) {
  file *f = calloc(1, sizeof *f + strlen(path) + 1);
  if (!f) return UV_ENOMEM;
  strcpy(f->path, path);
  f->fd = fd;
  f->slice = (fs_slice){.r = r, .run = run, .end = end};
  f->room = FILE_BUFFER;
  list_init(&f->turns);
  buffer_init(&f->out);
  stream_init(&f->s, r, io, &file_transport);
  *out = f;
  return 0;
}
