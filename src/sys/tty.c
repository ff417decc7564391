// SPDX-License-Identifier: MIT
// The terminal. See tty.h.
#include "sys/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/host.h"
#include "core/runtime.h"

int tty_size(int fd, int *columns, int *rows) {
  struct winsize w;
  if (ioctl(fd, TIOCGWINSZ, &w) < 0) return uv_translate_sys_error(errno);
  if (!w.ws_col) return UV_ENOTSUP;  // nobody has told the kernel
  *columns = w.ws_col;
  *rows = w.ws_row;
  return 0;
}

// --- Modes -----------------------------------------------------------------------------------

// Each key at once, unseen and without a meaning of its own; output as it was, so that print works.
static void make_raw(struct termios *t) {
  t->c_iflag &= (tcflag_t) ~(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
  t->c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
  t->c_cflag |= CS8;
  t->c_cc[VMIN] = 1;
  t->c_cc[VTIME] = 0;
}

static int set(int fd, const struct termios *mode) {
  int rc;
  do rc = tcsetattr(fd, TCSANOW, mode);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? uv_translate_sys_error(errno) : 0;
}

static void on_closed(uv_handle_t *h) {
  tty_mode *m = h->data;
  handle_fini(&m->h);
  if (m->owned)
    m->restored = 2;  // tty_release frees it
  else
    free(m);
}

void tty_restore(tty_mode *m) {
  if (m->restored) return;
  m->restored = 1;
  host_restore_tty();
  close(m->fd);
  uv_close((uv_handle_t *)&m->resumed, on_closed);
}

void tty_release(tty_mode *m) {
  tty_restore(m);
  m->owned = 0;
  if (m->restored == 2) free(m);
}

static void close_handle(handle *h) {
  tty_restore(list_entry(h, tty_mode, h));
}

static void on_resumed(uv_signal_t *h, int number) {
  tty_mode *m = h->data;
  (void)number;
  if (!m->restored) set(m->fd, &m->mode);
}

int tty_change(rt *r, int fd, tty_kind kind, tty_mode **out) {
  struct termios before;
  if (tcgetattr(fd, &before) < 0) return uv_translate_sys_error(errno);
  tty_mode *m = calloc(1, sizeof *m);
  int rc = m ? uv_signal_init(&r->loop, &m->resumed) : UV_ENOMEM;
  if (rc < 0) {
    free(m);
    return rc;
  }
  m->resumed.data = m;
  uv_unref((uv_handle_t *)&m->resumed);
  handle_init(r, &m->h, "terminal mode", close_handle);
  m->mode = before;
  if (kind == TTY_RAW)
    make_raw(&m->mode);
  else
    m->mode.c_lflag &= (tcflag_t) ~(ECHO | ECHONL);
  m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  rc = m->fd < 0 ? UV_EMFILE : host_keep_tty(m->fd, &before);
  if (rc == 0) {
    uv_signal_start(&m->resumed, on_resumed, SIGCONT);  // without it only a stop is not made up for
    rc = set(m->fd, &m->mode);
    if (rc < 0) host_restore_tty();
  }
  if (rc == 0) {
    m->owned = 1;
    *out = m;
    return 0;
  }
  if (m->fd >= 0) close(m->fd);
  m->restored = 1;
  uv_close((uv_handle_t *)&m->resumed, on_closed);
  return rc;
}
