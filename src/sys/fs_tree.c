// SPDX-License-Identifier: MIT
// Operations on trees: list a directory, make one with its parents, remove one with all that is in
// it. See fs_path.h. Runs on libuv's threads. Removing goes from directory to directory by
// descriptors, never by long paths, holds two of them however deep the tree is, and checks on the
// way up that it comes out where it went in: a tree that others change cannot lead it astray.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fs_path.h"

#define ENTRIES 2000  // removed in one slice
#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)

static int last_error(void) {
  return uv_translate_sys_error(errno);
}

static int is_dot(const char *name) {
  return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

// --- Listing ---------------------------------------------------------------------------------

static char kind_of_entry(int fd, const struct dirent *e) {
  struct stat st;
  switch (e->d_type) {
    case DT_REG: return 'f';
    case DT_DIR: return 'd';
    case DT_LNK: return 'l';
    case DT_FIFO: return 'p';
    case DT_SOCK: return 's';
    case DT_BLK: return 'b';
    case DT_CHR: return 'c';
    default: break;
  }
  if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) return '?';
  return fs_kind_of(st.st_mode);
}

static int add_name(fs_names *l, char kind, const char *name) {
  size_t len = strlen(name) + 2;
  if (l->n == l->capacity) {
    size_t capacity = l->capacity ? l->capacity * 2 : 64;
    size_t *entries = realloc(l->entries, capacity * sizeof *entries);
    if (!entries) return UV_ENOMEM;
    l->entries = entries;
    l->capacity = capacity;
  }
  if (l->room - l->used < len) {
    size_t room = l->room * 2 + len + 1024;
    char *bytes = realloc(l->bytes, room);
    if (!bytes) return UV_ENOMEM;
    l->bytes = bytes;
    l->room = room;
  }
  l->entries[l->n++] = l->used;
  l->bytes[l->used] = kind;
  memcpy(l->bytes + l->used + 1, name, len - 1);
  l->used += len;
  return 0;
}

// Sort by merging: bytewise, from the offsets alone. `spare` has room for half of them.
static void sort(const char *bytes, size_t *a, size_t n, size_t *spare) {
  if (n < 2) return;
  size_t half = n / 2, i = 0, j = half, k = 0;
  sort(bytes, a, half, spare);
  sort(bytes, a + half, n - half, spare);
  if (strcmp(bytes + a[half - 1] + 1, bytes + a[half] + 1) <= 0) return;
  memcpy(spare, a, half * sizeof *a);
  while (i < half && j < n)
    a[k++] = strcmp(bytes + spare[i] + 1, bytes + a[j] + 1) <= 0 ? spare[i++] : a[j++];
  while (i < half) a[k++] = spare[i++];
}

static int sort_names(fs_names *l) {
  size_t *spare = malloc((l->n / 2 + 1) * sizeof *spare);
  if (!spare) return UV_ENOMEM;
  sort(l->bytes, l->entries, l->n, spare);
  free(spare);
  return 0;
}

int fs_run_list(fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  p->names = calloc(1, sizeof *p->names);
  if (!p->names) return UV_ENOMEM;
  int fd, rc = 0, tries = 0;
  do fd = open(p->a, FOLDER);
  while (fd < 0 && fs_tries_again(&tries));
  if (fd < 0) return last_error();
  DIR *dir = fdopendir(fd);
  if (!dir) {
    rc = last_error();
    close(fd);
    return rc;
  }
  struct dirent *e;
  for (errno = 0; rc == 0 && (e = readdir(dir)); errno = 0) {
    if (fs_is_cancelled(o)) rc = UV_ECANCELED;
    if (!is_dot(e->d_name) && rc == 0) rc = add_name(p->names, kind_of_entry(fd, e), e->d_name);
  }
  if (rc == 0 && errno) rc = last_error();
  closedir(dir);
  return rc < 0 ? rc : sort_names(p->names);
}

// --- Making ----------------------------------------------------------------------------------

