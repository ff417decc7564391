// SPDX-License-Identifier: MIT
// What is asked of the server once the service runs: files, directories, names. Each function gets
// the connection first, and answers a value, or nil and an error without operation and path, which
// the Lua half adds.
#include <stdlib.h>
#include <string.h>

#include "ssh.h"

#define NAME_ROOM (256 << 10)  // bytes: no packet that libssh2 takes is longer, nor a name in it
#define FRUGAL 4096            // read so little that libssh2 has one request under way

// The service, for a call that was prepared.
static LIBSSH2_SFTP *service(const ssh *s) {
  return s->sftp;
}

static ssh *check_started(lua_State *L) {
  ssh *s = ssh_check(L);
  if (!s->sftp) luaL_error(L, "the connection is not ready");
  return s;
}

static int done_true(lua_State *L, ssh *s) {
  (void)s;
  lua_pushboolean(L, 1);
  return 1;
}

// What libssh2 answers where it gives a pointer or none.
static ssize_t no_handle(const ssh *s) {
  int rc = libssh2_session_last_errno(s->session);
  return rc ? rc : LIBSSH2_ERROR_EAGAIN;
}

// --- Open, close -----------------------------------------------------------------------------

static ssh_file *check_file(lua_State *L, int idx) {
  ssh_file *f = *(ssh_file **)luaL_checkudata(L, idx, SSH_FILE_CLASS);
  if (!f || !f->handle) {
    corun_pusherrorf(L, "ECLOSED", NULL, NULL, "the file is closed");
    lua_error(L);
  }
  return f;
}

static int l_forget(lua_State *L) {
  ssh_file **box = luaL_checkudata(L, 1, SSH_FILE_CLASS);
  if (*box) ssh_forget(*box);
  *box = NULL;
  return 0;
}

static ssize_t step_open(ssh *s) {
  ssh_call *c = &s->call;
  int type = c->n ? LIBSSH2_SFTP_OPENDIR : LIBSSH2_SFTP_OPENFILE;
  c->opened = libssh2_sftp_open_ex(service(s), c->a, (unsigned)c->na, c->flags, c->mode, type);
  return c->opened ? 0 : no_handle(s);
}

static void undo_open(ssh *s) {
  ssh_file *f = s->call.fresh;
  s->call.fresh = NULL;
  f->handle = s->call.opened;
  ssh_ref(f->s = s);
  ssh_forget(f);
}

static int done_open(lua_State *L, ssh *s) {
  ssh_file **box = lua_touserdata(L, 5);
  ssh_file *f = s->call.fresh;
  s->call.fresh = NULL;
  f->handle = s->call.opened;
  ssh_ref(f->s = s);
  *box = f;
  lua_pushvalue(L, 5);
  return 1;
}

// connection, path, flags | nil: a directory, mode -> file | nil, err
static int l_open(lua_State *L) {
  ssh *s = check_started(L);
  unsigned long flags = (unsigned long)luaL_optinteger(L, 3, 0);
  long mode = (long)luaL_optinteger(L, 4, 0);
  lua_settop(L, 4);
  ssh_file **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, SSH_FILE_CLASS);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->fresh = calloc(1, sizeof *c->fresh);
  if (!c->fresh) return luaL_error(L, "not enough memory");
  c->flags = flags;
  c->mode = mode;
  c->n = lua_isnil(L, 3);
  c->step = step_open;
  c->done = done_open;
  c->undo = undo_open;
  return ssh_begin(L, s);
}

static ssize_t step_close(ssh *s) {
  ssh_file *f = s->call.file;
  ssize_t rc = libssh2_sftp_close_handle(f->handle);
  if (rc != LIBSSH2_ERROR_EAGAIN) f->handle = NULL;
  return rc;
}

// connection, file -> true | nil, err
static int l_close(lua_State *L) {
  ssh *s = check_started(L);
  ssh_file *f = check_file(L, 2);
  ssh_call *c = ssh_prepare(L, s, 0, 2);
  c->file = f;
  c->step = step_close;
  c->done = done_true;
  return ssh_begin(L, s);
}

// --- Read, write -----------------------------------------------------------------------------

static ssize_t read_some(ssh *s) {
  const ssh_call *c = &s->call;
  size_t n = c->file->is_frugal && c->n > FRUGAL ? FRUGAL : c->n;
  return libssh2_sftp_read(c->file->handle, s->buffer, n);
}

// libssh2 asks for much at once, and gives up on a server that answers less than it is asked for.
static ssize_t step_read(ssh *s) {
  ssh_file *f = s->call.file;
  ssize_t rc = read_some(s);
  char *text;
  if (rc != LIBSSH2_ERROR_SFTP_PROTOCOL || f->is_frugal) return rc;
  libssh2_session_last_error(s->session, &text, NULL, 0);
  if (!strstr(text, "Unexpected Offset")) return rc;
  f->is_frugal = 1;
  libssh2_sftp_seek64(f->handle, f->offset + 1);  // to where it is would be no move
  libssh2_sftp_seek64(f->handle, f->offset);
  return read_some(s);
}

