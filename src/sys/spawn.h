// SPDX-License-Identifier: MIT
// Starting a program: from a plan to a process that has begun to run it, or to the reason why it
// could not. Owns nothing that outlives the call. Runs on the loop thread, which stands still until
// the program was found to be one that can run (some 0.1 ms); no memory is copied for it.
// Invariant: the program gets the three descriptors of the plan and no other, an empty signal mask,
// and a process group of its own unless the plan says otherwise.
#ifndef SYS_SPAWN_H
#define SYS_SPAWN_H

#include <sys/types.h>

typedef struct spawn_plan {
  char *const *argv;  // ended by NULL; the first is looked up in PATH unless it has a slash
  const char *file;   // what is run in place of the first of `argv`; NULL: that
  char *const *env;   // ended by NULL; NULL: that of this process
  const char *cwd;    // NULL: that of this process. A path in argv[0] is looked up from there
  const char *tty;    // terminal that it gets in place of `fds` and is to control; NULL: none
  int fds[3];         // what it gets as 0, 1 and 2
  int shares_group;   // it stays in the process group of this process
} spawn_plan;

// What an attempt failed at.
typedef enum {
  SPAWN_SYSTEM,       // there can be no further process
  SPAWN_CWD,          // the folder to run in
  SPAWN_PROGRAM,      // the program itself
  SPAWN_INTERPRETER,  // what its first line names, or its loader
} spawn_stage;

// Start the program. [loop] Answers 0 with `pid` set, or an error with `stage` set.
int spawn_start(const spawn_plan *p, pid_t *pid, spawn_stage *stage);

#endif
