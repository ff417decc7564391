// SPDX-License-Identifier: MIT
// Preloaded by a spec: what a kernel, or other code of the process, may do to children.
// ODD_CHILDREN names it: "old" has no pidfd_open, "full" has no descriptor left for one, "stolen"
// takes the status of each child before corun does, "foreign" lets no signal through to them.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static int is_set(const char *what) {
  const char *odd = getenv("ODD_CHILDREN");
  return odd && strcmp(odd, what) == 0;
}

long syscall(long number, ...) {
  va_list ap;
  long a[6];
  va_start(ap, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
  va_end(ap);
  if (number == SYS_pidfd_open && (is_set("old") || is_set("full"))) {
    errno = is_set("old") ? ENOSYS : EMFILE;
    return -1;
  }
  return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

pid_t wait4(pid_t pid, int *status, int flags, struct rusage *usage) {
  if (is_set("stolen")) NEXT(wait4)(pid, NULL, flags, NULL);
  return NEXT(wait4)(pid, status, flags, usage);
}

int kill(pid_t pid, int number) {
  if (is_set("foreign") && number) {
    errno = EPERM;
    return -1;
  }
  return NEXT(kill)(pid, number);
}
