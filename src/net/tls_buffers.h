// SPDX-License-Identifier: MIT
// The two buffers of 17 KB that OpenSSL has for each connection. Most are without them between two
// records, as SSL_MODE_RELEASE_BUFFERS has it; but to take and to give back memory for every record
// takes time, the more so as it wanders through the heap. So connections that are busy keep theirs,
// up to a number for each runtime, until busier ones need the place. Runs on the loop thread.
#ifndef NET_TLS_BUFFERS_H
#define NET_TLS_BUFFERS_H

#include "net/tls.h"

// Data is about to be read or written: count it, and keep the buffers from now on if that was often
// enough. [loop]
void tls_buffers_use(tls *x);

// Give back buffers that were taken for what is not data. [loop]
void tls_buffers_release(tls *x);

// The SSL is about to be freed. [loop]
void tls_buffers_forget(tls *x);

#endif
