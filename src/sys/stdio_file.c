// SPDX-License-Identifier: MIT
// Standard streams that are files or devices. Reads run on libuv's threads, one at a time, at the
// position that the descriptor shares with other processes; what was read ahead and not asked for
// is given back at the close. Writes go to the system's cache, where they stand in one order with
// those of print; a large one is cut into slices with a turn of the loop between them. Runs on the
// loop thread. Invariant: the structure lives until neither a read nor the idle handle uses it.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/host.h"
#include "core/runtime.h"
#include "sys/stdio.h"

#define SLICE ((size_t)256 << 10)  // bytes written in one turn

typedef struct file_stdio {
  stdio head;
  uv_fs_t read;
  uv_idle_t turn;      // active while a write is under way: the loop goes on
  char *block;         // where the read under way puts its bytes
  uv_buf_t out;        // what is left of the write under way
  int busy;            // a read is under way
  int wanted;          // the stream asks for bytes
  int closed, closes;  // the idle handle was closed; the stream asked for that
} file_stdio;

static file_stdio *of(stream *s) {
  return (file_stdio *)(void *)s;
}

// --- Reading ---------------------------------------------------------------------------------

static void finish_close(file_stdio *p) {
  if (!p->closed || p->busy) return;
  free(p->block);
  stream_closed(&p->head.base.s);
}

static int read_more(file_stdio *p);

// Give the bytes to the stream: its next block changes places with ours, nothing is copied.
static void deliver(file_stdio *p, size_t n) {
  stream *s = &p->head.base.s;
  char *block = p->block;
  p->block = s->io->block;
  s->io->block = block;
  stream_fed(s, block, n);
}

static void on_read(uv_fs_t *req) {
  file_stdio *p = req->data;
  stream *s = &p->head.base.s;
  ssize_t n = req->result;
  uv_fs_req_cleanup(req);
  p->busy = 0;
  if (p->closes) {
    if (n > 0) lseek(p->head.fd, -n, SEEK_CUR);
    finish_close(p);
    return;
  }
  if (n <= 0 && n != UV_EINTR) {  // libuv does not read again after a signal
    stream_ended(s, n ? (int)n : UV_EOF);
    return;
  }
  if (n > 0) deliver(p, (size_t)n);
  while (p->wanted && !p->busy) {
    uv_buf_t room;
    stream_room(s, &room);
    if (!room.len) {
      stream_refused(s);  // the second time it says stop
      continue;
    }
    int rc = read_more(p);
    if (rc < 0) stream_ended(s, rc);
  }
}

static int read_more(file_stdio *p) {
  if (!p->block) p->block = malloc(IO_BLOCK);
  if (!p->block) return UV_ENOMEM;
  uv_buf_t buf = uv_buf_init(p->block, IO_BLOCK);
  p->read.data = p;
  int rc = host_check_pool();
  if (rc == 0) rc = uv_fs_read(p->turn.loop, &p->read, p->head.fd, &buf, 1, -1, on_read);
  if (rc == 0) p->busy = 1;
  return rc;
}

static int start(stream *s) {
  file_stdio *p = of(s);
  int rc = stdio_may_read(s);
  if (rc < 0) return rc;
  p->wanted = 1;
  return p->busy ? 0 : read_more(p);
}

static void stop(stream *s) {
  of(s)->wanted = 0;
}

static void hold(stream *s, int on) {  // a reader waits only while a read is under way
  (void)s;
  (void)on;
}

static void unread(stream *s, size_t n) {
  if (n) lseek(stdio_of(s)->fd, -(off_t)n, SEEK_CUR);
}

// --- Writing ---------------------------------------------------------------------------------

// Write up to a slice, all to a host: the number of bytes, or an error.
static ssize_t put(stream *s, const char *data, size_t n) {
  ssize_t done;
  FILE *file = stdio_of(s)->file;
  if (file) {
    fwrite(data, 1, n, file);
    fflush(file);
    return (ssize_t)n;
  }
  do done = write(stdio_of(s)->fd, data, n < SLICE ? n : SLICE);
  while (done < 0 && errno == EINTR);
  return done < 0 ? uv_translate_sys_error(errno) : done;
}

static int try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  size_t total = 0;
  int rc = stdio_may_write(s);
  if (rc < 0) return rc;
  stdio_flush_stock(s);
  for (unsigned i = 0; i < n && total < SLICE; i++) {
    if (!bufs[i].len) continue;
    ssize_t done = put(s, bufs[i].base, bufs[i].len);
    if (done < 0) return total ? (int)total : (int)done;
    total += (size_t)done;
    if ((size_t)done < bufs[i].len) break;
  }
  return (int)total;
}

static void on_turn(uv_idle_t *h) {
  file_stdio *p = h->data;
  ssize_t n = put(&p->head.base.s, p->out.base, p->out.len);
  if (n == UV_EAGAIN) return;
  if (n > 0) {
    p->out.base += n;
    p->out.len -= (size_t)n;
    if (p->out.len) return;
  }
  uv_idle_stop(h);
  stream_written(&p->head.base.s, n < 0 ? (int)n : 0);
}

static int begin_write(stream *s, uv_write_t *req, uv_buf_t buf) {
  (void)req;
  of(s)->out = buf;
  return uv_idle_start(&of(s)->turn, on_turn);
}

static int refuse_shutdown(stream *s, uv_shutdown_t *req) {
  (void)s;
  (void)req;
  return UV_ENOTSUP;
}

static int flush(stream *s, uv_buf_t buf, int under_way, uint64_t until) {
  if (under_way) buf = of(s)->out;
  while (buf.len) {
    ssize_t n = put(s, buf.base, buf.len);
    if (n < 0 && n != UV_EAGAIN) return (int)n;
    if (uv_hrtime() >= until) return UV_ETIMEDOUT;
    if (n < 0) continue;
    buf.base += n;
    buf.len -= (size_t)n;
  }
  return 0;
}

// --- Life ------------------------------------------------------------------------------------

static void on_close(uv_handle_t *h) {
  file_stdio *p = h->data;
  p->closed = 1;
  finish_close(p);
}

static void close_file(stream *s) {
  stdio_release(s);
  of(s)->closes = 1;
  uv_close((uv_handle_t *)&of(s)->turn, on_close);
}

static const stream_transport file_transport = {
  .kind = "file",
  .start = start,
  .stop = stop,
  .try_write = try_write,
  .write = begin_write,
  .shutdown = refuse_shutdown,
  .flush = flush,
  .close = close_file,
  .hold = hold,
  .unread = unread,
  .describe = stdio_describe,
};

int stdio_open_file(rt *r, io_state *io, stdio **out) {
  file_stdio *p = calloc(1, sizeof *p);
  if (!p) return UV_ENOMEM;
  uv_idle_init(&r->loop, &p->turn);
  p->turn.data = p;
  stream_init(&p->head.base.s, r, io, &file_transport);
  *out = &p->head;
  return 0;
}
