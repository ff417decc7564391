// SPDX-License-Identifier: MIT
// Whole files: opening, reading to the end into a block that becomes a Lua string (core/bytes.h),
// and writing a string, in place or atomically. Runs on libuv's threads, in slices. What is no
// ordinary file but may keep its reader waiting (a pipe, a terminal) is opened without blocking and
// left to a stream. Invariant: a descriptor, a block or a temporary file that is not handed out is
// released by the operation itself.
#ifndef SYS_FS_WHOLE_H
#define SYS_FS_WHOLE_H

#include "sys/fs_op.h"

#define FS_UNBOUND ((size_t)1 << 30)  // bytes of what tells no size, if no limit is given

// Open without ever waiting for the other side. [pool] The descriptor or a negative error.
// `waits` tells whether reading or writing may have to wait for it; `mode` is that of the file.
int fs_open(const char *path, int flags, int permissions, int *waits, unsigned *mode);

// Reading to the end.
typedef struct fs_slurp {
  int fd;
  int by_offset;   // read at `offset`, else where the descriptor stands
  int64_t offset;  // where the next byte is
  size_t head;     // room in front of the bytes
  char *block;     // of malloc's; NULL before anything was read
  size_t n, capacity;
  size_t max;    // UV_EMSGSIZE when there is more
  size_t limit;  // no more than so many are wanted
} fs_slurp;

// Make room for what the file says it has. [pool] 0 or an error.
int fs_slurp_begin(fs_slurp *s);

// Read about `step` bytes. [pool] 0 at the end, FS_AGAIN, or an error.
int fs_slurp_slice(fs_slurp *s, size_t step);

typedef struct fs_read {
  fs_op o;
  fs_slurp s;
  int waits;  // it is open, and for a stream to read
  char path[];
} fs_read;

typedef struct fs_write {
  fs_op o;
  const char *data;  // of a Lua string that the task holds
  size_t len, done;
  int fd, dir;  // the descriptors, -1
  int waits;    // it is open, and for a stream to write
  int append, atomic, mode;
  char *temp, *name;  // atomic: file names below `dir`
  char path[];
} fs_write;

typedef struct fs_opening {
  fs_op o;
  int flags, mode, fd, waits;
  int is_temp;  // the path ends with XXXXXX, to be replaced
  unsigned st_mode;
  char path[];
} fs_opening;

int fs_run_read(fs_op *o);
int fs_run_write(fs_op *o);
int fs_run_open(fs_op *o);

void fs_read_drop(fs_op *o);
void fs_write_drop(fs_op *o);
void fs_open_drop(fs_op *o);

// Write all of it at `offset`, or where the descriptor stands if that is negative. [pool] 0 or an
// error; `done` tells how much was written.
int fs_write_all(int fd, const char *p, size_t n, int64_t offset, size_t *done);

// Open a directory, for what is done with the names in it. [pool] The descriptor or a negative
// error.
int fs_open_dir(const char *path);

// Bring the names in a directory to the disk, where its file system can. [pool] 0 or an error.
int fs_sync_names(int dir);

#endif