static int make_one(const char *path, mode_t mode) {
  struct stat st;
  if (mkdir(path, mode) == 0) return 0;
  int rc = last_error();
  if (rc != UV_EEXIST && rc != UV_EISDIR && rc != UV_EROFS && rc != UV_EACCES) return rc;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : rc;
}

// Make the directory and those above it that are missing, from the innermost outwards until one is
// there, then back. The path is changed for a while.
static int make_all(char *path, mode_t mode) {
  size_t len = strlen(path), end = len;
  int rc;
  while (end > 1 && path[end - 1] == '/') path[--end] = 0;
  len = end;
  while ((rc = make_one(path, end == len ? mode : 0777)) == UV_ENOENT) {
    while (end > 0 && path[end - 1] != '/') end--;
    while (end > 1 && path[end - 1] == '/') end--;
    if (end == 0 || (end == 1 && path[0] == '/')) return rc;
    path[end] = 0;
  }
  while (rc == 0 && end < len) {
    path[end] = '/';
    end += strlen(path + end);
    rc = make_one(path, end == len ? mode : 0777);
  }
  return rc;
}

int fs_run_mkdir(fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  mode_t mode = p->mode < 0 ? 0777 : (mode_t)p->mode;
  if (!p->flag) return mkdir(p->a, mode) < 0 ? last_error() : 0;
  char *path = strdup(p->a);
  if (!path) return UV_ENOMEM;
  int rc = make_all(path, mode);
  free(path);
  return rc;
}

// --- Removing --------------------------------------------------------------------------------

// A directory on the way down to the one that is being emptied.
typedef struct level {
  struct level *up;
  dev_t dev;
  ino_t ino;
  char name[];  // in the directory above
} level;

typedef struct fs_removal {
  fs_op *o;
  int left;  // entries that this slice may look at
  const char *path;
  DIR *dir;    // the directory that is being emptied
  level *top;  // its place
  char **culprit;
} removal;

// Remember which entry could not be removed. Answers `rc`.
static int blame(removal *r, const char *name, int rc) {
  size_t len = strlen(r->path) + strlen(name) + 2;
  const level *l;
  for (l = r->top; l && l->up; l = l->up) len += strlen(l->name) + 1;
  char *text = malloc(len);
  if (!text) return rc;
  char *p = text + len - strlen(name) - 1;
  strcpy(p, name);
  for (l = r->top; l && l->up; l = l->up) {
    *--p = '/';
    p -= strlen(l->name);
    memcpy(p, l->name, strlen(l->name));
  }
  if (*p) *--p = '/';
  size_t n = strlen(r->path);
  memmove(text + n, p, (size_t)(text + len - p));
  memcpy(text, r->path, n);
  free(*r->culprit);
  *r->culprit = text;
  return rc;
}

// Go into the directory behind `fd`, which is owned from now on, below the one in hand.
static int enter(removal *r, int fd, const char *name) {
  struct stat st;
  level *l = malloc(sizeof *l + strlen(name) + 1);
  DIR *dir = l && fstat(fd, &st) == 0 ? fdopendir(fd) : NULL;
  if (!dir) {
    int rc = l ? last_error() : UV_ENOMEM;
    free(l);
    close(fd);
    return rc;
  }
  if (r->dir) closedir(r->dir);
  r->dir = dir;
  strcpy(l->name, name);
  l->dev = st.st_dev;
  l->ino = st.st_ino;
  l->up = r->top;
  r->top = l;
  return 0;
}

static int descend(removal *r, const char *name) {
  char *copy = strdup(name);  // `name` is in the memory of the directory
  if (!copy) return UV_ENOMEM;
  int fd = openat(dirfd(r->dir), copy, FOLDER | O_NOFOLLOW);
  int rc = fd < 0 ? last_error() : enter(r, fd, copy);
  if (rc < 0) blame(r, copy, rc);
  free(copy);
  return rc;
}

