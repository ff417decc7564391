// SPDX-License-Identifier: MIT
// Trying whether libuv's threads can be started. See uvpool.h.
#include "base/uvpool.h"

#include <stdlib.h>
#include <uv.h>

#define MOST 1024                // as libuv
#define STACK ((size_t)8 << 20)  // what newer releases ask for; older ones take the system's

static unsigned count(void) {
  const char *text = getenv("UV_THREADPOOL_SIZE");
  int n = text ? atoi(text) : 4;
  return n < 1 ? 1 : n < MOST ? (unsigned)n : MOST;
}

static void wait_for_all(void *arg) {
  uv_sem_wait(arg);
}

// All are there at the same time before the first may end.
static int start(unsigned n) {
  uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK};
  uv_sem_t begin;
  uv_thread_t threads[MOST];
  int rc = uv_sem_init(&begin, 0);
  if (rc < 0) return rc;
  unsigned started = 0;
  while (started < n && rc == 0) {
    rc = uv_thread_create_ex(&threads[started], &options, wait_for_all, &begin);
    if (rc == 0) started++;
  }
  for (unsigned i = 0; i < started; i++) uv_sem_post(&begin);
  for (unsigned i = 0; i < started; i++) uv_thread_join(&threads[i]);
  uv_sem_destroy(&begin);
  return rc;
}

int uvpool_try(void) {
  return start(count());
}
