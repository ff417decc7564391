// SPDX-License-Identifier: MIT
// Preloaded by a spec: writes down what is brought to the disk, in order with what is renamed, a
// line each into the file that DISK_LOG names. DISK_FULL is the end of a name: files that end so
// say when they are closed that they could not be written, as on a network.
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

int fsync(int fd) {
  char name[4096];
  note("fsync", name_of(fd, name));
  return NEXT(fsync)(fd);
}

int rename(const char *from, const char *to) {
  note("rename", to);
  return NEXT(rename)(from, to);
}

int close(int fd) {
  const char *full = getenv("DISK_FULL");
  char name[4096];
  size_t n = full ? strlen(name_of(fd, name)) : 0;
  int is_written = full && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  int is_full = is_written && n >= strlen(full) && strcmp(name + n - strlen(full), full) == 0;
  int rc = NEXT(close)(fd);
  if (!is_full) return rc;
  errno = EDQUOT;
  return -1;
}
