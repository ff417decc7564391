// SPDX-License-Identifier: MIT
// Threads of the system. See osthread.h.
#include "base/osthread.h"

#include <pthread.h>
#include <signal.h>

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
