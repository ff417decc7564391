// SPDX-License-Identifier: MIT
// The write side of streams, as far as stream.c needs to know it. Runs on the loop thread.
#ifndef IO_STREAM_WRITE_H
#define IO_STREAM_WRITE_H

#include "io/stream.h"

// The stream was closed: end the waits of writers, send what is queued, then close the transport.
// [loop] Must not run Lua.
void stream_close_writes(stream *s);

// Close the transport now; `rc` tells those who wait for the close what became of the queue. [loop]
void stream_finish(stream *s, int rc);

// The runtime ends: write what is queued here and now, for at most the grace period in all streams
// together, and close the transport. [loop]
void stream_flush(stream *s);

// The instant (uv_hrtime) when writing at the end of the runtime gives up. [loop]
uint64_t stream_flush_until(stream *s);

// Free what is queued. [loop]
void stream_free_out(stream *s);

// As wait_ops.describe, for waits whose argument is the stream. [loop]
void stream_describe_wait(const task *t, const void *arg, char *buf, size_t n);

#endif