static int done_read(lua_State *L, ssh *s) {
  if (s->call.rc == 0) {
    lua_pushnil(L);
    return 1;
  }
  s->call.file->offset += (libssh2_uint64_t)s->call.rc;
  lua_pushlstring(L, s->buffer, (size_t)s->call.rc);
  return 1;
}

static void undo_read(ssh *s) {
  const ssh_file *f = s->call.file;
  if (s->call.rc > 0) libssh2_sftp_seek64(f->handle, f->offset);
}

// connection, file, size -> some bytes, nil at the end | nil, err
static int l_read(lua_State *L) {
  ssh *s = check_started(L);
  ssh_file *f = check_file(L, 2);
  lua_Integer n = luaL_checkinteger(L, 3);
  luaL_argcheck(L, n > 0 && n <= 1 << 24, 3, "bad size");
  ssh_reserve(L, s, (size_t)n);
  ssh_call *c = ssh_prepare(L, s, 0, 2);
  c->file = f;
  c->n = (size_t)n;
  c->step = step_read;
  c->done = done_read;
  c->undo = undo_read;
  return ssh_begin(L, s);
}

// The whole of it, until the server has acknowledged it: a packet that was begun would else be cut
// in two by what is asked next.
static ssize_t step_write(ssh *s) {
  ssh_call *c = &s->call;
  while (c->n < c->na) {
    ssize_t rc = libssh2_sftp_write(c->file->handle, c->a + c->n, c->na - c->n);
    if (rc < 0) return rc;
    if (rc == 0) return LIBSSH2_ERROR_EAGAIN;
    c->n += (size_t)rc;
  }
  return 0;
}

static int done_write(lua_State *L, ssh *s) {
  s->call.file->offset += s->call.na;
  return done_true(L, s);
}

// connection, file, data -> true | nil, err
static int l_write(lua_State *L) {
  ssh *s = check_started(L);
  ssh_file *f = check_file(L, 2);
  ssh_call *c = ssh_prepare(L, s, 3, 2);
  c->file = f;
  c->step = step_write;
  c->done = done_write;
  return ssh_begin(L, s);
}

// connection, file, offset: where the next bytes are read or written. Asks nothing of the server.
static int l_seek(lua_State *L) {
  ssh_file *f = check_file(L, 2);
  lua_Integer offset = luaL_checkinteger(L, 3);
  luaL_argcheck(L, offset >= 0, 3, "negative");
  check_started(L);
  f->offset = (libssh2_uint64_t)offset;
  libssh2_sftp_seek64(f->handle, f->offset);
  return 0;
}

static int l_tell(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_file(L, 2)->offset);
  return 1;
}

// --- Attributes ------------------------------------------------------------------------------

static const char *kind_of(unsigned long mode) {
  switch (mode & LIBSSH2_SFTP_S_IFMT) {
    case LIBSSH2_SFTP_S_IFREG: return "file";
    case LIBSSH2_SFTP_S_IFDIR: return "directory";
    case LIBSSH2_SFTP_S_IFLNK: return "link";
    case LIBSSH2_SFTP_S_IFIFO: return "fifo";
    case LIBSSH2_SFTP_S_IFSOCK: return "socket";
    case LIBSSH2_SFTP_S_IFBLK: return "block";
    case LIBSSH2_SFTP_S_IFCHR: return "char";
    default: return "unknown";
  }
}

