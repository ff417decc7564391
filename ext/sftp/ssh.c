// SPDX-License-Identifier: MIT
// Connections. See ssh.h.
#include "ssh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

// A step that finds nothing to read so often goes in circles: libssh2 waits for the rest of a
// packet whose channel has ended.
#define MOST_IDLE 20000

// --- Memory ----------------------------------------------------------------------------------

#define HEADER ((sizeof(ssh_block) + 15) / 16 * 16)

static void *link_block(ssh *s, ssh_block *b) {
  b->next = s->blocks.next;
  b->prev = &s->blocks;
  b->next->prev = b->prev->next = b;
  return (char *)b + HEADER;
}

static ssh_block *unlink_block(void *p) {
  ssh_block *b = (ssh_block *)(void *)((char *)p - HEADER);
  b->next->prev = b->prev;
  b->prev->next = b->next;
  return b;
}

void *ssh_alloc(ssh *s, size_t size) {
  ssh_block *b = size > PTRDIFF_MAX - HEADER ? NULL : malloc(HEADER + size);
  return b ? link_block(s, b) : NULL;
}

static LIBSSH2_ALLOC_FUNC(on_alloc) {
  return ssh_alloc(*abstract, count);
}

static LIBSSH2_FREE_FUNC(on_free) {
  (void)abstract;
  if (ptr) free(unlink_block(ptr));
}

static LIBSSH2_REALLOC_FUNC(on_realloc) {
  ssh *s = *abstract;
  if (!ptr) return ssh_alloc(s, count);
  ssh_block *old = unlink_block(ptr);
  ssh_block *b = count > PTRDIFF_MAX - HEADER ? NULL : realloc(old, HEADER + count);
  if (b) return link_block(s, b);
  link_block(s, old);
  return NULL;
}

static void free_blocks(ssh *s) {
  for (ssh_block *b = s->blocks.next, *next; b != &s->blocks; b = next) {
    next = b->next;
    free(b);
  }
  s->blocks.next = s->blocks.prev = &s->blocks;
}

void ssh_reserve(lua_State *L, ssh *s, size_t size) {
  if (size <= s->room) return;
  char *grown = realloc(s->buffer, size);
  if (!grown) {
    luaL_error(L, "not enough memory");
    return;
  }
  s->buffer = grown;
  s->room = size;
}

// --- The socket ------------------------------------------------------------------------------

void ssh_kill(ssh *s, int error) {
  if (!s->error) s->error = error;
}

// What libssh2 takes for a failure that is final.
static ssize_t dead(ssh *s, int error) {
  ssh_kill(s, error);
  return -ENOTCONN;
}

static LIBSSH2_RECV_FUNC(on_recv) {
  ssh *s = *abstract;
  (void)flags;
  if (s->error) return -ENOTCONN;
  ssize_t n;
  while ((n = recv(socket, buffer, length, 0)) < 0 && errno == EINTR) continue;
  if (n > 0) return n;
  if (n == 0) return dead(s, SSH_EOF);
  if (errno != EAGAIN && errno != EWOULDBLOCK) return dead(s, -errno);
  s->wants |= CORUN_READABLE;
  return ++s->idle > MOST_IDLE ? dead(s, SSH_EOF) : -EAGAIN;
}

