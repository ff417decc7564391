// SPDX-License-Identifier: MIT
// UDP sockets. Datagrams are taken from the system when a task asks for one, so what nobody takes
// waits in the system's buffer, or is dropped there. A C object, counted: one reference belongs to
// the userdata, one to libuv until it is closed. Runs on the loop thread. Invariant: at most one
// task receives; the socket is polled only for what tasks wait for.
#ifndef NET_UDP_H
#define NET_UDP_H

#include <lua.h>

#include "core/handle.h"
#include "core/wait.h"
#include "net/address.h"

#define UDP_MOST ((size_t)64 << 10)  // bytes of the longest datagram, and some

typedef struct udp {
  handle h;
  uv_poll_t poll;
  uint32_t refs;
  uint32_t closed_at;  // site of the close
  int by_scope;        // it was that of a <close> variable
  int fd;              // -1 once closed
  int family;
  int events;     // that are polled for
  int connected;  // to `peer`
  int woken;      // the reader was woken
  task *reader;   // from the begin of its wait until it has run
  list writers;   // tasks that wait for room
  address peer;
  char local[ADDRESS_TEXT];  // the local address as text, when it was opened or connected last
} udp;

// Open a socket at a local address; the reference is the caller's. [loop] Answers 0 or an error.
int udp_open(rt *r, const address *a, int reuse, udp **out);

// Send to `to`, or to the peer when it is NULL. [loop] Answers 0, UV_EAGAIN, or another error.
int udp_send(udp *u, const char *data, size_t n, const address *to);

// Receive a datagram that is there into `buf`. [loop] Answers its length, which is more than `n` if
// it was cut off, UV_EAGAIN, or another error.
ssize_t udp_recv(udp *u, void *buf, size_t n, address *from);

// Take datagrams of this peer alone, and send to it. [loop] Answers 0 or an error.
int udp_connect(udp *u, const address *peer);

// Join or leave a multicast group, at an interface given by name or address, NULL: any. [loop]
// Answers 0 or an error.
int udp_member(udp *u, const address *group, const char *interface, int join);

typedef enum { UDP_BROADCAST, UDP_TTL, UDP_MULTICAST_TTL, UDP_MULTICAST_LOOP } udp_option;

// Set an option of the socket. [loop] Answers 0 or an error.
int udp_set(udp *u, udp_option option, int value);

// Suspend until a datagram may be there, or the instant `when`. `ops` has udp_cancel_recv, its
// argument is the socket; its done function must first call udp_take_recv. [loop]
int udp_wait_recv(lua_State *L, udp *u, uint64_t when, const wait_ops *ops);

// Suspend until there may be room to send. `ops` has udp_cancel_send; its done function must first
// call udp_take_send. [loop]
int udp_wait_send(lua_State *L, udp *u, const wait_ops *ops);

// End a wait: 0, UV_ECANCELED when the socket was closed, or another error. [loop]
int udp_take_recv(udp *u, int rc);
int udp_take_send(const udp *u, int rc);

wait_answer udp_cancel_recv(task *t, void *arg);
wait_answer udp_cancel_send(task *t, void *arg);

// Close; waiting tasks get UV_ECANCELED. A second call does nothing. [loop]
void udp_close(udp *u, uint32_t site);

// Let go of a reference to a closed socket. [loop]
void udp_unref(udp *u);

#endif
