// SPDX-License-Identifier: MIT
// The close of a stream with TLS. A server may send session tickets when its handshake ends, which
// can be after the client has written all and closed. A system that gets bytes for a connection
// that is closed, or closes one with bytes unread, resets it: what is still on its way is lost,
// also from whatever stands between. So a client that has heard nothing yet lingers behind its
// close: the write side ends, and what comes is dropped until the peer's end, or for the grace
// period at most. Runs on the loop thread.
#ifndef NET_TLS_CLOSE_H
#define NET_TLS_CLOSE_H

#include "net/tls.h"

// The functions of the transport.
void tls_close(stream *s);
void tls_hasten(stream *s);

#endif