// Send what is left. Answers 0, or a negative errno by which the socket has failed.
static int flush(ssh *s) {
  while (s->out_from < s->out_to) {
    ssize_t n = send(s->fd, s->out + s->out_from, s->out_to - s->out_from, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    s->out_from += (size_t)n;
  }
  s->out_from = s->out_to = 0;
  return 0;
}

// All is taken, and sent when the socket can: where libssh2 cannot send the end of a packet it may
// forget, and begin another one. No call has more to send than a few hundred KB before it waits for
// an answer.
static LIBSSH2_SEND_FUNC(on_send) {
  ssh *s = *abstract;
  (void)socket, (void)flags;
  if (s->error) return -ENOTCONN;
  if (s->out_to + length > s->out_room) {
    size_t room = 2 * (s->out_to + length);
    char *grown = realloc(s->out, room);
    if (!grown) return dead(s, -ENOMEM);
    s->out = grown;
    s->out_room = room;
  }
  memcpy(s->out + s->out_to, buffer, length);
  s->out_to += length;
  int rc = flush(s);
  return rc < 0 ? dead(s, rc) : (ssize_t)length;
}

static LIBSSH2_DISCONNECT_FUNC(on_disconnect) {
  ssh *s = *abstract;
  (void)session;
  (void)reason;
  (void)language;
  (void)language_len;
  snprintf(s->said, sizeof s->said, "%.*s", message_len, message);
  for (char *p = s->said; *p; p++)  // it may be shown on a terminal
    if ((unsigned char)*p < ' ' || *p == 127) *p = ' ';
  ssh_kill(s, SSH_EOF);
}

int ssh_open(ssh *s) {
  s->session = libssh2_session_init_ex(on_alloc, on_free, on_realloc, s);
  if (!s->session) return -ENOMEM;
  libssh2_session_set_blocking(s->session, 0);
  // The type of these functions is that of no other function: libssh2 takes them as void *.
  union {
    LIBSSH2_RECV_FUNC((*recv));
    LIBSSH2_SEND_FUNC((*send));
    LIBSSH2_DISCONNECT_FUNC((*disconnect));
    void *pointer;
  } f;
  f.recv = on_recv;
  libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_RECV, f.pointer);
  f.send = on_send;
  libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_SEND, f.pointer);
  f.disconnect = on_disconnect;
  libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_DISCONNECT, f.pointer);
  return 0;
}

// --- Its end ---------------------------------------------------------------------------------

// With a dead socket each call of libssh2 ends at once, and frees what it had under way: a key
// exchange has more than what is in `blocks`.
static void free_session(ssh *s) {
  ssh_kill(s, SSH_BROKEN);
  s->L = NULL;
  for (int i = 0; s->call.step && s->call.step(s) == LIBSSH2_ERROR_EAGAIN && i < 8; i++) continue;
  s->call.step = NULL;
  for (int i = 0; s->session && libssh2_session_free(s->session) != 0 && i < 8; i++) continue;
  s->session = NULL;
  s->sftp = NULL;
  free_blocks(s);
  free(s->to_sign);
  s->to_sign = NULL;
  free(s->out);
  s->out = NULL;
  s->out_from = s->out_to = s->out_room = 0;
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}

void ssh_close(lua_State *L, ssh *s) {
  if (s->is_closed) return;
  s->is_closed = 1;
  if (s->is_working) {  // the thread leaves soon, and the last reference frees it
    shutdown(s->fd, SHUT_RDWR);
    return;
  }
  if (s->session && !s->error && !s->call.step)
    libssh2_session_disconnect(s->session, "closed by the client");
  if (s->fd >= 0) corun_release_fd(L, s->fd);
  free_session(s);
}

void ssh_ref(ssh *s) {
  s->refs++;
}

void ssh_unref(ssh *s) {
  if (--s->refs > 0) return;
  free_session(s);
  while (s->untidy) {
    ssh_file *f = s->untidy;
    s->untidy = f->next;
    free(f);
  }
  free(s->call.fresh);
  free(s->buffer);
  free(s);
}

void ssh_forget(ssh_file *f) {
  ssh *s = f->s;
  f->s = NULL;
  if (f->handle && s->session) {
    f->next = s->untidy;
    s->untidy = f;
  } else {
    free(f);
  }
  ssh_unref(s);
}

// --- Errors ----------------------------------------------------------------------------------

typedef struct status {
  const char *code, *text;
} status;

