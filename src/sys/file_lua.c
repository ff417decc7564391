// SPDX-License-Identifier: MIT
// Open files as scripts see them: the class with its methods, and that of pipes and terminals that
// were opened by a path, which are streams of libuv's. Runs on the loop thread. Reading is the
// streams' but for what would be copied more often than needed: the rest of a file, and much of it
// at once.
#include <fcntl.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/args.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "io/block.h"
#include "io/pipe.h"
#include "io/stream_lua.h"
#include "sys/file.h"
#include "sys/fs_lua.h"

#define MUCH (4 * IO_BLOCK)  // bytes from which on they are not read chunk by chunk

static file *check(lua_State *L, const char *op) {
  stream *s = stream_check(L, 1, op);
  if (s->t != &file_transport) arg_type_error(L, 1, "file");
  return file_of(s);
}

// What describes a wait whose argument is the file: it begins with the stream.
static void describe(const task *t, const void *arg, char *buf, size_t n) {
  const stream *s = arg;
  (void)t;
  s->t->describe(s, buf, n);
}

// --- Reading ---------------------------------------------------------------------------------

// The rest of the frame of such a read: the file, the format, the options.
static size_t read_limit(lua_State *L, const file *f) {
  if (!f->seekable || !f->readable || !lua_isnoneornil(L, 4)) return 0;
  if (lua_type(L, 2) == LUA_TNUMBER) {
    lua_Integer n = lua_tointeger(L, 2);
    return n >= (lua_Integer)MUCH ? (size_t)n : 0;
  }
  const char *s = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  return strcmp(s, "a") == 0 || strcmp(s, "*a") == 0 ? SIZE_MAX : 0;
}

static int on_slurped(lua_State *L, void *arg, int rc) {
  file *f = arg;
  int has_run = f->s.reader != NULL;  // else its time limit passed before
  fs_slurp s = f->slurp;
  f->s.reader = NULL;
  f->slurp.block = NULL;
  size_t ahead = buffer_len(&f->s.in);
  if (rc == 0 && s.n < ahead) {
    stream_consume(&f->s, s.n);
  } else if (rc == 0) {
    if (ahead) stream_consume(&f->s, ahead);
    f->at = s.offset;
  }
  if (has_run) file_end(f);
  if (rc < 0) {
    free(s.block);
    if (rc == UV_ECANCELED) {
      task_checkpoint(L);
      rc = UV_ETIMEDOUT;
    }
    if (rc != UV_EMSGSIZE) return stream_fail(L, &f->s, rc, "read");
    return err_return(L, "EMSGSIZE", "read", f->path, "it is longer than the limit (max)");
  }
  if (!s.n && s.limit != SIZE_MAX) {
    free(s.block);
    lua_pushnil(L);
  } else {
    bytes_push(L, s.block, s.head, s.n);
  }
  return 1;
}

static const wait_ops slurp_ops = {"data from", file_cancel_op, on_slurped, describe};

static int slurp_now(lua_State *L, file *f) {
  size_t max = (size_t)opt_count(L, 3, "read", "max", 1, (lua_Integer)(SIZE_MAX >> 2));
  double timeout = opt_seconds(L, 3, "read", "timeout", HUGE_VAL);
  return file_slurp(L, f, read_limit(L, f), max, timer_after(rt_of(L), timeout), &slurp_ops);
}

static int on_slurp_turn(lua_State *L, void *arg, int rc) {
  file *f = arg;
  rc = file_take_turn(f, rc);
  return rc < 0 ? stream_fail(L, &f->s, rc, "read") : slurp_now(L, f);
}

static const wait_ops slurp_turn_ops = {"its turn to read", file_cancel_turn, on_slurp_turn,
                                        describe};

// Upvalue: the method of streams.
static int l_read(lua_State *L) {
  static const char *const names[] = {"timeout", "max", NULL};
  file *f = check(L, "read");
  if (!read_limit(L, f)) return lua_tocfunction(L, lua_upvalueindex(1))(L);
  opt_check(L, 3, "read", names);
  task_checkpoint(L);
  if (stream_is_busy(&f->s))
    return err_raise(L, "EBUSY", "read", NULL, "another task is reading from this stream");
  if (!file_is_taken(f)) return slurp_now(L, f);
  return file_wait_turn(L, f, TIMER_NEVER, &slurp_turn_ops);
}

// --- Writing ---------------------------------------------------------------------------------

