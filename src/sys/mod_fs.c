// SPDX-License-Identifier: MIT
// corun.fscore: the bindings of files; lua/corun/fs.lua makes the module corun.fs of them. The
// arguments are those of fs.lua, which has checked the options. Runs on the loop thread.
#include <fcntl.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"
#include "io/stream_lua.h"
#include "sys/fs_fetch.h"
#include "sys/fs_lua.h"
#include "sys/fs_path.h"
#include "sys/fs_whole.h"
#include "sys/mods.h"

#define LIST_STEP 4096  // names that are pushed before others have their turn
#define TEMPDIR_CLASS "corun.tempdir"

// --- Arguments and results -------------------------------------------------------------------

const char *fs_check_path(lua_State *L, int idx) {
  size_t n;
  const char *s = arg_lstring(L, idx, &n);
  if (strlen(s) != n) err_misuse(L, "a path must not contain a zero byte");
  return s;
}

const char *fs_kind_name(char kind) {
  switch (kind) {
    case 'f': return "file";
    case 'd': return "directory";
    case 'l': return "link";
    case 'p': return "fifo";
    case 's': return "socket";
    case 'b': return "block";
    case 'c': return "char";
    default: return "unknown";
  }
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void set_time(lua_State *L, const char *name, const uv_timespec_t *t) {
  lua_pushnumber(L, (double)t->tv_sec + (double)t->tv_nsec / 1e9);
  lua_setfield(L, -2, name);
}

void fs_push_stat(lua_State *L, const uv_stat_t *st) {
  lua_createtable(L, 0, 13);
  lua_pushstring(L, fs_kind_name(fs_kind_of(st->st_mode)));
  lua_setfield(L, -2, "kind");
  set_integer(L, "size", st->st_size);
  set_integer(L, "mode", st->st_mode & 07777);
  set_integer(L, "uid", st->st_uid);
  set_integer(L, "gid", st->st_gid);
  set_integer(L, "ino", st->st_ino);
  set_integer(L, "dev", st->st_dev);
  set_integer(L, "links", st->st_nlink);
  set_integer(L, "blocks", st->st_blocks);
  set_time(L, "mtime", &st->st_mtim);
  set_time(L, "atime", &st->st_atim);
  set_time(L, "ctime", &st->st_ctim);
  set_time(L, "btime", &st->st_birthtim);
}

// Suspend for an operation that was made in a frame that has all it needs.
static int begin(lua_State *L, fs_op *o) {
  task_checkpoint(L);
  wait_check(L);
  return fs_begin(L, o);
}

static int on_done(lua_State *L, fs_op *o) {
  if (o->rc < 0) return fs_fail(L, o);
  lua_pushboolean(L, 1);
  return 1;
}

// --- Operations on paths ---------------------------------------------------------------------

static int on_stat(lua_State *L, fs_op *o) {
  if (o->rc < 0) return fs_fail(L, o);
  fs_push_stat(L, &((fs_path *)(void *)o)->st);
  return 1;
}

static int on_text(lua_State *L, fs_op *o) {
  if (o->rc < 0) return fs_fail(L, o);
  lua_pushstring(L, ((fs_path *)(void *)o)->text);
  return 1;
}

// The path that failed, below the one that was given or the copy's, says more than that one.
static int on_blamed(lua_State *L, fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  if (p->culprit) o->target = p->culprit;
  return on_done(L, o);
}

// Either path may be the cause.
static int on_moved(lua_State *L, fs_op *o) {
  const fs_path *p = (fs_path *)(void *)o;
  if (o->rc < 0) o->target = lua_pushfstring(L, "%s to %s", p->a, p->b);
  return on_done(L, o);
}

static fs_path *make(lua_State *L, const fs_optype *type, int paths) {
  const char *a = fs_check_path(L, 1), *b = paths > 1 ? fs_check_path(L, 2) : NULL;
  return fs_path_new(L, type, a, b);
}

static int l_stat(lua_State *L) {
  static const fs_optype type = {
    .op = "stat", .run = fs_run_stat, .done = on_stat, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 1);
  p->flag = lua_toboolean(L, 2);
  return begin(L, &p->o);
}

static int l_mkdir(lua_State *L) {
  static const fs_optype type = {
    .op = "mkdir", .run = fs_run_mkdir, .done = on_done, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 1);
  p->flag = lua_toboolean(L, 2);
  p->mode = (int)arg_opt_integer(L, 3, -1);
  return begin(L, &p->o);
}

static int l_remove(lua_State *L) {
  static const fs_optype type = {
    .op = "remove", .run = fs_run_remove, .done = on_blamed, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 1);
  p->flag = lua_toboolean(L, 2);
  return begin(L, &p->o);
}

static int l_rename(lua_State *L) {
  static const fs_optype type = {
    .op = "rename", .run = fs_run_rename, .done = on_moved, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 2);
  p->flag = lua_toboolean(L, 3);
  return begin(L, &p->o);
}

static int l_link(lua_State *L) {
  static const fs_optype type = {
    .op = "link", .run = fs_run_link, .done = on_moved, .drop = fs_path_drop};
  return begin(L, &make(L, &type, 2)->o);
}

static int l_symlink(lua_State *L) {
  static const fs_optype type = {
    .op = "symlink", .run = fs_run_symlink, .done = on_done, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 2);
  p->o.target = p->b;
  return begin(L, &p->o);
}

static int l_readlink(lua_State *L) {
  static const fs_optype type = {
    .op = "readlink", .run = fs_run_readlink, .done = on_text, .drop = fs_path_drop};
  return begin(L, &make(L, &type, 1)->o);
}

static int l_realpath(lua_State *L) {
  static const fs_optype type = {
    .op = "realpath", .run = fs_run_realpath, .done = on_text, .drop = fs_path_drop};
  return begin(L, &make(L, &type, 1)->o);
}

static int l_chmod(lua_State *L) {
  static const fs_optype type = {
    .op = "chmod", .run = fs_run_chmod, .done = on_done, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 1);
  p->mode = (int)arg_integer(L, 2);
  return begin(L, &p->o);
}

// Seconds since 1970, as far as files can have them.
static double check_instant(lua_State *L, int idx) {
  double t = arg_number(L, idx);
  arg_check(L, fabs(t) < 1e15, idx, "the time is out of range");
  return t;
}

static int l_utime(lua_State *L) {
  static const fs_optype type = {
    .op = "utime", .run = fs_run_utime, .done = on_done, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 1);
  p->atime = check_instant(L, 2);
  p->mtime = check_instant(L, 3);
  return begin(L, &p->o);
}

static int l_copy(lua_State *L) {
  static const fs_optype type = {
    .op = "copy", .run = fs_run_copy, .done = on_blamed, .drop = fs_path_drop};
  fs_path *p = make(L, &type, 2);
  p->flag = lua_toboolean(L, 3);
  return begin(L, &p->o);
}

// --- Listing: the frame is the path, the operation, the names, the kinds -----------------------

static int on_listed(lua_State *L, fs_op *o);

static int on_rested(lua_State *L, void *arg, int rc) {
  (void)rc;
  return on_listed(L, arg);
}

static const wait_ops rest_ops = {"other tasks", NULL, on_rested, NULL};

// A long list is made in steps: the loop is not kept from its other tasks.
static int on_listed(lua_State *L, fs_op *o) {
  const fs_names *l = ((fs_path *)(void *)o)->names;
  if (o->rc < 0) return fs_fail(L, o);
  if (lua_gettop(L) < 4) {
    lua_settop(L, 2);
    int n = l->n < INT32_MAX ? (int)l->n : 0;
    lua_createtable(L, n, 0);
    lua_createtable(L, n, 0);
  }
  size_t i = (size_t)lua_rawlen(L, 3), end = i + LIST_STEP < l->n ? i + LIST_STEP : l->n;
  for (; i < end; i++) {
    const char *entry = l->bytes + l->entries[i];
    lua_pushstring(L, entry + 1);
    lua_rawseti(L, 3, (lua_Integer)i + 1);
    lua_pushstring(L, fs_kind_name(*entry));
    lua_rawseti(L, 4, (lua_Integer)i + 1);
  }
  if (i < l->n && wait_is_possible(L))
    return wait_begin_until(L, &rest_ops, o, timer_after(rt_of(L), 0));
  return 2;
}

static int l_list(lua_State *L) {
  static const fs_optype type = {
    .op = "list", .run = fs_run_list, .done = on_listed, .drop = fs_path_drop};
  lua_settop(L, 1);
  return begin(L, &make(L, &type, 1)->o);
}

// --- Whole files -----------------------------------------------------------------------------

// Push what is open. Answers the number of results.
static int push_opened(lua_State *L, const fs_op *o, const fs_opened *opened) {
  int rc = fs_push_opened(L, opened);
  return rc < 0 ? err_return_uv(L, rc, o->type->op, o->target) : 1;
}

static int on_read(lua_State *L, fs_op *o) {
  fs_read *p = (fs_read *)(void *)o;
  if (o->rc == UV_EMSGSIZE)
    return err_return(L, "EMSGSIZE", "read", p->path, "it is longer than the limit (max)");
  if (o->rc < 0) return fs_fail(L, o);
  const fs_opened opened = {.fd = &p->s.fd, .path = p->path, .waits = 1, .flags = O_RDONLY};
  if (p->waits) return push_opened(L, o, &opened);
  char *block = p->s.block;
  p->s.block = NULL;
  bytes_push(L, block, p->s.head, p->s.n);
  return 1;
}

static int l_read(lua_State *L) {
  static const fs_optype type = {
    .op = "read", .run = fs_run_read, .done = on_read, .drop = fs_read_drop};
  const char *path = fs_check_path(L, 1);
  size_t head = bytes_head(rt_of(L));
  fs_read *p = fs_new(L, &type, sizeof *p + strlen(path) + 1);
  p->s.fd = -1;
  p->s.head = head;
  p->s.limit = SIZE_MAX;
  p->s.max = (size_t)arg_opt_integer(L, 2, 0);
  strcpy(p->path, path);
  p->o.target = p->path;
  return begin(L, &p->o);
}

static int on_write(lua_State *L, fs_op *o) {
  fs_write *p = (fs_write *)(void *)o;
  if (o->rc < 0) return fs_fail(L, o);
  const fs_opened opened = {.fd = &p->fd, .path = p->path, .waits = 1, .flags = O_WRONLY};
  if (p->waits) return push_opened(L, o, &opened);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_write(lua_State *L) {
  static const fs_optype type = {
    .op = "write", .run = fs_run_write, .done = on_write, .drop = fs_write_drop};
  const char *path = fs_check_path(L, 1);
  arg_string(L, 2);
  fs_write *p = fs_new(L, &type, sizeof *p + strlen(path) + 1);
  p->fd = p->dir = -1;
  p->data = lua_tolstring(L, 2, &p->len);
  p->o.is_long = p->len > FS_FIRST;
  p->append = lua_toboolean(L, 3);
  p->atomic = lua_toboolean(L, 4);
  p->mode = (int)arg_opt_integer(L, 5, -1);
  strcpy(p->path, path);
  p->o.target = p->path;
  return begin(L, &p->o);
}

// --- Opening ---------------------------------------------------------------------------------

static int on_opened(lua_State *L, fs_op *o) {
  fs_opening *p = (fs_opening *)(void *)o;
  if (o->rc < 0) return fs_fail(L, o);
  fs_opened opened = {.fd = &p->fd,
                      .path = p->path,
                      .waits = p->waits,
                      .flags = p->flags,
                      .mode = p->st_mode,
                      .is_temp = p->is_temp};
  return push_opened(L, o, &opened);
}

static fs_opening *make_opening(lua_State *L, const fs_optype *type) {
  const char *path = fs_check_path(L, 1);
  fs_opening *p = fs_new(L, type, sizeof *p + strlen(path) + 1);
  p->fd = -1;
  strcpy(p->path, path);
  p->o.target = p->path;
  return p;
}

// The flags of a mode as of C's fopen, -1 when it is none.
static int read_mode(const char *s) {
  int flags;
  char first = *s;
  switch (*s++) {
    case 'r': flags = 0; break;
    case 'w': flags = O_CREAT | O_TRUNC; break;
    case 'a': flags = O_CREAT | O_APPEND; break;
    default: return -1;
  }
  int is_binary = *s == 'b';
  s += is_binary;
  int is_both = *s == '+';
  s += is_both;
  if (*s == 'b' && !is_binary) s++;
  if (*s == 'x' && first == 'w') {
    flags |= O_EXCL;
    s++;
  }
  flags |= is_both ? O_RDWR : first == 'r' ? O_RDONLY : O_WRONLY;
  return *s ? -1 : flags;
}

static int l_open(lua_State *L) {
  static const fs_optype type = {
    .op = "open", .run = fs_run_open, .done = on_opened, .drop = fs_open_drop};
  const char *mode = arg_opt_string(L, 2, "r");
  int flags = lua_isnoneornil(L, 2) || strlen(mode) == lua_rawlen(L, 2) ? read_mode(mode) : -1;
  if (flags < 0)
    return err_misuse(L,
                      "bad mode \"%s\" for open: \"r\", \"w\" or \"a\", then \"+\" and \"b\", "
                      "then \"x\" after \"w\"",
                      mode);
  fs_opening *p = make_opening(L, &type);
  p->flags = flags;
  p->mode = (int)arg_opt_integer(L, 3, -1);
  return begin(L, &p->o);
}

// path ending with XXXXXX, permissions
static int l_temp(lua_State *L) {
  static const fs_optype type = {
    .op = "temp", .run = fs_run_open, .done = on_opened, .drop = fs_open_drop};
  fs_opening *p = make_opening(L, &type);
  p->flags = O_RDWR;
  p->is_temp = 1;
  p->mode = (int)arg_opt_integer(L, 2, -1);
  return begin(L, &p->o);
}

// --- Files for servers -----------------------------------------------------------------------

static int push_fetched(lua_State *L, fs_op *o, fs_fetch *p) {
  const fs_opened opened = {
    .fd = &p->fd, .path = p->path, .flags = O_RDONLY, .mode = p->st.st_mode};
  if (p->fd >= 0) return push_opened(L, o, &opened) == 1;
  if (p->block) {
    char *block = p->block;
    p->block = NULL;
    bytes_push(L, block, p->head, p->n);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

// Results: the kind, the bytes or the open file, size, mtime in nanoseconds, number of the file.
static int on_fetched(lua_State *L, fs_op *o) {
  fs_fetch *p = (fs_fetch *)(void *)o;
  if (o->rc < 0) return fs_fail(L, o);
  const struct stat st = p->st;
  lua_Integer size = p->block ? (lua_Integer)p->n : (lua_Integer)st.st_size;
#ifdef __APPLE__
  lua_Integer nsec = st.st_mtimespec.tv_nsec;
#else
  lua_Integer nsec = st.st_mtim.tv_nsec;
#endif
  lua_pushstring(L, fs_kind_name(fs_kind_of(st.st_mode)));
  if (!push_fetched(L, o, p)) return 2;
  lua_pushinteger(L, size);
  lua_pushinteger(L, (lua_Integer)st.st_mtime * 1000000000 + nsec);
  lua_pushinteger(L, (lua_Integer)st.st_ino);
  return 5;
}

// fetch(folder, path, is_look): a file below a folder, its bytes if it is small; with `is_look`
// only what is known of it.
static int l_fetch(lua_State *L) {
  static const fs_optype type = {
    .op = "open", .run = fs_run_fetch, .done = on_fetched, .drop = fs_fetch_drop};
  const char *root = fs_check_path(L, 1), *path = fs_check_path(L, 2);
  size_t n = strlen(root) + 1;
  fs_fetch *p = fs_new(L, &type, sizeof *p + n + strlen(path) + 1);
  p->fd = -1;
  p->head = bytes_head(rt_of(L));
  p->is_look = lua_toboolean(L, 3);
  p->root = memcpy(p->bytes, root, n);
  p->path = strcpy(p->bytes + n, path);
  p->o.target = p->path;
  return begin(L, &p->o);
}

// --- Temporary directories -------------------------------------------------------------------

// What removes it is made with it, so that the collector can set it off.
typedef struct tempdir {
  fs_path *removal;  // NULL once it was begun
  uint32_t closed_at;
  char path[];
} tempdir;

static int on_nothing(lua_State *L, fs_op *o) {
  (void)o;
  lua_pushboolean(L, 1);
  return 1;
}

static const fs_optype removal_type = {
  .op = "remove", .run = fs_run_remove, .done = on_nothing, .drop = fs_path_drop};

static fs_path *make_removal(rt *r, const char *path) {
  size_t n = strlen(path) + 1;
  fs_path *p = fs_new_bare(r, &removal_type, sizeof *p + n);
  if (!p) return NULL;
  memcpy(p->bytes, path, n);
  p->a = p->o.target = p->bytes;
  p->flag = 1;
  return p;
}

// The frame has an empty box at 2, made before anything was.
static int on_tempdir(lua_State *L, fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  if (o->rc < 0) return fs_fail(L, o);
  tempdir **box = lua_touserdata(L, 2);
  size_t n = strlen(p->text) + 1;
  tempdir *d = malloc(sizeof *d + n);
  fs_path *removal = d ? make_removal(rt_of(L), p->text) : NULL;
  if (!removal) {
    free(d);
    return err_return_uv(L, UV_ENOMEM, "temp", p->a);
  }
  memcpy(d->path, p->text, n);
  d->removal = removal;
  d->closed_at = 0;
  *box = d;
  free(p->text);  // it is the box's now
  p->text = NULL;
  interrupt_closable(L);
  lua_settop(L, 2);
  return 1;
}

// If nobody takes the directory it is removed.
static void drop_tempdir(fs_op *o) {
  fs_path *p = (fs_path *)(void *)o;
  fs_path *removal = p->text && o->rc == 0 ? make_removal(o->r, p->text) : NULL;
  if (removal) fs_detach(&removal->o);
  fs_path_drop(o);
}

static int l_tempdir(lua_State *L) {
  static const fs_optype type = {
    .op = "temp", .run = fs_run_tempdir, .done = on_tempdir, .drop = drop_tempdir};
  fs_check_path(L, 1);
  lua_settop(L, 1);
  tempdir **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, TEMPDIR_CLASS);
  return begin(L, &make(L, &type, 1)->o);
}

static tempdir *check_tempdir(lua_State *L) {
  tempdir **box = arg_object(L, 1, TEMPDIR_CLASS);
  arg_check(L, *box, 1, "it is empty");
  return *box;
}

static int l_tempdir_path(lua_State *L) {
  lua_pushstring(L, check_tempdir(L)->path);
  return 1;
}

// The path to remove, once; else nil. The caller does it: closing suspends.
static int l_tempdir_take(lua_State *L) {
  tempdir *d = check_tempdir(L);
  if (!d->removal) return 0;
  fs_discard(&d->removal->o);
  d->removal = NULL;
  d->closed_at = site_here(L, 0);
  lua_pushstring(L, d->path);
  return 1;
}

static int l_tempdir_gc(lua_State *L) {
  tempdir **box = lua_touserdata(L, 1), *d = *box;
  *box = NULL;
  if (d && d->removal) fs_detach(&d->removal->o);
  free(d);
  return 0;
}

static int l_tempdir_tostring(lua_State *L) {
  tempdir *d = *(tempdir **)arg_object(L, 1, TEMPDIR_CLASS);
  lua_pushfstring(L, "temporary directory (%s, %s)", d ? d->path : "",
                  d && d->removal ? "open" : "closed");
  return 1;
}

static void open_tempdirs(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"path", l_tempdir_path}, {"_take", l_tempdir_take}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
    {"__gc", l_tempdir_gc}, {"__tostring", l_tempdir_tostring}, {NULL, NULL}};
  if (luaL_newmetatable(L, TEMPDIR_CLASS)) {
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "temporary directory");
    lua_setfield(L, -2, "__name");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}

// --- Opening the module ----------------------------------------------------------------------

// The methods of a class, for fs.lua to add to.
static void export_methods(lua_State *L, const char *class, const char *name) {
  luaL_getmetatable(L, class);
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, name);
  lua_pop(L, 1);
}

int luaopen_corun_fscore(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"read", l_read},         {"write", l_write},       {"open", l_open},   {"temp", l_temp},
    {"tempdir", l_tempdir},   {"stat", l_stat},         {"list", l_list},   {"mkdir", l_mkdir},
    {"remove", l_remove},     {"rename", l_rename},     {"link", l_link},   {"symlink", l_symlink},
    {"readlink", l_readlink}, {"realpath", l_realpath}, {"chmod", l_chmod}, {"utime", l_utime},
    {"copy", l_copy},         {"watch", fs_l_watch},    {"fetch", l_fetch}, {NULL, NULL}};
  fs_open_classes(L);
  open_tempdirs(L);
  fs_open_watches(L);
  luaL_newlib(L, functions);
  export_methods(L, FILE_CLASS, "file");
  export_methods(L, FIFO_CLASS, "fifo");
  export_methods(L, TEMPDIR_CLASS, "directory");
  luaL_getmetatable(L, TEMPDIR_CLASS);
  lua_setfield(L, -2, "directory_mt");
#ifdef __APPLE__
  lua_pushboolean(L, 1);
#else
  lua_pushboolean(L, 0);
#endif
  lua_setfield(L, -2, "watches_trees");
  return 1;
}
