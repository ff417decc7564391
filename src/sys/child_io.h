// SPDX-License-Identifier: MIT
// The standard descriptors of a process to be started: pipes, files, what this process has, a
// terminal. Owns the descriptors that the process is to get, until child_io_release, and our ends
// of pipes until they are taken. Runs on the loop thread. Real pipes, since programs look for them;
// only our end is non-blocking.
#ifndef SYS_CHILD_IO_H
#define SYS_CHILD_IO_H

#include "io/pipe.h"
#include "sys/pty.h"

typedef enum {
  CHILD_IO_NULL,     // nothing to read; what is written is dropped
  CHILD_IO_PIPE,     // a pipe to us
  CHILD_IO_INHERIT,  // what this process has
  CHILD_IO_STDOUT,   // where standard output goes (for standard error)
  CHILD_IO_SOCKET,   // a pipe to us in both directions (for standard input)
  CHILD_IO_PATH,     // a file to be opened
  CHILD_IO_FD,       // a descriptor that stays the caller's
} child_io_kind;

typedef struct child_io_want {
  child_io_kind kind;
  const char *path;
  int append;  // to the file
  int fd;
} child_io_want;

typedef struct child_io_plan {
  child_io_want want[3];
  int is_pty, cols, rows;  // a terminal in place of `want`
  const char *program;     // for messages
} child_io_plan;

typedef struct child_io_set {
  int fds[3];          // what the process gets
  char tty[PTY_NAME];  // or the name of its terminal, "" for none
  int opened[4];       // to be closed once it has them
  int nopened;
  pipe_stream *ours[3];  // NULL where there is no pipe; of a terminal only the first
} child_io_set;

// Open all. [loop] Answers 0, or an error with nothing left open, and with `culprit` at the path of
// the file that was not opened, else NULL.
int child_io_open(rt *r, io_state *io, const child_io_plan *p, child_io_set *out,
                  const char **culprit);

// Close what the process has got, or will not get. [loop]
void child_io_release(child_io_set *set);

// Close our ends too: nobody took them. [loop]
void child_io_abandon(child_io_set *set);

// In a process that was started with CHILD_IO_SOCKET: make a stream of it. There is nothing to read
// from standard input then. [loop] Answers 0, or an error: UV_ENOTSOCK when it has no socket.
int child_io_claim(rt *r, io_state *io, pipe_stream **out);

#endif
