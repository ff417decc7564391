// SPDX-License-Identifier: MIT
// The standard descriptors of a process to be started: pipes, files, what this process has, a
// terminal. Owns the descriptors that the process is to get, until stdio_release, and our ends of
// pipes until they are taken. Runs on the loop thread. Real pipes, since programs look for them;
// only our end is non-blocking.
#ifndef SYS_STDIO_H
#define SYS_STDIO_H

#include "io/pipe.h"
#include "sys/pty.h"

typedef enum {
  STDIO_NULL,     // nothing to read; what is written is dropped
  STDIO_PIPE,     // a pipe to us
  STDIO_INHERIT,  // what this process has
  STDIO_STDOUT,   // where standard output goes (for standard error)
  STDIO_PATH,     // a file to be opened
  STDIO_FD,       // a descriptor that stays the caller's
} stdio_kind;

typedef struct stdio_want {
  stdio_kind kind;
  const char *path;
  int append;  // to the file
  int fd;
} stdio_want;

typedef struct stdio_plan {
  stdio_want want[3];
  int is_pty, cols, rows;  // a terminal in place of `want`
  const char *program;     // for messages
} stdio_plan;

typedef struct stdio_set {
  int fds[3];          // what the process gets
  char tty[PTY_NAME];  // or the name of its terminal, "" for none
  int opened[4];       // to be closed once it has them
  int nopened;
  pipe_stream *ours[3];  // NULL where there is no pipe; of a terminal only the first
} stdio_set;

// Open all. [loop] Answers 0, or an error with nothing left open, and with `culprit` at the path of
// the file that was not opened, else NULL.
int stdio_open(rt *r, io_state *io, const stdio_plan *p, stdio_set *out, const char **culprit);

// Close what the process has got, or will not get. [loop]
void stdio_release(stdio_set *set);

// Close our ends too: nobody took them. [loop]
void stdio_abandon(stdio_set *set);

#endif