static int on_rested(lua_State *L, void *arg, int rc) {
  (void)arg;
  (void)rc;
  lua_settop(L, 1);
  return 1;
}

static int on_written(lua_State *L, void *arg, int rc) {
  file *f = arg;
  file_end(f);
  if (rc < 0) return stream_fail(L, &f->s, rc, "write");
  lua_settop(L, 1);
  return 1;
}

static const wait_ops write_ops = {"a thread to write to", file_cancel_op, on_written, describe};
static const wait_ops rest_ops = {"other tasks", NULL, on_rested, NULL};

static int has_line_end(const uv_buf_t *bufs, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    if (memchr(bufs[i].base, '\n', bufs[i].len)) return 1;
  return 0;
}

// Write the strings and blocks from index 2 on, which are at most FILE_PIECES.
static int write_now(lua_State *L, file *f) {
  rt *r = rt_of(L);
  uv_buf_t *bufs = f->direct;
  unsigned n = (unsigned)lua_gettop(L) - 1;
  size_t total = 0;
  for (unsigned i = 0; i < n; i++) {
    bufs[i].base = (char *)(uintptr_t)block_bytes(L, (int)i + 2, &bufs[i].len);
    total += bufs[i].len;
  }
  f->ndirect = n;
  if (total > FILE_BUFFER) {
    file_forget_ahead(f);
    return file_begin(L, f, FILE_WRITE, TIMER_NEVER, &write_ops);
  }
  if (file_gather(f, bufs, n, total) < 0) return luaL_error(L, "not enough memory");
  f->ndirect = 0;
  if (buffer_len(&f->out) > f->room || (f->by_line && has_line_end(bufs, n))) {
    f->fresh = wait_is_possible(L) ? total : 0;
    f->out.end -= total - f->fresh;  // else it raises, and nothing was written
    return file_begin(L, f, FILE_WRITE, TIMER_NEVER, &write_ops);
  }
  file_pass(f);
  if (!wait_may_go_on(L, WAIT_SYSTEM_CALL))
    return wait_begin_until(L, &rest_ops, f, timer_after(r, 0));
  lua_settop(L, 1);
  return 1;
}

static int on_write_turn(lua_State *L, void *arg, int rc) {
  file *f = arg;
  rc = file_take_turn(f, rc);
  return rc < 0 ? stream_fail(L, &f->s, rc, "write") : write_now(L, f);
}

static const wait_ops write_turn_ops = {"its turn to write to", file_cancel_turn, on_write_turn,
                                        describe};

static int l_write(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  file *f = check(L, "write");
  double timeout = HUGE_VAL;
  int last = lua_gettop(L);
  if (last > 1 && lua_istable(L, last)) {
    opt_check(L, last, "write", names);
    timeout = opt_seconds(L, last, "write", "timeout", HUGE_VAL);
    lua_settop(L, --last);
  }
  for (int i = 2; i <= last; i++)
    if (!block_test(L, i)) arg_lstring(L, i, NULL);
  if (last > FILE_PIECES + 1) lua_concat(L, last - 1);
  task_checkpoint(L);
  if (!f->writable) return stream_fail(L, &f->s, UV_EBADF, "write");
  if (!file_is_taken(f)) return write_now(L, f);
  return file_wait_turn(L, f, timer_after(rt_of(L), timeout), &write_turn_ops);
}

// --- Operations without data: the frame is the file, the kind, and what the method was given
// ------

enum { KIND = 2, WHENCE, OFFSET };  // in the frame

static const char *const op_names[] = {[FILE_WRITE] = "flush",
                                       [FILE_MEASURE] = "stat",
                                       [FILE_SYNC] = "sync",
                                       [FILE_TRUNCATE] = "truncate"};

static int seek_now(lua_State *L, file *f) {
  int64_t base = 0, to;
  lua_Integer offset = lua_tointeger(L, OFFSET);
  char whence = *lua_tostring(L, WHENCE);
  if (whence == 'c') base = file_tell(f);
  if (whence == 'e') base = (int64_t)f->st.st_size;
  if (__builtin_add_overflow(base, offset, &to) || to < 0)
    return stream_fail(L, &f->s, UV_EINVAL, "seek");
  file_move(f, to);
  lua_pushinteger(L, to);
  return 1;
}

