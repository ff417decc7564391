// SPDX-License-Identifier: MIT
// Host: all that is process-wide in core (S39): which runtime the thread runs, the handlers of INT,
// TERM, QUIT and URG, the watchdog thread that notices steps that go on too long (S21 to S28), and
// the state of the threads that do blocking work (core/work.h), and the limit of descriptors that
// the process began with. Invariant: the watchdog never touches a lua_State; it sets atomic flags
// and sends signals.
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include <termios.h>

#include "core/types.h"
#include "core/work.h"

// A runtime is made. [any]
void host_prepare(void);

// A root task begins: watch the runtime, unless it has no interrupts, and take the signals if it
// owns them and nobody else has. [loop]
void host_enter(rt *r);

// The root task has ended. [loop]
void host_leave(rt *r);

// This thread runs `r` from now on, NULL: none. Answers what it ran before. [loop]
rt *host_switch(rt *r);

// The runtime that this thread runs, NULL when there is none. [any]
rt *host_current(void);

// Wake the watchdog if it is parked; called before a batch of steps. [loop]
void host_unpark(void);

// Let the runtime call its on_wakeup soon, in the midst of a step too if that goes on for long. It
// must be alive. [any]
void host_ask(rt *r);

// Act on the signals that have arrived since, and on what other threads ask. [loop] Must not run
// Lua.
void host_deliver(rt *r);

// A script begins to listen to a signal through libuv: remember what it did before. [loop]
void host_listen(int signal);

// It listens no more: let the signal do that again, since libuv sets the default action once its
// last handle for it has stopped. [loop]
void host_unlisten(int signal);

// The mode of the terminal behind `fd` is about to be changed: remember how to restore it, however
// the process ends. [loop] Answers 0, or UV_EBUSY while another one is remembered. `fd` must stay
// open until host_restore_tty.
int host_keep_tty(int fd, const struct termios *before);

// Restore that mode and forget it; does nothing when there is none. From the background it only
// forgets: then the terminal is another program's. [any, signal handlers too]
void host_restore_tty(void);

// A stream over standard output has failed because its reader has gone: end the program, unless the
// script listens to SIGPIPE. [loop]
void host_output_gone(const rt *r);

// Raise the soft limit of descriptors to the hard one. Called once, before there is a second
// thread.
void host_raise_descriptors(void);

// Set the limit back while another program is started, which inherits it; for that moment no thread
// of this one gets a descriptor above it. [any]
void host_lend_descriptors(void);

// Raise it again. [any]
void host_take_descriptors(void);

// Wait while the limit is set back. Say whether that can have been: then what has failed for want
// of a descriptor is to be tried again. Leaves errno alone. [any]
int host_await_descriptors(void);

// Say whether libuv can have its threads, to be asked before it gets work for them until the answer
// is 0: it aborts when it cannot. 0 or an error such as UV_EAGAIN. [any]
int host_check_pool(void);

// The threads for blocking work. [any]
work_pool *host_work_pool(void);

// The number of the INT or TERM that ended the program, 0 when there was none. [any]
int host_signal(void);

// End the process as the signal itself would. [any]
void host_die(int signal);

#endif
