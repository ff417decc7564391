// SPDX-License-Identifier: MIT
// Threads of the system. See osthread.h.
#include "base/osthread.h"

#include <pthread.h>
#include <signal.h>

#ifdef __linux__
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

int osthread_start(void *(*run)(void *), void *arg, int unblocked) {
  pthread_t thread;
  pthread_attr_t attr;
  sigset_t blocked, old;
  sigfillset(&blocked);
  if (unblocked) sigdelset(&blocked, unblocked);
  pthread_sigmask(SIG_SETMASK, &blocked, &old);  // a thread begins with the mask of its maker
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  int rc = pthread_create(&thread, &attr, run, arg);
  pthread_attr_destroy(&attr);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return rc;
}

// A sanitizer would have nowhere to report what the thread does.
#if defined(SYS_close_range) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define OWN_TABLE 2  // CLOSE_RANGE_UNSHARE of linux/close_range.h, which older systems do not have

static int drop(unsigned first, unsigned last) {
  return first > last || syscall(SYS_close_range, first, last, OWN_TABLE) == 0;
}

// The high ones first: then they are not even copied, and what others close meanwhile is closed.
void osthread_keep_only(int fd, int other) {
  unsigned low = (unsigned)(fd < other ? fd : other), high = (unsigned)(fd < other ? other : fd);
  if (drop(high + 1, UINT_MAX) && drop(low + 1, high - 1) && low > 0) drop(0, low - 1);
}
#else
void osthread_keep_only(int fd, int other) {
  (void)fd;
  (void)other;
}
#endif