static void set(lua_State *L, const char *name, libssh2_uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void push_attributes(lua_State *L, const LIBSSH2_SFTP_ATTRIBUTES *a) {
  lua_createtable(L, 0, 8);
  int has_mode = (a->flags & LIBSSH2_SFTP_ATTR_PERMISSIONS) != 0;
  lua_pushstring(L, has_mode ? kind_of(a->permissions) : "unknown");
  lua_setfield(L, -2, "kind");
  if (has_mode) set(L, "mode", a->permissions & 07777);
  if (a->flags & LIBSSH2_SFTP_ATTR_SIZE) set(L, "size", a->filesize);
  if (a->flags & LIBSSH2_SFTP_ATTR_UIDGID) {
    set(L, "uid", a->uid);
    set(L, "gid", a->gid);
  }
  if (a->flags & LIBSSH2_SFTP_ATTR_ACMODTIME) {
    set(L, "atime", a->atime);
    set(L, "mtime", a->mtime);
  }
}

static ssize_t step_entry(ssh *s) {
  ssh_call *c = &s->call;
  return libssh2_sftp_readdir_ex(c->file->handle, s->buffer, NAME_ROOM, NULL, 0, &c->attrs);
}

static int done_entry(lua_State *L, ssh *s) {
  if (s->call.rc == 0) {
    lua_pushnil(L);
    return 1;
  }
  push_attributes(L, &s->call.attrs);
  lua_pushlstring(L, s->buffer, (size_t)s->call.rc);
  lua_setfield(L, -2, "name");
  return 1;
}

// connection, directory -> the attributes of an entry and its name, nil at the end | nil, err
static int l_entry(lua_State *L) {
  ssh *s = check_started(L);
  ssh_file *f = check_file(L, 2);
  ssh_reserve(L, s, NAME_ROOM);
  ssh_call *c = ssh_prepare(L, s, 0, 2);
  c->file = f;
  c->step = step_entry;
  c->done = done_entry;
  return ssh_begin(L, s);
}

static ssize_t step_stat(ssh *s) {
  ssh_call *c = &s->call;
  return libssh2_sftp_stat_ex(service(s), c->a, (unsigned)c->na, (int)c->flags, &c->attrs);
}

static int done_stat(lua_State *L, ssh *s) {
  push_attributes(L, &s->call.attrs);
  return 1;
}

// connection, path, whether links are followed -> attributes | nil, err
static int l_stat(lua_State *L) {
  ssh *s = check_started(L);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->flags = lua_toboolean(L, 3) ? LIBSSH2_SFTP_STAT : LIBSSH2_SFTP_LSTAT;
  c->step = step_stat;
  c->done = done_stat;
  return ssh_begin(L, s);
}

// connection, path, mode -> true | nil, err
static int l_chmod(lua_State *L) {
  ssh *s = check_started(L);
  lua_Integer mode = luaL_checkinteger(L, 3);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->flags = LIBSSH2_SFTP_SETSTAT;
  c->attrs.flags = LIBSSH2_SFTP_ATTR_PERMISSIONS;
  c->attrs.permissions = (unsigned long)mode;
  c->step = step_stat;
  c->done = done_true;
  return ssh_begin(L, s);
}

// --- Names -----------------------------------------------------------------------------------

static ssize_t step_remove(ssh *s) {
  return libssh2_sftp_unlink_ex(service(s), s->call.a, (unsigned)s->call.na);
}

static ssize_t step_rmdir(ssh *s) {
  return libssh2_sftp_rmdir_ex(service(s), s->call.a, (unsigned)s->call.na);
}

static ssize_t step_mkdir(ssh *s) {
  return libssh2_sftp_mkdir_ex(service(s), s->call.a, (unsigned)s->call.na, s->call.mode);
}

static ssize_t step_rename(ssh *s) {
  const ssh_call *c = &s->call;
#if LIBSSH2_VERSION_NUM >= 0x010b00
  if (c->flags) return libssh2_sftp_posix_rename_ex(service(s), c->a, c->na, c->b, c->nb);
#endif
  return libssh2_sftp_rename_ex(service(s), c->a, (unsigned)c->na, c->b, (unsigned)c->nb,
                                c->flags ? LIBSSH2_SFTP_RENAME_OVERWRITE : 0);
}

static ssize_t step_path(ssh *s) {
  const ssh_call *c = &s->call;
  return libssh2_sftp_symlink_ex(service(s), c->a, (unsigned)c->na, s->buffer, NAME_ROOM,
                                 (int)c->flags);
}

static int done_path(lua_State *L, ssh *s) {
  lua_pushlstring(L, s->buffer, (size_t)s->call.rc);
  return 1;
}

static int simple(lua_State *L, ssize_t (*step)(ssh *s), int second) {
  ssh *s = check_started(L);
  ssh_call *c = ssh_prepare(L, s, 2, second);
  c->step = step;
  c->done = done_true;
  return ssh_begin(L, s);
}

static int l_remove(lua_State *L) {
  return simple(L, step_remove, 0);
}

static int l_rmdir(lua_State *L) {
  return simple(L, step_rmdir, 0);
}

// connection, path, mode -> true | nil, err
static int l_mkdir(lua_State *L) {
  ssh *s = check_started(L);
  long mode = (long)luaL_checkinteger(L, 3);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->mode = mode;
  c->step = step_mkdir;
  c->done = done_true;
  return ssh_begin(L, s);
}

// connection, from, to, whether `to` is replaced, where that can be said -> true | nil, err
static int l_rename(lua_State *L) {
  ssh *s = check_started(L);
  ssh_call *c = ssh_prepare(L, s, 2, 3);
  c->flags = (unsigned long)lua_toboolean(L, 4);
  c->step = step_rename;
  c->done = done_true;
  return ssh_begin(L, s);
}

// connection, path, whether it is a link that is to be read -> path | nil, err
static int l_path(lua_State *L) {
  ssh *s = check_started(L);
  ssh_reserve(L, s, NAME_ROOM);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->flags = lua_toboolean(L, 3) ? LIBSSH2_SFTP_READLINK : LIBSSH2_SFTP_REALPATH;
  c->step = step_path;
  c->done = done_path;
  return ssh_begin(L, s);
}

const luaL_Reg ssh_file_functions[] = {
  {"open", l_open},   {"close", l_close},   {"forget", l_forget}, {"read", l_read},
  {"write", l_write}, {"seek", l_seek},     {"tell", l_tell},     {"entry", l_entry},
  {"stat", l_stat},   {"chmod", l_chmod},   {"remove", l_remove}, {"rmdir", l_rmdir},
  {"mkdir", l_mkdir}, {"rename", l_rename}, {"path", l_path},     {NULL, NULL}};
