// SPDX-License-Identifier: MIT
// Names of signals. See signame.h.
#include "sys/signame.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#define NAMED(number) \
  { #number, number }

static const struct {
  const char *name;
  int number;
} names[] = {
  NAMED(SIGHUP),    NAMED(SIGINT),  NAMED(SIGQUIT),  NAMED(SIGILL),  NAMED(SIGTRAP), NAMED(SIGABRT),
  NAMED(SIGBUS),    NAMED(SIGFPE),  NAMED(SIGKILL),  NAMED(SIGUSR1), NAMED(SIGSEGV), NAMED(SIGUSR2),
  NAMED(SIGPIPE),   NAMED(SIGALRM), NAMED(SIGTERM),  NAMED(SIGCHLD), NAMED(SIGCONT), NAMED(SIGSTOP),
  NAMED(SIGTSTP),   NAMED(SIGTTIN), NAMED(SIGTTOU),  NAMED(SIGURG),  NAMED(SIGXCPU), NAMED(SIGXFSZ),
  NAMED(SIGVTALRM), NAMED(SIGPROF), NAMED(SIGWINCH), NAMED(SIGIO),   NAMED(SIGSYS),
#ifdef SIGPWR
  NAMED(SIGPWR),
#endif
#ifdef SIGSTKFLT
  NAMED(SIGSTKFLT),
#endif
};

enum { NAMES = sizeof names / sizeof *names };

int signame_number(const char *name) {
  size_t skip = strncmp(name, "SIG", 3) == 0 ? 0 : 3;
  for (int i = 0; i < NAMES; i++)
    if (strcmp(names[i].name + skip, name) == 0) return names[i].number;
  return 0;
}

const char *signame_of(int number) {
  for (int i = 0; i < NAMES; i++)
    if (names[i].number == number) return names[i].name;
  return NULL;
}