static int on_done(lua_State *L, void *arg, int rc) {
  file *f = arg;
  file_kind kind = (file_kind)lua_tointeger(L, KIND);
  uv_stat_t st = f->st;
  int n = 0;
  if (rc == 0 && kind == FILE_MEASURE && !lua_isnil(L, WHENCE)) n = seek_now(L, f);
  file_end(f);
  if (rc < 0) return stream_fail(L, &f->s, rc, op_names[kind]);
  if (n) return n;
  if (kind == FILE_MEASURE) {
    fs_push_stat(L, &st);
    return 1;
  }
  lua_pushboolean(L, 1);
  return 1;
}

static const wait_ops plain_ops = {"a thread to work on", file_cancel_op, on_done, describe};

// Whether it can be answered without a system call.
static int is_at_hand(lua_State *L, const file *f, file_kind kind) {
  int is_clean = !buffer_len(&f->out);
  if (kind == FILE_WRITE) return is_clean;
  if (kind != FILE_MEASURE || lua_isnil(L, WHENCE)) return 0;
  char whence = *lua_tostring(L, WHENCE);
  if (whence == 'c' && !lua_tointeger(L, OFFSET) && !f->append) return 1;
  return whence != 'e' && is_clean;
}

// The position alone: bytes that are gathered stay so.
static int is_query(lua_State *L) {
  return *lua_tostring(L, WHENCE) == 'c' && !lua_tointeger(L, OFFSET);
}

static int plain_now(lua_State *L, file *f) {
  file_kind kind = (file_kind)lua_tointeger(L, KIND);
  if (is_at_hand(L, f, kind)) {
    int n = 1;
    if (kind == FILE_WRITE)
      lua_pushboolean(L, 1);
    else if (is_query(L))
      lua_pushinteger(L, file_tell(f));
    else
      n = seek_now(L, f);
    file_pass(f);
    return n;
  }
  f->ndirect = 0;
  if (kind == FILE_TRUNCATE) {
    file_forget_ahead(f);
    f->size = lua_isnil(L, WHENCE) ? file_tell(f) : lua_tointeger(L, WHENCE);
  }
  return file_begin(L, f, kind, TIMER_NEVER, &plain_ops);
}

static int on_plain_turn(lua_State *L, void *arg, int rc) {
  file *f = arg;
  rc = file_take_turn(f, rc);
  if (rc < 0) return stream_fail(L, &f->s, rc, op_names[lua_tointeger(L, KIND)]);
  return plain_now(L, f);
}

static const wait_ops plain_turn_ops = {"its turn to work on", file_cancel_turn, on_plain_turn,
                                        describe};

// The frame is complete.
static int begin(lua_State *L, file *f) {
  task_checkpoint(L);
  return file_is_taken(f) ? file_wait_turn(L, f, TIMER_NEVER, &plain_turn_ops) : plain_now(L, f);
}

static int l_flush(lua_State *L) {
  file *f = check(L, "flush");
  lua_settop(L, 1);
  lua_pushinteger(L, FILE_WRITE);
  return begin(L, f);
}

static int l_sync(lua_State *L) {
  file *f = check(L, "sync");
  lua_settop(L, 1);
  lua_pushinteger(L, FILE_SYNC);
  return begin(L, f);
}

static int l_stat(lua_State *L) {
  file *f = check(L, "stat");
  lua_settop(L, 1);
  lua_pushinteger(L, FILE_MEASURE);
  lua_pushnil(L);
  return begin(L, f);
}

static int l_truncate(lua_State *L) {
  file *f = check(L, "truncate");
  if (!lua_isnoneornil(L, 2)) arg_count(L, 2, 0);
  lua_settop(L, 2);
  lua_pushinteger(L, FILE_TRUNCATE);
  lua_insert(L, KIND);
  return begin(L, f);
}

static int l_seek(lua_State *L) {
  static const char *const names[] = {"set", "cur", "end", NULL};
  file *f = check(L, "seek");
  int whence = arg_option(L, 2, "cur", names);
  lua_Integer offset = arg_opt_integer(L, 3, 0);
  if (!f->seekable) return stream_fail(L, &f->s, UV_ESPIPE, "seek");
  lua_settop(L, 1);
  lua_pushinteger(L, FILE_MEASURE);
  lua_pushstring(L, names[whence]);
  lua_pushinteger(L, offset);
  return begin(L, f);
}

