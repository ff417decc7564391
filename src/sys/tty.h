// SPDX-License-Identifier: MIT
// The process's terminal: its size and its mode. A changed mode is a handle, so that the runtime
// restores it at its end if nobody did before; host.c restores it where the process ends without
// that. Runs on the loop thread. Invariant: at most one change of a mode is there in the process.
#ifndef SYS_TTY_H
#define SYS_TTY_H

#include <termios.h>
#include <uv.h>

#include "core/handle.h"

typedef enum { TTY_RAW, TTY_HIDDEN } tty_kind;

typedef struct tty_mode {
  handle h;
  uv_signal_t resumed;  // after a stop the shell has put the terminal back: change it again
  int fd;               // our own
  int owned;            // the userdata still refers to it
  int restored;
  struct termios mode;
} tty_mode;

// Change the mode of the terminal that `fd` leads to. [loop] Answers 0 and the mode in `out`, or an
// error: UV_ENOTTY, UV_EBUSY when a mode is changed already. The caller owns it until tty_release.
int tty_change(rt *r, int fd, tty_kind kind, tty_mode **out);

// Restore the mode as it was. [loop] A second call does nothing.
void tty_restore(tty_mode *m);

// Restore it, and let go of it. [loop]
void tty_release(tty_mode *m);

// The size of the terminal in characters. [any] Answers 0 or an error.
int tty_size(int fd, int *columns, int *rows);

#endif
