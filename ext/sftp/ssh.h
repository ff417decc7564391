// SPDX-License-Identifier: MIT
// One connection of SSH: the session of libssh2, its socket, and the call of libssh2 that is under
// way. libssh2 must be asked again, with the same arguments, until it no longer answers "again";
// so there is one call at a time (the Lua half has a lock), and one whose task was cancelled stays
// where it is until ssh_tidy brings it to its end.
//
// Runs on the loop thread, but for `step`, which is on one of corun's threads where it computes
// much (on_thread). Invariant: what libssh2 has allocated is in `blocks`, so that nothing of it is
// left.
#ifndef EXT_SFTP_SSH_H
#define EXT_SFTP_SSH_H

#include <corun.h>
#include <libssh2.h>
#include <libssh2_sftp.h>
#include <stddef.h>
#include <sys/types.h>

#define SSH_CLASS "corun.sftp.ssh"
#define SSH_FILE_CLASS "corun.sftp.file"

typedef struct ssh ssh;

// A file or directory that is open on the server. Owned by its userdata, then by the list of those
// that are still to be closed.
typedef struct ssh_file {
  LIBSSH2_SFTP_HANDLE *handle;  // NULL: closed
  ssh *s;                       // counted
  struct ssh_file *next;
  libssh2_uint64_t offset;  // behind what was given to the script
  int is_frugal;            // the server answers less than it is asked for: one request at a time
} ssh_file;

// A call of libssh2 that is under way. Strings are kept by the user values of the userdata.
typedef struct ssh_call {
  ssize_t (*step)(ssh *s);            // no Lua; NULL: nothing is under way
  int (*done)(lua_State *L, ssh *s);  // push the results; `rc` is 0 or more
  void (*undo)(ssh *s);               // instead, when it is left, whatever `rc` is; may be NULL
  int on_thread;                      // it computes much
  int is_left;                        // its task was cancelled
  ssize_t rc;
  const char *a, *b;
  size_t na, nb, n;
  unsigned long flags;
  long mode;
  ssh_file *file;   // its userdata is kept as the strings are
  ssh_file *fresh;  // owned by the call
  LIBSSH2_SFTP_HANDLE *opened;
  LIBSSH2_SFTP_ATTRIBUTES attrs;
} ssh_call;

typedef struct ssh_block {
  struct ssh_block *next, *prev;
} ssh_block;

struct ssh {
  int refs;
  int fd;  // -1: none
  LIBSSH2_SESSION *session;
  LIBSSH2_SFTP *sftp;
  ssh_call call;
  ssh_block blocks;  // what libssh2 has allocated
  ssh_file *untidy;  // to be closed before the next call
  char *buffer;      // of the call under way
  size_t room;
  double stall;  // seconds that the server may be silent
  char *out;     // what the socket did not take yet
  size_t out_from, out_to, out_room;
  int wants;       // events that the last step asked for
  int idle;        // reads of the last step that found nothing
  int is_closed;   // by the script
  int is_working;  // a thread is in `step`
  int error;       // why nothing works any more: a negative errno, SSH_EOF, SSH_BROKEN; 0: it does
  char said[256];  // what the server, or libssh2, said of that
  lua_State *L;    // in a step on the loop
  int has_raised;  // what answers the prompts has; the error is a user value
  int wants_sign, refuses;
  char *to_sign;
  size_t to_sign_size;
  const char *signature;
  size_t signature_size;
};

#define SSH_EOF (-100001)
#define SSH_BROKEN (-100002)

enum { SSH_HELD_A = 1, SSH_HELD_B, SSH_HELD_ERROR, SSH_HELD_COUNT = SSH_HELD_ERROR };

// The connection at index 1; raises when that is none or it was closed. [loop]
ssh *ssh_check(lua_State *L);

// Prepare a call: the string at `a`, the string or file at `b` (0: none) are kept until it has
// ended.
ssh_call *ssh_prepare(lua_State *L, ssh *s, int a, int b);

// Begin the call that was prepared, or go on with it; to be returned. Gives what its `done` pushes,
// or nil and an error.
int ssh_begin(lua_State *L, ssh *s);

// End the call that was left by a cancelled task, and close what is to be closed; to be returned.
int ssh_tidy(lua_State *L, ssh *s);

// Say whether ssh_tidy has something to do.
int ssh_is_untidy(const ssh *s);

// Have all further steps fail at once.
void ssh_kill(ssh *s, int error);

// Push nil and the error that `rc` of libssh2 is; answer 2.
int ssh_fail(lua_State *L, ssh *s, ssize_t rc);

// Make the session of libssh2. Answers 0 or -ENOMEM.
int ssh_open(ssh *s);

// Leave the server, end the waits of other tasks, free all as soon as no thread uses it.
void ssh_close(lua_State *L, ssh *s);

void ssh_ref(ssh *s);
void ssh_unref(ssh *s);

// Memory as libssh2 gets it, for what it shall free.
void *ssh_alloc(ssh *s, size_t size);

// Make the buffer hold `size` bytes. Raises on out of memory. [loop]
void ssh_reserve(lua_State *L, ssh *s, size_t size);

// A file leaves its userdata: close it with the next call, if the connection is still there.
void ssh_forget(ssh_file *f);

// The functions of the module.
int ssh_l_connect(lua_State *L);
int ssh_l_handshake(lua_State *L);
int ssh_l_methods(lua_State *L);
int ssh_l_password(lua_State *L);
int ssh_l_prompts(lua_State *L);
int ssh_l_key(lua_State *L);
int ssh_l_agent(lua_State *L);
int ssh_l_start(lua_State *L);
extern const luaL_Reg ssh_file_functions[];

#endif
