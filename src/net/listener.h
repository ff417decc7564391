// SPDX-License-Identifier: MIT
// Listening sockets: of TCP, or Unix sockets at a path. A connection is accepted only when a task
// asks for one, so what nobody takes waits in the system's queue, and running out of descriptors
// spins nowhere. A C object, counted: one reference belongs to the userdata, one to libuv until it
// is closed. Runs on the loop thread. Invariant: the socket is polled only while tasks wait, or
// until the next event shows that none does.
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <lua.h>

#include "core/handle.h"
#include "core/wait.h"
#include "net/tcp.h"

typedef struct listener {
  handle h;
  uv_poll_t poll;
  uint32_t refs, granted;  // woken tasks that have not run
  uint32_t closed_at;      // site of the close
  int by_scope;            // it was that of a <close> variable
  int fd;                  // -1 once closed
  int rc;                  // error of polling
  int polling, is_path;    // a Unix socket
  list waiters;
  char local[ADDRESS_TEXT];  // the address as text
  ino_t inode;               // of the socket at `path`, which is removed at the end
  char path[];               // empty for one that is not ours to remove
} listener;

typedef struct listen_options {
  int backlog;     // connections that the system keeps until they are accepted
  int reuse;       // although old connections of the address linger
  int reuse_port;  // beside other listeners, among which the system shares connections out
  int mode;        // permissions of a Unix socket, -1: as the umask has it
} listen_options;

// Open a listening socket; the reference is the caller's. [loop] Answers 0 or an error.
int listener_open(rt *r, const address *a, const listen_options *o, listener **out);

// The same for a Unix socket. A socket there which nobody listens to any more is replaced. [loop]
int listener_open_path(rt *r, const char *path, const listen_options *o, listener **out);

// Listen at a socket that somebody else has opened, and bound, and listens at. It is the listener's
// when that succeeds. [loop] Answers 0, or an error: UV_EBADF, UV_ENOTSOCK, UV_EPROTOTYPE when it
// is no stream, UV_EINVAL when it does not listen, UV_EAFNOSUPPORT.
int listener_open_fd(rt *r, int fd, listener **out);

// Take a connection that is there, a tcp or a pipe_stream; its reference is the caller's. [loop]
// Answers 0, UV_EAGAIN, or another error.
int listener_accept(listener *l, io_state *io, stream **out);

// Say whether a task that asks now must wait behind others. [loop]
static inline int listener_is_taken(const listener *l) {
  return l->granted || !list_empty(&l->waiters);
}

// Suspend until a connection may be there, or the instant `when`; `first` before all others that
// wait, for a task whose turn it was. `ops` has listener_cancel, its argument is the listener; its
// done function must first call listener_take_turn. [loop]
int listener_wait(lua_State *L, listener *l, int first, uint64_t when, const wait_ops *ops);

// Take the turn that the wait ended with: 0, UV_ECANCELED when the listener was closed, or another
// error. [loop]
int listener_take_turn(listener *l, int rc);

wait_answer listener_cancel(task *t, void *arg);

// Stop listening; waiting tasks get UV_ECANCELED. A second call does nothing. [loop]
void listener_close(listener *l, uint32_t site);

// Let go of a reference to a closed listener. [loop]
void listener_unref(listener *l);

#endif
