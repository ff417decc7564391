// SPDX-License-Identifier: MIT
// Copying one file. See fs_path.h. Runs on libuv's threads, in slices, up to the end that reading
// finds: what `stat` says of the size is not to be relied on, since files of /proc and /sys have
// less or more than that, and others are cut while they are copied (uv_fs_copyfile asks for the
// rest without end). Invariant: a copy that does not come to its end is removed.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif

#include "sys/fs_path.h"
#include "sys/fs_whole.h"

#define BLOCK ((size_t)16 << 10)  // what is read at once where the system cannot copy by itself

typedef struct fs_copying {
  int from, to;
  int is_sized;  // the size is known, so that the system can copy
  int64_t offset;
} copying;

static int last_error(void) {
  return uv_translate_sys_error(errno);
}

// The copy is to blame, not the file.
static int blame_copy(fs_path *p, int rc) {
  p->culprit = strdup(p->b);
  return rc;
}

static int open_source(fs_path *p, copying *c, struct stat *st) {
  int waits;
  unsigned mode;
  c->from = fs_open(p->a, O_RDONLY, 0, &waits, &mode);
  if (c->from < 0) return c->from;
  if (!S_ISREG(mode)) return UV_EINVAL;
  if (fstat(c->from, st) < 0) return last_error();
  c->is_sized = st->st_size > 0;
  return 0;
}

// Open the copy and give it the mode. Answers 1 when both are one file.
static int open_copy(fs_path *p, copying *c, const struct stat *from) {
  struct stat st;
  // Asked before it is opened: opening a device can have effects.
  if (stat(p->b, &st) == 0 && !S_ISREG(st.st_mode))
    return S_ISDIR(st.st_mode) ? UV_EISDIR : UV_EINVAL;
  int waits, flags = O_WRONLY | O_CREAT | (p->flag ? O_EXCL : 0);
  unsigned mode;
  int fd = fs_open(p->b, flags, (int)(from->st_mode & 07777), &waits, &mode);
  if (fd < 0) return fd;
  int rc = fstat(fd, &st) < 0 ? last_error() : S_ISREG(mode) ? 0 : UV_EINVAL;
  int is_same = st.st_dev == from->st_dev && st.st_ino == from->st_ino;
  if (rc < 0 || is_same) {
    close(fd);
    return rc < 0 ? rc : 1;
  }
  c->to = fd;  // from here on a failure removes it
  if (ftruncate(fd, 0) < 0) return last_error();
  // Some file systems have no modes.
  return fchmod(fd, from->st_mode & 07777) < 0 && errno != EPERM ? last_error() : 0;
}

// Let both share their blocks, where the file system can.
static int is_cloned(const copying *c) {
#ifdef FICLONE
  return ioctl(c->to, FICLONE, c->from) == 0;
#else
  (void)c;
  return 0;
#endif
}

// Answers 0 when the copy is complete, FS_AGAIN, or an error.
static int begin(fs_path *p) {
  struct stat st;
  copying *c = malloc(sizeof *c);
  if (!c) return UV_ENOMEM;
  *c = (copying){.from = -1, .to = -1};
  p->copying = c;
  int rc = open_source(p, c, &st);
  if (rc < 0) return rc;
  rc = open_copy(p, c, &st);
  if (rc) return rc < 0 ? blame_copy(p, rc) : 0;
  return c->is_sized && is_cloned(c) ? 0 : FS_AGAIN;
}

// Copy up to `n` bytes; answers how many, 0 at the end, or an error.
static int64_t copy_some(fs_path *p, copying *c, size_t n) {
  if (c->is_sized) {
    uv_fs_t req;
    int64_t sent = uv_fs_sendfile(NULL, &req, c->to, c->from, c->offset, n, NULL);
    uv_fs_req_cleanup(&req);
    return sent < 0 ? blame_copy(p, (int)sent) : sent;
  }
  char block[BLOCK];
  ssize_t got;
  do got = pread(c->from, block, sizeof block, (off_t)c->offset);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return got < 0 ? last_error() : 0;
  size_t done;
  int rc = fs_write_all(c->to, block, (size_t)got, -1, &done);
  return rc < 0 ? blame_copy(p, rc) : got;
}

static int copy_slice(fs_path *p, copying *c) {
  for (size_t left = fs_step(&p->o); left > 0;) {
    int64_t n = copy_some(p, c, left);
    if (n <= 0) return (int)n;
    c->offset += n;
    left -= (size_t)n < left ? (size_t)n : left;
  }
  return FS_AGAIN;
}

// Remove what was not completed, unless the name is that of another file by now, or a link's.
static void remove_copy(fs_path *p, int fd) {
  struct stat own, there;
  if (fstat(fd, &own) == 0 && lstat(p->b, &there) == 0 && own.st_dev == there.st_dev &&
      own.st_ino == there.st_ino)
    unlink(p->b);
}

static int end(fs_path *p, int rc) {
  copying *c = p->copying;
  p->copying = NULL;
  if (!c) return rc;
  if (c->to >= 0 && rc < 0) remove_copy(p, c->to);
  if (c->to >= 0 && close(c->to) < 0 && errno != EINTR && rc == 0) rc = last_error();
  if (c->from >= 0) close(c->from);
  free(c);
  return rc;
}

int fs_run_copy(fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  int rc = p->copying ? FS_AGAIN : begin(p);
  if (rc == FS_AGAIN && fs_is_cancelled(o)) rc = UV_ECANCELED;
  if (rc == FS_AGAIN) rc = copy_slice(p, p->copying);
  return rc == FS_AGAIN ? rc : end(p, rc);
}
