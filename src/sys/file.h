// SPDX-License-Identifier: MIT
// Open files: a stream for reading, with a buffer of its own for what is written, and a position.
// All system calls run on libuv's threads, one at a time for each file: tasks that need one wait
// for their turn. A C object, counted as streams are. Runs on the loop thread but for what is
// marked. Invariants: while an operation is under way nobody else touches the descriptor, `out`,
// `at` and `out_at`; bytes read ahead and bytes to be written are never there at the same time.
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include <stdatomic.h>

#include "core/job.h"
#include "io/stream.h"
#include "sys/fs_whole.h"

#define FILE_BUFFER ((size_t)64 << 10)
#define FILE_PIECES 16  // strings of one write that are not joined first

typedef enum {
  FILE_IDLE,
  FILE_READ,      // for the stream
  FILE_SLURP,     // to the end, or many bytes, into a block
  FILE_WRITE,     // what is gathered, then `direct`
  FILE_MEASURE,   // write what is gathered; look at the file
  FILE_SYNC,      // the same, and to the disk
  FILE_TRUNCATE,  // the same, then cut or extend to `size`
  FILE_CLOSE,
} file_kind;

typedef struct file {
  stream s;
  fs_slice slice;
  job job;
  task *t;       // waits for the operation under way
  task *closer;  // waits for the file to be closed
  list turns;    // tasks that wait for their turn
  uint32_t granted;
  file_kind kind;  // of the operation under way
  int rc, fd, begun;
  atomic_int cancelled;
  int64_t at;      // where the next byte is read: behind those read ahead
  int64_t out_at;  // where the first byte of `out` goes
  int64_t size;    // to be cut or extended to
  uv_stat_t st;    // what was measured
  buffer out;
  size_t room;   // bytes that are gathered before they are written
  size_t fresh;  // bytes at the end of `out` whose writer waits for them
  uv_buf_t direct[FILE_PIECES];
  unsigned ndirect, next_direct;
  char *chunk;
  size_t got;
  fs_slurp slurp;
  unsigned readable : 1, writable : 1;
  unsigned append : 1;    // each write goes to the end
  unsigned seekable : 1;  // bytes have places
  unsigned is_temp : 1;   // removed when it is closed
  // What follows changes while a thread reads the bits above: they must not share a word.
  uint8_t by_line;  // a line's end is written at once
  uint8_t want_read, closing;
  char path[];
} file;

extern const stream_transport file_transport;

// Make a file of an open descriptor, which is its own from then on if that succeeds. [loop]
// Answers 0 or an error.
int file_new(rt *r, io_state *io, int fd, const char *path, file **out);

static inline file *file_of(stream *s) {
  return (file *)(void *)s;
}

// Where the next byte that a script reads or writes is. Only while no operation is under way, or
// for a guess.
int64_t file_tell(const file *f);

// Move there; nothing may be gathered. [loop]
void file_move(file *f, int64_t to);

// Say whether a task must wait for its turn. [loop]
static inline int file_is_taken(const file *f) {
  return f->kind != FILE_IDLE || f->granted || !list_empty(&f->turns);
}

// Suspend until it is this task's turn. The done function of `ops`, which has file_cancel_turn,
// must first call file_take_turn. [loop]
int file_wait_turn(lua_State *L, file *f, uint64_t when, const wait_ops *ops);

wait_answer file_cancel_turn(task *t, void *f);

// 0 when it is the task's turn, STREAM_CLOSED or UV_ETIMEDOUT. [loop]
int file_take_turn(file *f, int rc);

// Let the next have its turn, if no operation was begun. [loop]
void file_pass(file *f);

// Begin an operation and suspend until it has ended; then the done function of `ops`, which has
// file_cancel_op, runs with its result as `rc`. The file stays the task's until that calls
// file_end. [loop]
int file_begin(lua_State *L, file *f, file_kind kind, uint64_t when, const wait_ops *ops);

// The same for reading up to `limit` bytes, or to the end, into f->slurp. [loop]
int file_slurp(lua_State *L, file *f, size_t limit, size_t max, uint64_t when, const wait_ops *ops);

// The task has taken what its operation gave: the next has its turn. [loop]
void file_end(file *f);

wait_answer file_cancel_op(task *t, void *f);

// Drop the bytes read ahead: the file is to be changed, from where the script believes to be.
// [loop]
void file_forget_ahead(file *f);

// Gather `n` buffers of `total` bytes, as part of a write. Answers 0 or UV_ENOMEM. [loop]
int file_gather(file *f, const uv_buf_t *bufs, unsigned n, size_t total);

#endif