static int l_setvbuf(lua_State *L) {
  static const char *const names[] = {"no", "full", "line", NULL};
  file *f = check(L, "setvbuf");
  int mode = arg_option(L, 2, NULL, names);
  lua_Integer size = lua_isnoneornil(L, 3) ? (lua_Integer)FILE_BUFFER : arg_count(L, 3, 0);
  f->room = mode == 0 ? 0 : (size_t)size;
  f->by_line = mode == 2;
  lua_pushboolean(L, 1);
  return 1;
}

static int l_path(lua_State *L) {
  stream *s = stream_is(L, 1) ? ((stream_box *)lua_touserdata(L, 1))->s : NULL;
  if (!s || s->t != &file_transport) arg_type_error(L, 1, "file");
  lua_pushstring(L, file_of(s)->path);
  return 1;
}

// --- Closing ---------------------------------------------------------------------------------

static wait_answer cancel_close(task *t, void *arg) {
  (void)t;
  (void)arg;
  return WAIT_CANNOT_STOP;
}

static int on_closed(lua_State *L, void *arg, int rc) {
  file *f = arg;
  if (rc < 0) return stream_fail(L, &f->s, rc, "close");
  lua_pushboolean(L, 1);
  return 1;
}

static const wait_ops close_ops = {"the end of", cancel_close, on_closed, describe};

static int close_file(lua_State *L, int by_scope) {
  stream_box *b = lua_touserdata(L, 1);
  if (!stream_is(L, 1)) return arg_type_error(L, 1, "file");
  rt *r = rt_of(L);
  if (!b->s || b->s->closed) {
    lua_pushboolean(L, 1);
    return 1;
  }
  file *f = check(L, "close");
  f->s.by_scope = by_scope != 0;
  int can_wait = r->current && wait_is_possible(L);
  if (can_wait) f->closer = r->current;
  stream_close(&f->s, site_here(L, 0));
  if (can_wait) return wait_begin(L, &close_ops, f);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_close(lua_State *L) {
  return close_file(L, 0);
}

static int l_meta_close(lua_State *L) {
  return close_file(L, 1);
}

// --- Opening ---------------------------------------------------------------------------------

static int push_fifo(lua_State *L, const fs_opened *o) {
  stream_box *box = stream_newbox(L, FIFO_CLASS);
  pipe_stream *p;
  int rc = pipe_new(rt_of(L), io_state_of(L), &pipe_transport, o->path, &p);
  if (rc < 0) return rc;
  box->s = stream_ref(&p->base.s);
  rc = uv_pipe_open(&p->uv, *o->fd);
  if (rc < 0) {
    stream_close(box->s, 0);
    return rc;
  }
  *o->fd = -1;
  return 0;
}

static int push_file(lua_State *L, const fs_opened *o) {
  stream_box *box = stream_newbox(L, FILE_CLASS);
  file *f;
  int rc = file_new(rt_of(L), io_state_of(L), *o->fd, o->path, &f);
  if (rc < 0) return rc;
  box->s = stream_ref(&f->s);
  *o->fd = -1;
  int access = o->flags & O_ACCMODE;
  f->readable = access != O_WRONLY;
  f->writable = access != O_RDONLY;
  f->append = (o->flags & O_APPEND) != 0;
  f->seekable = S_ISREG(o->mode) || S_ISBLK(o->mode);
  f->is_temp = o->is_temp != 0;
  return 0;
}

int fs_push_opened(lua_State *L, const fs_opened *o) {
  int rc = o->waits ? push_fifo(L, o) : push_file(L, o);
  if (rc < 0)
    lua_pop(L, 1);
  else
    interrupt_closable(L);
  return rc;
}

// --- The classes -----------------------------------------------------------------------------

static void wrap_read(lua_State *L) {
  luaL_getmetatable(L, FILE_CLASS);
  lua_pushcfunction(L, l_meta_close);
  lua_setfield(L, -2, "__close");
  lua_getfield(L, -1, "__index");
  lua_pushcfunction(L, stream_readers[0].func);
  lua_pushcclosure(L, l_read, 1);
  lua_setfield(L, -2, stream_readers[0].name);
  lua_pop(L, 2);
}

void fs_open_classes(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg methods[] = {
    {"write", l_write}, {"flush", l_flush}, {"sync", l_sync},       {"stat", l_stat},
    {"seek", l_seek},   {"path", l_path},   {"setvbuf", l_setvbuf}, {"truncate", l_truncate},
    {"close", l_close}, {NULL, NULL}};
  stream_class(L, FILE_CLASS, "file", methods);
  wrap_read(L);
  stream_class(L, FIFO_CLASS, "pipe stream", none);
}
