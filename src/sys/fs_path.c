// SPDX-License-Identifier: MIT
// Operations on paths. See fs_path.h. They call libuv's functions without a callback, which works
// on any thread; what libuv lacks is plain POSIX. Trees stand in fs_tree.c, copying in
// fs_copy.c.
#include "sys/fs_path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fs_whole.h"

fs_path *fs_path_new(lua_State *L, const fs_optype *type, const char *a, const char *b) {
  size_t na = strlen(a) + 1, nb = b ? strlen(b) + 1 : 0;
  fs_path *p = fs_new(L, type, sizeof *p + na + nb);
  memcpy(p->bytes, a, na);
  if (b) memcpy(p->bytes + na, b, nb);
  p->a = p->o.target = p->bytes;
  p->b = b ? p->bytes + na : NULL;
  p->mode = -1;
  return p;
}

void fs_path_drop(fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  free(p->text);
  free(p->culprit);
  if (!p->names) return;
  free(p->names->bytes);
  free(p->names->entries);
  free(p->names);
}

static fs_path *of(fs_op *o) {
  return (fs_path *)(void *)o;
}

// What a call of libuv's answered; keep the text that it gave, if `keep`.
static int finish(fs_path *p, uv_fs_t *req, int rc, int keep) {
  if (rc >= 0 && keep) {
    p->text = strdup(req->ptr);
    if (!p->text) rc = UV_ENOMEM;
  }
  uv_fs_req_cleanup(req);
  return rc < 0 ? rc : 0;
}

char fs_kind_of(unsigned long long mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return 'f';
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    case S_IFBLK: return 'b';
    case S_IFCHR: return 'c';
    default: return '?';
  }
}

int fs_run_stat(fs_op *o) {
  fs_path *p = of(o);
  uv_fs_t req;
  int rc = p->flag ? uv_fs_stat(NULL, &req, p->a, NULL) : uv_fs_lstat(NULL, &req, p->a, NULL);
  p->st = req.statbuf;
  return finish(p, &req, rc, 0);
}

// Bring the last name of a path to the disk.
static int sync_name(const char *path) {
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  while (len && path[len - 1] != '/') len--;
  char *dir = len ? strndup(path, len) : strdup(".");
  if (!dir) return UV_ENOMEM;
  int fd = fs_open_dir(dir);
  free(dir);
  if (fd < 0) return fd;
  int rc = fs_sync_names(fd);
  close(fd);
  return rc;
}

int fs_run_rename(fs_op *o) {
  uv_fs_t req;
  fs_path *p = of(o);
  int rc = finish(p, &req, uv_fs_rename(NULL, &req, p->a, p->b, NULL), 0);
  return rc == 0 && p->flag ? sync_name(p->b) : rc;
}

int fs_run_link(fs_op *o) {
  uv_fs_t req;
  return finish(of(o), &req, uv_fs_link(NULL, &req, of(o)->a, of(o)->b, NULL), 0);
}

int fs_run_symlink(fs_op *o) {
  uv_fs_t req;
  return finish(of(o), &req, uv_fs_symlink(NULL, &req, of(o)->a, of(o)->b, 0, NULL), 0);
}

int fs_run_readlink(fs_op *o) {
  uv_fs_t req;
  return finish(of(o), &req, uv_fs_readlink(NULL, &req, of(o)->a, NULL), 1);
}

int fs_run_realpath(fs_op *o) {
  uv_fs_t req;
  return finish(of(o), &req, uv_fs_realpath(NULL, &req, of(o)->a, NULL), 1);
}

int fs_run_chmod(fs_op *o) {
  uv_fs_t req;
  return finish(of(o), &req, uv_fs_chmod(NULL, &req, of(o)->a, of(o)->mode, NULL), 0);
}

int fs_run_utime(fs_op *o) {
  fs_path *p = of(o);
  uv_fs_t req;
  return finish(p, &req, uv_fs_utime(NULL, &req, p->a, p->atime, p->mtime, NULL), 0);
}

int fs_run_tempdir(fs_op *o) {
  uv_fs_t req;
  fs_path *p = of(o);
  int rc = uv_fs_mkdtemp(NULL, &req, p->a, NULL);
  if (rc >= 0) {
    p->text = strdup(req.path);
    if (!p->text) {
      rmdir(req.path);
      rc = UV_ENOMEM;
    }
  }
  return finish(p, &req, rc, 0);
}
