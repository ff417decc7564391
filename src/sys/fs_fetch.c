// SPDX-License-Identifier: MIT
// A file below a folder. See fs_fetch.h.
#include "sys/fs_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"

static int last_error(void) {
  return uv_translate_sys_error(errno);
}

// Whether a name without links is that of the folder or of something below it.
static int is_below(const char *name, const char *folder) {
  size_t n = strlen(folder);
  if (n == 1) return 1;  // "/"
  return strncmp(name, folder, n) == 0 && (name[n] == '/' || name[n] == '\0');
}

// Look for it, or open it, by the name that was checked: no link may have come in between.
static int reach(fs_fetch *p, const char *name) {
  if (p->is_look) return lstat(name, &p->st) < 0 ? last_error() : 0;
  int tries = 0;
  do p->fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
  while (p->fd < 0 && fs_tries_again(&tries));
  return p->fd < 0 || fstat(p->fd, &p->st) < 0 ? last_error() : 0;
}

static int find(fs_fetch *p) {
  char *folder = realpath(p->root, NULL);
  if (!folder) return UV_EBUSY;
  char *name = realpath(p->path, NULL);
  int rc = !name ? last_error() : is_below(name, folder) ? reach(p, name) : UV_EACCES;
  free(name);
  free(folder);
  return rc;
}

static void let_go(fs_fetch *p) {
  if (p->fd >= 0) close(p->fd);
  p->fd = -1;
}

// Read all of it; one that has become shorter is as long as it is now.
static int read_all(fs_fetch *p) {
  size_t size = (size_t)p->st.st_size;
  p->block = malloc(p->head + size + BYTES_TAIL);
  if (!p->block) return UV_ENOMEM;
  while (p->n < size) {
    ssize_t n = read(p->fd, p->block + p->head + p->n, size - p->n);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    if (n == 0) break;
    p->n += (size_t)n;
  }
  return 0;
}

int fs_run_fetch(fs_op *o) {
  fs_fetch *p = (fs_fetch *)(void *)o;
  int rc = find(p);
  int is_file = rc == 0 && S_ISREG(p->st.st_mode);
  int is_small = is_file && p->st.st_size <= (off_t)FS_FETCH_MOST;
  if (is_small && !p->is_look) rc = read_all(p);
  if (rc < 0 || !is_file || is_small) let_go(p);
  return rc;
}

void fs_fetch_drop(fs_op *o) {
  fs_fetch *p = (fs_fetch *)(void *)o;
  let_go(p);
  free(p->block);
}