static status status_of(unsigned long number) {
  switch (number) {
    case LIBSSH2_FX_EOF: return (status){"EOF", "end of file"};
    case LIBSSH2_FX_NO_SUCH_FILE: return (status){"ENOENT", "no such file or directory"};
    case LIBSSH2_FX_PERMISSION_DENIED: return (status){"EACCES", "permission denied"};
    case LIBSSH2_FX_BAD_MESSAGE: return (status){"EPROTO", "bad message"};
    case LIBSSH2_FX_NO_CONNECTION: return (status){"ENOTCONN", "no connection"};
    case LIBSSH2_FX_CONNECTION_LOST: return (status){"ENOTCONN", "connection lost"};
    case LIBSSH2_FX_OP_UNSUPPORTED: return (status){"ENOTSUP", "not supported by the server"};
    case LIBSSH2_FX_INVALID_HANDLE: return (status){"EBADF", "invalid handle"};
    case LIBSSH2_FX_NO_SUCH_PATH: return (status){"ENOENT", "no such path"};
    case LIBSSH2_FX_FILE_ALREADY_EXISTS: return (status){"EEXIST", "file already exists"};
    case LIBSSH2_FX_WRITE_PROTECT: return (status){"EROFS", "write protected"};
    case LIBSSH2_FX_NO_MEDIA: return (status){"ENODEV", "no medium"};
    case LIBSSH2_FX_NO_SPACE_ON_FILESYSTEM: return (status){"ENOSPC", "no space left"};
    case LIBSSH2_FX_QUOTA_EXCEEDED: return (status){"EDQUOT", "quota exceeded"};
    case LIBSSH2_FX_LOCK_CONFLICT: return (status){"EBUSY", "locked"};
    case LIBSSH2_FX_DIR_NOT_EMPTY: return (status){"ENOTEMPTY", "directory not empty"};
    case LIBSSH2_FX_NOT_A_DIRECTORY: return (status){"ENOTDIR", "not a directory"};
    case LIBSSH2_FX_INVALID_FILENAME: return (status){"EINVAL", "invalid file name"};
    case LIBSSH2_FX_LINK_LOOP: return (status){"ELOOP", "too many symbolic links"};
    default: return (status){"ESFTP", "the server refused, without a reason"};
  }
}

static int is_refusal(ssize_t rc) {
  switch (rc) {
    case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
    case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
    case LIBSSH2_ERROR_PASSWORD_EXPIRED:
    case LIBSSH2_ERROR_KEYFILE_AUTH_FAILED:
    case LIBSSH2_ERROR_FILE: return 1;
    default: return 0;
  }
}

static int fail_dead(lua_State *L, const ssh *s) {
  switch (s->error) {
    case SSH_EOF:
      if (s->said[0])
        return corun_pusherrorf(L, "EOF", NULL, NULL, "the server ended the connection: %s",
                                s->said);
      return corun_pusherrorf(L, "EOF", NULL, NULL, "the server closed the connection");
    case SSH_BROKEN: return corun_pusherrorf(L, "ESSH", NULL, NULL, "%s", s->said);
    case -ETIMEDOUT:
      return corun_pusherrorf(L, "ETIMEDOUT", NULL, NULL, "the server was silent for %f seconds",
                              s->stall);
    default: return corun_pusherror(L, s->error, NULL, NULL);
  }
}

int ssh_fail(lua_State *L, ssh *s, ssize_t rc) {
  if (s->is_closed) return corun_pusherrorf(L, "ECLOSED", NULL, NULL, "closed while waiting");
  if (s->error) return fail_dead(L, s);
  char *text;
  libssh2_session_last_error(s->session, &text, NULL, 0);
  if (is_refusal(rc)) return corun_pusherrorf(L, "EAUTH", NULL, NULL, "%s", text);
  unsigned long number = s->sftp ? libssh2_sftp_last_error(s->sftp) : LIBSSH2_FX_OK;
  if (rc == LIBSSH2_ERROR_SFTP_PROTOCOL && number != LIBSSH2_FX_OK) {
    status st = status_of(number);
    corun_pusherrorf(L, st.code, NULL, NULL, "%s", st.text);
    lua_pushinteger(L, (lua_Integer)number);
    lua_setfield(L, -2, "status");
    return 2;
  }
  snprintf(s->said, sizeof s->said, "%s", text && *text ? text : "SSH failed");
  ssh_kill(s, SSH_BROKEN);
  return fail_dead(L, s);
}

// --- Calls -----------------------------------------------------------------------------------

ssh *ssh_check(lua_State *L) {
  ssh *s = *(ssh **)luaL_checkudata(L, 1, SSH_CLASS);
  if (s->is_closed) {
    corun_pusherrorf(L, "ECLOSED", NULL, NULL, "the connection is closed");
    lua_error(L);
  }
  return s;
}

// Keep the value at `idx` (0: nothing any more) as long as the connection.
static void hold(lua_State *L, int slot, int idx) {
  if (idx)
    lua_pushvalue(L, idx);
  else
    lua_pushnil(L);
  lua_setiuservalue(L, 1, slot);
}

ssh_call *ssh_prepare(lua_State *L, ssh *s, int a, int b) {
  corun_checkpoint(L);
  if (s->call.step) {
    luaL_error(L, "the connection is used by another task");
    return NULL;
  }
  free(s->call.fresh);
  s->call = (ssh_call){.n = 0};
  if (a) s->call.a = luaL_checklstring(L, a, &s->call.na);
  if (b && !lua_isuserdata(L, b)) s->call.b = luaL_checklstring(L, b, &s->call.nb);
  hold(L, SSH_HELD_A, a);
  hold(L, SSH_HELD_B, b);
  return &s->call;
}

