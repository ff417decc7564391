// SPDX-License-Identifier: MIT
// Writing whole files. See fs_whole.h. Runs on libuv's threads. An atomic write makes a temporary
// file beside the one that it replaces, brings it to the disk, renames it and brings the directory
// to the disk; all below one descriptor of the directory. Invariant: the temporary file exists only
// between the slices of one operation, and until the rename every way out removes it.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fs_whole.h"

#define MOST_LINKS 40
#define TRIES 100  // names for a temporary file

static int last_error(void) {
  return uv_translate_sys_error(errno);
}

int fs_write_all(int fd, const char *p, size_t n, int64_t offset, size_t *done) {
  for (*done = 0; *done < n;) {
    ssize_t k = offset < 0 ? write(fd, p + *done, n - *done)
                           : pwrite(fd, p + *done, n - *done, offset + (off_t)*done);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return last_error();
    if (k == 0) return UV_EIO;
    *done += (size_t)k;
  }
  return 0;
}

// --- Whom an atomic write replaces -----------------------------------------------------------

// Follow the symbolic link `path`, of malloc's, by one step: the new path, or NULL with errno.
static char *follow(char *path) {
  char to[4096];
  ssize_t n = readlink(path, to, sizeof to);
  if (n < 0 || n == (ssize_t)sizeof to) {
    if (n >= 0) errno = ENAMETOOLONG;
    return NULL;
  }
  char *slash = strrchr(path, '/');
  size_t dir = to[0] == '/' || !slash ? 0 : (size_t)(slash + 1 - path);
  char *next = malloc(dir + (size_t)n + 1);
  if (!next) return NULL;
  memcpy(next, path, dir);
  memcpy(next + dir, to, (size_t)n);
  next[dir + (size_t)n] = 0;
  return next;
}

// The path that symbolic links lead to, of malloc's, also if nothing is there. NULL: see `error`.
static char *resolve(const char *path, int *error) {
  char *p = strdup(path);
  for (int i = 0; p && i < MOST_LINKS; i++) {
    char *next = follow(p);
    if (!next) {
      *error = errno == EINVAL || errno == ENOENT ? 0 : last_error();
      if (*error == 0) return p;
      free(p);
      return NULL;
    }
    free(p);
    p = next;
  }
  *error = p ? UV_ELOOP : UV_ENOMEM;
  free(p);
  return NULL;
}

int fs_open_dir(const char *path) {
  int fd, tries = 0;
  do fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (fd < 0 && fs_tries_again(&tries));
  return fd < 0 ? last_error() : fd;
}

// Open the directory of the file and keep its name in there.
static int open_dir(fs_write *p) {
  int rc;
  char *path = resolve(p->path, &rc);
  if (!path) return rc;
  char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  p->name = strdup(name);
  if (!p->name) {
    free(path);
    return UV_ENOMEM;
  }
  if (!*name) rc = *path ? UV_EISDIR : UV_ENOENT;
  if (slash) slash[slash == path] = 0;
  if (rc == 0) p->dir = fs_open_dir(slash ? path : ".");
  free(path);
  return rc == 0 && p->dir < 0 ? p->dir : rc;
}

