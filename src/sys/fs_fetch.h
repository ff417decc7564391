// SPDX-License-Identifier: MIT
// A file below a folder, as servers want it: found, checked, measured and, if it is small, read in
// one operation. Names that lead out of the folder, over links too, are refused. Runs on libuv's
// threads.
#ifndef SYS_FS_FETCH_H
#define SYS_FS_FETCH_H

#include <sys/stat.h>

#include "sys/fs_op.h"

#define FS_FETCH_MOST FS_FIRST  // bytes that are read at once

typedef struct fs_fetch {
  fs_op o;
  const char *root, *path;  // the folder; the file, which begins with the folder's name
  int is_look;              // it is not to be opened
  struct stat st;
  int fd;       // of a file that was not read
  size_t head;  // room in front of the bytes
  char *block;  // of a file that was read; of malloc's
  size_t n;
  char bytes[];
} fs_fetch;

// Find it. [pool] 0, UV_EACCES for what is not below the folder, UV_EBUSY when the folder itself is
// not there, or another error.
int fs_run_fetch(fs_op *o);

void fs_fetch_drop(fs_op *o);

#endif