// The directory in hand is empty: go up and remove it. The last one is left to the caller.
static int ascend(removal *r) {
  level *l = r->top;
  struct stat st;
  int fd = openat(dirfd(r->dir), "..", FOLDER);
  if (fd < 0) return blame(r, "", last_error());
  DIR *dir = NULL;
  int rc = 0;
  if (fstat(fd, &st) < 0)
    rc = last_error();
  else if (st.st_dev != l->up->dev || st.st_ino != l->up->ino)
    rc = UV_EBUSY;  // it was moved meanwhile
  else if (!(dir = fdopendir(fd)))
    rc = last_error();
  if (!dir) {
    close(fd);
    return blame(r, "", rc);
  }
  closedir(r->dir);
  r->dir = dir;
  r->top = l->up;
  if (unlinkat(fd, l->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
    rc = blame(r, l->name, last_error());
  free(l);
  return rc;
}

// Remove what is in the directory in hand, up to the first directory, which becomes the one in
// hand, or to the end of the slice. Answers FS_AGAIN then, 0 when it is empty, or an error.
static int empty(removal *r) {
  struct dirent *e;
  for (errno = 0; (e = readdir(r->dir)); errno = 0) {
    if (is_dot(e->d_name)) continue;
    if (fs_is_cancelled(r->o)) return UV_ECANCELED;
    int rc = 0;
    r->left--;
    if (e->d_type != DT_DIR && unlinkat(dirfd(r->dir), e->d_name, 0) < 0) rc = last_error();
    if (rc == UV_ENOENT) continue;
    if (e->d_type == DT_DIR || rc == UV_EISDIR || rc == UV_EPERM) {
      int into = descend(r, e->d_name);
      if (into == UV_ENOENT) continue;
      if (into == UV_ENOTDIR && rc < 0) return blame(r, e->d_name, rc);
      return into < 0 ? into : FS_AGAIN;
    }
    if (rc < 0) return blame(r, e->d_name, rc);
    if (r->left <= 0) return FS_AGAIN;
  }
  return errno ? blame(r, "", last_error()) : 0;
}

// Answers FS_AGAIN when the directory is open and to be emptied, 0 when `path` was no directory and
// is gone.
static int begin_removal(fs_path *p) {
  if (unlink(p->a) == 0) return 0;
  int rc = last_error();
  if (rc != UV_EISDIR && rc != UV_EPERM) return rc;
  removal *r = calloc(1, sizeof *r);
  if (!r) return UV_ENOMEM;
  p->removal = r;
  r->o = &p->o;
  r->path = p->a;
  r->culprit = &p->culprit;
  int fd = open(p->a, FOLDER | O_NOFOLLOW);
  if (fd < 0) return errno == ENOTDIR ? rc : last_error();
  rc = enter(r, fd, "");
  return rc < 0 ? rc : FS_AGAIN;
}

static int remove_slice(removal *r) {
  int rc = 0;
  r->left = ENTRIES;
  while (rc == 0) {
    do rc = empty(r);
    while (rc == FS_AGAIN && r->left > 0);
    if (rc || !r->top->up) break;
    rc = ascend(r);
  }
  return rc;
}

static void end_removal(fs_path *p) {
  removal *r = p->removal;
  if (!r) return;
  if (r->dir) closedir(r->dir);
  for (level *l; (l = r->top); free(l)) r->top = l->up;
  free(r);
  p->removal = NULL;
}

static int remove_tree(fs_path *p) {
  int rc = p->removal ? FS_AGAIN : begin_removal(p), is_folder = p->removal != NULL;
  if (rc == FS_AGAIN && p->removal->dir) rc = remove_slice(p->removal);
  if (rc == FS_AGAIN) return rc;
  end_removal(p);
  return rc == 0 && is_folder && rmdir(p->a) < 0 ? last_error() : rc;
}

int fs_run_remove(fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  if (p->flag) return remove_tree(p);
  if (unlink(p->a) == 0) return 0;
  int rc = last_error();
  if (rc != UV_EISDIR && rc != UV_EPERM) return rc;
  if (rmdir(p->a) == 0) return 0;
  return errno == ENOTDIR ? rc : last_error();
}