static int open_temp(fs_write *p, mode_t mode) {
  size_t len = strlen(p->name);
  p->temp = malloc(len + 32);
  if (!p->temp) return UV_ENOMEM;
  for (int i = 0; i < TRIES; i++) {
    uint64_t random;
    if (uv_random(NULL, NULL, &random, sizeof random, 0, NULL) < 0) random = uv_hrtime();
    // A long name keeps its beginning: with the rest added it could become too long.
    snprintf(p->temp, len + 32, ".%.*s.%016llx", len > 200 ? 200 : (int)len, p->name,
             (unsigned long long)random);
    int tries = 0;
    do p->fd = openat(p->dir, p->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    while (p->fd < 0 && fs_tries_again(&tries));
    if (p->fd >= 0 || errno != EEXIST) break;
  }
  if (p->fd >= 0) return 0;
  int rc = last_error();
  free(p->temp);
  p->temp = NULL;
  return rc;
}

static int begin_atomic(fs_write *p) {
  struct stat st;
  int rc = open_dir(p);
  if (rc < 0) return rc;
  int is_there = fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!is_there && errno != ENOENT) return last_error();
  if (is_there && !S_ISREG(st.st_mode)) return S_ISDIR(st.st_mode) ? UV_EISDIR : UV_EINVAL;
  rc = open_temp(p, is_there ? 0600 : 0666);
  if (rc < 0) return rc;
  int mode = p->mode >= 0 ? p->mode : is_there ? (int)(st.st_mode & 07777) : -1;
  // Only root may give a file to somebody else; the mode comes after, which that would cut.
  if (is_there && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
      fchown(p->fd, st.st_uid, st.st_gid) < 0)
    mode = mode < 0 ? mode : mode & 01777;
  return mode >= 0 && fchmod(p->fd, (mode_t)mode) < 0 ? last_error() : 0;
}

// Some file systems cannot do this for a directory: then the rename is all there is.
int fs_sync_names(int dir) {
  return fsync(dir) < 0 && errno != EINVAL && errno != EROFS ? last_error() : 0;
}

static int end_atomic(fs_write *p) {
  if (fsync(p->fd) < 0) return last_error();
  int rc = close(p->fd) < 0 && errno != EINTR ? last_error() : 0;
  p->fd = -1;
  if (rc < 0) return rc;
  if (renameat(p->dir, p->temp, p->dir, p->name) < 0) return last_error();
  free(p->temp);
  p->temp = NULL;
  return fs_sync_names(p->dir);
}

// --- Slices ----------------------------------------------------------------------------------

static int begin(fs_write *p) {
  unsigned st_mode;
  if (p->atomic) return begin_atomic(p);
  int flags = O_WRONLY | O_CREAT | (p->append ? O_APPEND : O_TRUNC);
  int fd = fs_open(p->path, flags, p->mode < 0 ? 0666 : p->mode, &p->waits, &st_mode);
  if (fd < 0) return fd;
  p->fd = fd;
  int is_to_change = p->mode >= 0 && S_ISREG(st_mode);
  return is_to_change && fchmod(fd, (mode_t)p->mode) < 0 ? last_error() : 0;
}

static int write_slice(fs_write *p) {
  size_t left = p->len - p->done, step = fs_step(&p->o), done;
  int rc = fs_write_all(p->fd, p->data + p->done, left < step ? left : step, -1, &done);
  p->done += done;
  return rc < 0 ? rc : p->done < p->len ? FS_AGAIN : 0;
}

static int release(fs_write *p, int rc) {
  if (p->fd >= 0 && close(p->fd) < 0 && errno != EINTR && rc == 0) rc = last_error();
  p->fd = -1;
  if (p->temp) unlinkat(p->dir, p->temp, 0);
  if (p->dir >= 0) close(p->dir);
  p->dir = -1;
  free(p->temp);
  free(p->name);
  p->temp = p->name = NULL;
  return rc;
}

int fs_run_write(fs_op *o) {
  fs_write *p = (fs_write *)(void *)o;
  int rc = p->fd < 0 ? begin(p) : 0;
  if (rc == 0 && p->waits) return 0;
  // Once begun, a write in place goes on to its end; an atomic one can still be as if it never was.
  if (rc == 0 && p->atomic && fs_is_cancelled(o)) rc = UV_ECANCELED;
  if (rc == 0) rc = write_slice(p);
  if (rc == FS_AGAIN) return rc;
  if (rc == 0 && p->atomic) rc = end_atomic(p);
  return release(p, rc);
}

void fs_write_drop(fs_op *o) {
  release((fs_write *)(void *)o, 0);
}
