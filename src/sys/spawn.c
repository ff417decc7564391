// SPDX-License-Identifier: MIT
// Starting a program with posix_spawn, which lets the child borrow this process's memory until it
// runs the program (CLONE_VFORK in glibc) and holds back signals meanwhile. See spawn.h. The folder
// to run in is opened here, and the program looked up here, so that each failure has a name.
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "core/host.h"

#ifdef __GLIBC__
#define CAN_CLOSE_FROM __GLIBC_PREREQ(2, 34)
#else
#define CAN_CLOSE_FROM 0
#endif

#ifdef O_PATH
#define OPEN_FOLDER O_PATH
#else
#define OPEN_FOLDER O_RDONLY
#endif

#ifdef __APPLE__
extern char **environ;
#endif

// --- Finding the program ---------------------------------------------------------------------

static const char *search_path(char *const *env) {
  for (; env && *env; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return "/usr/local/bin:/usr/bin:/bin";
}

// Whether there is a file that may be run: 0 or an errno.
static int probe(int folder, const char *path) {
  struct stat st;
  if (fstatat(folder, path, &st, 0) < 0) return errno;
  if (!S_ISREG(st.st_mode)) return EACCES;
  return faccessat(folder, path, X_OK, 0) < 0 ? errno : 0;
}

// Find the program in the path that its own environment names. Answers 0 or an error.
static int find_program(const char *name, char *const *env, int folder, char *buf, size_t size) {
  int rc = UV_ENOENT;
  const char *at = search_path(env), *end;
  for (; *name; at = end + 1) {
    end = strchr(at, ':');
    size_t n = end ? (size_t)(end - at) : strlen(at);
    int used = snprintf(buf, size, "%.*s/%s", n ? (int)n : 1, n ? at : ".", name);
    int e = used > 0 && (size_t)used < size ? probe(folder, buf) : ENAMETOOLONG;
    if (e == 0) return 0;
    if (e == EACCES) rc = UV_EACCES;
    if (!end) break;
  }
  return rc;
}

// --- What the child does before it runs the program ------------------------------------------

static int set_stdio(posix_spawn_file_actions_t *fa, const spawn_plan *p) {
  int rc = 0;
  if (p->tty) {  // opened by the leader of a session without a terminal, it becomes that one's
    rc = posix_spawn_file_actions_addopen(fa, 0, p->tty, O_RDWR, 0);
    for (int i = 1; i < 3 && rc == 0; i++) rc = posix_spawn_file_actions_adddup2(fa, 0, i);
    return rc;
  }
  for (int i = 0; i < 3 && rc == 0; i++) rc = posix_spawn_file_actions_adddup2(fa, p->fds[i], i);
  return rc;
}

// All of corun's own descriptors are closed on exec; this is for those of other C modules, and for
// those that this process itself was started with.
static int set_closing(posix_spawn_file_actions_t *fa) {
#if CAN_CLOSE_FROM
  return posix_spawn_file_actions_addclosefrom_np(fa, 3);
#else
  (void)fa;
  return 0;
#endif
}

// Handlers end with the program that has them. A signal that was ignored when this process started
// (SIGHUP under nohup) stays so, but for those that no program expects to be ignored.
static int set_attributes(posix_spawnattr_t *a, const spawn_plan *p) {
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  sigaddset(&usual, SIGXFSZ);
  sigaddset(&usual, SIGCHLD);
  if (p->tty)
    flags |= POSIX_SPAWN_SETSID;
  else if (!p->shares_group)
    flags |= POSIX_SPAWN_SETPGROUP;
#ifdef POSIX_SPAWN_CLOEXEC_DEFAULT
  flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
  int rc = posix_spawnattr_setflags(a, flags);
  if (rc == 0) rc = posix_spawnattr_setpgroup(a, 0);
  if (rc == 0) rc = posix_spawnattr_setsigmask(a, &none);
  if (rc == 0) rc = posix_spawnattr_setsigdefault(a, &usual);
  return rc;
}

static int run(const spawn_plan *p, const char *file, int folder, pid_t *pid) {
  posix_spawn_file_actions_t fa;
  posix_spawnattr_t a;
  int rc = posix_spawn_file_actions_init(&fa);
  if (rc != 0) return rc;
  rc = posix_spawnattr_init(&a);
  if (rc == 0) {
    rc = set_attributes(&a, p);
    if (rc == 0) rc = set_stdio(&fa, p);
    if (rc == 0 && folder != AT_FDCWD) rc = posix_spawn_file_actions_addfchdir_np(&fa, folder);
    if (rc == 0) rc = set_closing(&fa);
    host_lend_descriptors();
    if (rc == 0) rc = posix_spawn(pid, file, &fa, &a, p->argv, p->env ? p->env : environ);
    host_take_descriptors();
    posix_spawnattr_destroy(&a);
  }
  posix_spawn_file_actions_destroy(&fa);
  return rc;
}

// --- All of it -------------------------------------------------------------------------------

static spawn_stage stage_of(int e, int folder, const char *file) {
  if (e == EAGAIN || e == ENOMEM) return SPAWN_SYSTEM;
  if (e == ENOENT && faccessat(folder, file, F_OK, 0) == 0) return SPAWN_INTERPRETER;
  return SPAWN_PROGRAM;
}

// Open the folder to run in. Answers 0 or an error.
static int open_folder(const char *cwd, int *out) {
  *out = AT_FDCWD;
  if (!cwd) return 0;
  int fd = open(cwd, OPEN_FOLDER | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return uv_translate_sys_error(errno);
  if (faccessat(fd, ".", X_OK, 0) < 0) {
    int rc = uv_translate_sys_error(errno);
    close(fd);
    return rc;
  }
  *out = fd;
  return 0;
}

int spawn_start(const spawn_plan *p, pid_t *pid, spawn_stage *stage) {
  char found[PATH_MAX];
  const char *file = p->file ? p->file : p->argv[0];
  int folder, rc = open_folder(p->cwd, &folder);
  if (rc < 0) {
    *stage = rc == UV_EMFILE || rc == UV_ENFILE ? SPAWN_SYSTEM : SPAWN_CWD;
    return rc;
  }
  if (!strchr(file, '/')) {
    rc = find_program(file, p->env ? p->env : environ, folder, found, sizeof found);
    file = found;
    *stage = SPAWN_PROGRAM;
  }
  if (rc == 0) {
    int e = run(p, file, folder, pid);
    rc = uv_translate_sys_error(e);
    if (e) *stage = stage_of(e, folder, file);
  }
  if (folder != AT_FDCWD) close(folder);
  return rc;
}
