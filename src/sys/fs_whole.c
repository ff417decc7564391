// SPDX-License-Identifier: MIT
// Whole files: opening and reading. See fs_whole.h; writing stands in fs_write.c.
#include "sys/fs_whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST ((size_t)4 << 10)  // room for what tells no size, as in /proc
#define HUGE ((size_t)1 << 30)   // from here on a file is checked against the memory there is

static int last_error(void) {
  return uv_translate_sys_error(errno);
}

// --- Opening ---------------------------------------------------------------------------------

int fs_open(const char *path, int flags, int permissions, int *waits, unsigned *mode) {
  struct stat st;
  int fd, tries = 0;
  do fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, permissions);
  while (fd < 0 && fs_tries_again(&tries));
  if (fd < 0) return last_error();
  int rc = fstat(fd, &st) < 0 ? last_error() : S_ISDIR(st.st_mode) ? UV_EISDIR : 0;
  if (rc < 0) {
    close(fd);
    return rc;
  }
  *mode = st.st_mode;
  *waits = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd));
  return fd;
}

static int make_temp(fs_opening *p) {
  int fd = mkostemp(p->path, O_CLOEXEC);
  if (fd < 0) return last_error();
  p->st_mode = S_IFREG;
  if (p->mode >= 0 && fchmod(fd, (mode_t)p->mode) < 0) {
    int rc = last_error();
    unlink(p->path);
    close(fd);
    return rc;
  }
  return fd;
}

int fs_run_open(fs_op *o) {
  fs_opening *p = (fs_opening *)(void *)o;
  int mode = p->mode < 0 ? 0666 : p->mode;
  p->fd = p->is_temp ? make_temp(p) : fs_open(p->path, p->flags, mode, &p->waits, &p->st_mode);
  return p->fd < 0 ? p->fd : 0;
}

// The task that wanted it is gone, or could not take it.
void fs_open_drop(fs_op *o) {
  fs_opening *p = (fs_opening *)(void *)o;
  if (p->fd >= 0 && o->rc == 0 && p->is_temp) unlink(p->path);
  if (p->fd >= 0) close(p->fd);
}

// --- Reading to the end ----------------------------------------------------------------------

// Make room for `n` bytes.
static int reserve(fs_slurp *s, size_t n) {
  if (s->block && s->capacity >= n) return 0;
  if (n > HUGE && n > uv_get_total_memory()) return UV_ENOMEM;  // a hole of terabytes
  char *block = realloc(s->block, s->head + n + 16);
  if (!block) return UV_ENOMEM;
  s->block = block;
  s->capacity = n;
  return 0;
}

int fs_slurp_begin(fs_slurp *s) {
  struct stat st;
  if (fstat(s->fd, &st) < 0) return last_error();
  int64_t left = S_ISREG(st.st_mode) ? (int64_t)st.st_size - (s->by_offset ? s->offset : 0) : 0;
  if (left < 0) left = 0;
  if ((uint64_t)left + s->n > s->max && s->limit > s->max) return UV_EMSGSIZE;
  size_t n = s->n + (size_t)left + 1;  // one more, to meet the end without growing
  if (left == 0) n = s->n + FIRST;
  if (n > s->limit && s->limit > s->n) n = s->limit;
  return reserve(s, n);
}

// Give back what the file turned out not to have.
static int finish(fs_slurp *s) {
  if (s->capacity - s->n <= FIRST + s->n / 8) return 0;
  char *block = realloc(s->block, s->head + s->n + 16);
  if (block) s->block = block;
  return 0;
}

int fs_slurp_slice(fs_slurp *s, size_t step) {
  size_t end = s->n + step;
  while (s->n < s->limit) {
    if (s->n > s->max) return UV_EMSGSIZE;
    if (s->n >= end) return FS_AGAIN;
    if (s->n == s->capacity) {
      int rc = reserve(s, s->capacity * 2 < s->limit ? s->capacity * 2 : s->limit);
      if (rc < 0) return rc;
    }
    size_t want = s->capacity - s->n;
    if (want > end - s->n) want = end - s->n;
    char *to = s->block + s->head + s->n;
    ssize_t n = s->by_offset ? pread(s->fd, to, want, s->offset) : read(s->fd, to, want);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    if (n == 0) return finish(s);
    s->n += (size_t)n;
    s->offset += n;
  }
  return s->n > s->max ? UV_EMSGSIZE : finish(s);
}

static int open_for_reading(fs_read *p) {
  unsigned mode = 0;
  int fd = fs_open(p->path, O_RDONLY, 0, &p->waits, &mode);
  if (fd < 0) return fd;
  p->s.fd = fd;
  if (p->waits) return 0;
  p->s.by_offset = S_ISREG(mode);
  if (!p->s.max) p->s.max = S_ISREG(mode) ? SIZE_MAX >> 2 : FS_UNBOUND;
  return fs_slurp_begin(&p->s);
}

int fs_run_read(fs_op *o) {
  fs_read *p = (fs_read *)(void *)o;
  int rc = p->s.fd < 0 ? open_for_reading(p) : 0;
  if (p->waits) return rc;
  if (rc == 0 && !o->begun && p->s.capacity > FS_FIRST) return FS_AGAIN;  // others come first
  if (rc == 0) rc = fs_is_cancelled(o) ? UV_ECANCELED : fs_slurp_slice(&p->s, fs_step(o));
  if (rc == FS_AGAIN) return rc;
  if (p->s.fd >= 0) close(p->s.fd);
  p->s.fd = -1;
  if (rc < 0) {
    free(p->s.block);
    p->s.block = NULL;
  }
  return rc;
}

void fs_read_drop(fs_op *o) {
  fs_read *p = (fs_read *)(void *)o;
  if (p->s.fd >= 0) close(p->s.fd);
  free(p->s.block);
}
