// SPDX-License-Identifier: MIT
// Process groups. See group.h.
#include "sys/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Read a file that fits into `n` bytes: its length, or -1.
static ssize_t read_all(int fd, char *to, size_t n) {
  size_t len = 0;
  for (ssize_t got = 1; got && len < n;) {
    got = read(fd, to + len, n - len);
    if (got >= 0)
      len += (size_t)got;
    else if (errno != EINTR)
      return -1;
  }
  return (ssize_t)len;
}

// Say whether the process runs and is of the group, by its line in /proc (proc(5)): what follows
// the name, which may hold anything, in parentheses.
static int is_member(int proc, const char *pid, pid_t group) {
  char path[64], line[512];
  snprintf(path, sizeof path, "%.32s/stat", pid);
  int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == EMFILE || errno == ENFILE;  // perhaps
  ssize_t n = read_all(fd, line, sizeof line - 1);
  close(fd);
  if (n <= 0) return 0;
  line[n] = 0;
  const char *end = strrchr(line, ')');
  if (!end || strlen(end) < 4) return 0;
  char state = end[2], *rest;
  strtol(end + 3, &rest, 10);  // its parent
  return strtol(rest, NULL, 10) == group && state != 'Z' && state != 'X';
}

int group_is_alive(pid_t group) {
  if (kill(-group, 0) < 0 && errno == ESRCH) return 0;
  DIR *dir = opendir("/proc");
  if (!dir) return 1;
  int seen = 0, found = 0;
  for (const struct dirent *e; !found && (e = readdir(dir));) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    seen = 1;
    found = is_member(dirfd(dir), e->d_name, group);
  }
  closedir(dir);
  return found || !seen;
}