static ssize_t step(ssh *s) {
  s->wants = s->idle = 0;
  int failed = flush(s);
  if (failed < 0) ssh_kill(s, failed);
  ssize_t rc = s->call.step(s);
  if (rc != LIBSSH2_ERROR_EAGAIN) return s->call.rc = rc;
  if (s->sftp && libssh2_channel_eof(libssh2_sftp_get_channel(s->sftp)) == 1) {
    snprintf(s->said, sizeof s->said, "its sftp service has gone");
    ssh_kill(s, SSH_EOF);
    rc = s->call.step(s);
  }
  if (s->out_to > 0) s->wants |= CORUN_WRITABLE;
  if (!s->wants) s->wants = CORUN_READABLE;
  return s->call.rc = rc;
}

static int on_ready(lua_State *L, void *arg, int events) {
  ssh *s = arg;
  if (s->is_closed) return ssh_fail(L, s, 0);
  if (events < 0) ssh_kill(s, events);
  return ssh_begin(L, s);
}

// A call that nobody waits for has ended: only what is final matters of how.
static int end_left(lua_State *L, ssh *s) {
  if (s->call.rc < 0) {
    ssh_fail(L, s, s->call.rc);
    lua_pop(L, 2);
  }
  if (s->call.undo) s->call.undo(s);
  return ssh_tidy(L, s);
}

// What follows a step.
static int go_on(lua_State *L, ssh *s) {
  if (s->is_closed) return ssh_fail(L, s, 0);
  if (s->call.rc == LIBSSH2_ERROR_EAGAIN && !s->error)
    return corun_await_fdk(L, s->fd, s->wants, s->stall, s, on_ready);
  s->call.step = NULL;
  if (s->call.nb) hold(L, SSH_HELD_B, 0);
  if (s->call.is_left) return end_left(L, s);
  if (s->has_raised) {
    s->has_raised = 0;
    lua_getiuservalue(L, 1, SSH_HELD_ERROR);
    return lua_error(L);
  }
  if (s->call.rc < 0) return ssh_fail(L, s, s->call.rc);
  return s->call.done(L, s);
}

// --- On a thread -----------------------------------------------------------------------------

static int think(void *op) {
  step(*(ssh **)op);
  return 0;
}

static int thought(lua_State *L, void *op, int rc) {
  ssh *s = *(ssh **)op;
  s->is_working = 0;
  if (s->is_closed) return ssh_fail(L, s, 0);
  if (rc < 0) step(s);  // there was no thread for it
  return go_on(L, s);
}

static void drop(void *op) {
  ssh *s = *(ssh **)op;
  s->is_working = 0;
  if (s->is_closed) free_session(s);
  ssh_unref(s);
}

static const corun_optype thinking = {
  .name = "sftp.login", .run = think, .done = thought, .drop = drop};

int ssh_begin(lua_State *L, ssh *s) {
  if (s->call.on_thread && !s->error) {
    ssh **op = corun_newop(L, &thinking, sizeof *op);
    *op = s;
    ssh_ref(s);
    s->is_working = 1;
    return corun_await(L, op);
  }
  s->L = L;
  step(s);
  s->L = NULL;
  return go_on(L, s);
}

// --- Tidying up ------------------------------------------------------------------------------

// A close that was left may have been of this very file.
static ssize_t step_close(ssh *s) {
  LIBSSH2_SFTP_HANDLE *handle = s->call.file->handle;
  return handle ? libssh2_sftp_close_handle(handle) : 0;
}

int ssh_is_untidy(const ssh *s) {
  return s->call.step || s->untidy;
}

int ssh_tidy(lua_State *L, ssh *s) {
  corun_checkpoint(L);
  if (!s->call.step) {
    if (!s->untidy) {
      lua_pushboolean(L, 1);
      return 1;
    }
    ssh_file *f = s->untidy;
    s->untidy = f->next;
    free(s->call.fresh);
    s->call = (ssh_call){.step = step_close, .file = f, .fresh = f};
  }
  s->call.is_left = 1;
  return ssh_begin(L, s);
}
