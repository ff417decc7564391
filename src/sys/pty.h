// SPDX-License-Identifier: MIT
// Pseudo-terminals: a stream on one side, the terminal of a process on the other. Runs on the loop
// thread.
#ifndef SYS_PTY_H
#define SYS_PTY_H

#include "io/stream.h"

#define PTY_NAME 128

// As pipe_transport; what Linux reports as EIO once nobody has the terminal open is the end.
extern const stream_transport pty_transport;

// Open a new terminal of that size: `master` is ours, `slave` keeps it open until the process has
// opened the file called `name` itself. [loop] Answers 0 or an error.
int pty_open(int cols, int rows, int *master, int *slave, char name[PTY_NAME]);

// Tell the terminal, and the processes that it controls, its size. [loop] Answers 0 or an error.
int pty_resize(stream *s, int cols, int rows);

#endif
