// SPDX-License-Identifier: MIT
// The floor of what handing work to a thread costs: bare uv_queue_work with a function that does
// nothing, on two threads. One thread has the loop. Usage: queue_work MODE N WARM, where MODE is
// trip (one at a time) or flight (1,000 at a time).
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static long left;  // to be queued

static void work(uv_work_t *req) {
  (void)req;
}

static void done(uv_work_t *req, int status) {
  if (status < 0) abort();
  if (left > 0) {
    left--;
    uv_queue_work(req->loop, req, work, done);
  }
}

static void run(uv_loop_t *loop, uv_work_t *reqs, long at_once, long n) {
  left = n;
  for (long i = 0; i < at_once && left > 0; i++, left--) {
    uv_queue_work(loop, &reqs[i], work, done);
  }
  uv_run(loop, UV_RUN_DEFAULT);
}

static void mark(const char *word) {
  puts(word);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  static uv_work_t reqs[1000];
  long at_once = strcmp(argv[1], "flight") == 0 ? 1000 : 1;
  uv_os_setenv("UV_THREADPOOL_SIZE", "2");
  uv_loop_t *loop = uv_default_loop();
  run(loop, reqs, at_once, atol(argv[3]));
  mark("begin");
  run(loop, reqs, at_once, atol(argv[2]));
  mark("end");
  return 0;
}
