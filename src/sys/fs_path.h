// SPDX-License-Identifier: MIT
// Operations on paths: what one or a few system calls do with names, and whole small jobs on trees
// (list, remove, make with parents). Each is an fs_op; the results stay in it until `done` takes
// them. All but fs_path_new is [pool]. Invariant: the paths are copies and live as long as it.
#ifndef SYS_FS_PATH_H
#define SYS_FS_PATH_H

#include "sys/fs_op.h"

typedef struct fs_path {
  fs_op o;
  const char *a, *b;           // the paths; b may be NULL
  int mode;                    // permission bits, -1: none given
  int flag;                    // of the operation: follow, parents, recursive, directory, fsync
  double atime, mtime;         // of utime
  uv_stat_t st;                // of stat
  char *text;                  // a text that is the result
  struct fs_removal *removal;  // of remove: how far it is
  struct fs_copying *copying;  // of copy: how far it is
  struct fs_names *names;      // of list
  char *culprit;               // the path that failed, if not `a`: one below it, or `b`
  char bytes[];
} fs_path;

// The names in a directory, sorted; each entry points into `bytes`, at its kind, then its name.
typedef struct fs_names {
  size_t n, capacity, used, room;
  char *bytes;
  size_t *entries;
} fs_names;

// Make an operation on a path, or two; push the userdata that owns it. [loop] Raises on out of
// memory.
fs_path *fs_path_new(lua_State *L, const fs_optype *type, const char *a, const char *b);

// The `drop` of all of these.
void fs_path_drop(fs_op *o);

int fs_run_stat(fs_op *o);      // `flag`: follow a symbolic link
int fs_run_mkdir(fs_op *o);     // `flag`: with parents, and there may be one already
int fs_run_remove(fs_op *o);    // `flag`: with all that is in it; links are not followed
int fs_run_rename(fs_op *o);    // `flag`: and bring the new name to the disk
int fs_run_link(fs_op *o);      // a new name `b` for `a`
int fs_run_symlink(fs_op *o);   // `b` leads to the text `a`
int fs_run_readlink(fs_op *o);  // -> text
int fs_run_realpath(fs_op *o);  // -> text
int fs_run_chmod(fs_op *o);
int fs_run_utime(fs_op *o);
int fs_run_copy(fs_op *o);     // a file; `flag`: fail if `b` is there
int fs_run_list(fs_op *o);     // -> names
int fs_run_tempdir(fs_op *o);  // `a` ends with XXXXXX -> text

// The letter for what a file is, from its mode: f d l p s b c, or ?.
char fs_kind_of(unsigned long long mode);

#endif
