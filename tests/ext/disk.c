// SPDX-License-Identifier: MIT
// Preloaded by a spec: writes down what is brought to the disk, in order with what is renamed, a
// line each into the file that DISK_LOG names. Others are the end of a name: of files that say when
// they are closed that they could not be written, as on a network (DISK_FULL); of those that are
// not brought to the disk, because it is broken (DISK_BROKEN) or the file system cannot
// (DISK_UNABLE).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static void note(const char *what, const char *name) {
  const char *log = getenv("DISK_LOG");
  if (!log) return;
  int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  dprintf(fd, "%s %s\n", what, name);
  NEXT(close)(fd);
}

// The name of an open file; "" for what has none.
static const char *name_of(int fd, char name[4096]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, name, 4095);
  name[n < 0 ? 0 : n] = 0;
  return name;
}

// Whether a name ends as the environment says in `setting`.
static int ends(const char *name, const char *setting) {
  const char *end = getenv(setting);
  size_t n = strlen(name), m = end ? strlen(end) : 0;
  return m && n >= m && strcmp(name + n - m, end) == 0;
}

int fsync(int fd) {
  char name[4096];
  note("fsync", name_of(fd, name));
  int error = ends(name, "DISK_BROKEN") ? EIO : ends(name, "DISK_UNABLE") ? EINVAL : 0;
  if (!error) return NEXT(fsync)(fd);
  errno = error;
  return -1;
}

int rename(const char *from, const char *to) {
  note("rename", to);
  return NEXT(rename)(from, to);
}

int close(int fd) {
  char name[4096];
  int is_full =
    ends(name_of(fd, name), "DISK_FULL") && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  int rc = NEXT(close)(fd);
  if (!is_full) return rc;
  errno = EDQUOT;
  return -1;
}
