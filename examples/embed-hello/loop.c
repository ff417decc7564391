// SPDX-License-Identifier: MIT
// A program with a loop of its own, in which a script runs beside what the program itself does:
// here a beat, five times. Another program waits for its windows or sockets in this place.
#include <corun.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int ms_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int)(t.tv_sec % 1000000 * 1000 + t.tv_nsec / 1000000);
}

// The sooner of two times to wait, of which -1 is for ever.
static int sooner(int a, int b) {
  return a < 0 || (b >= 0 && b < a) ? b : a;
}

static const char code[] =
  "local corun = require 'corun'\n"
  "for i = 1, 3 do corun.sleep(0.2) print('script', i) end\n";

int main(void) {
  corun_options options = {.size = sizeof options};
  corun_runtime *rt;
  if (corun_new(&rt, &options) < 0) return 1;
  if (luaL_loadbuffer(corun_state(rt), code, strlen(code), "=script") != LUA_OK) return 1;

  corun_status status = corun_start(rt, 0);
  int beats = 0, next = ms_now() + 100;
  while (status == CORUN_RUNNING || beats < 5) {
    int is_running = status == CORUN_RUNNING;
    struct pollfd p = {.fd = is_running ? corun_pollfd(rt) : -1, .events = POLLIN};
    int until_beat = next > ms_now() ? next - ms_now() : 0;
    poll(&p, 1, sooner(is_running ? corun_timeout(rt) : -1, beats < 5 ? until_beat : -1));
    if (beats < 5 && ms_now() >= next) {
      printf("beat %d\n", ++beats);
      fflush(stdout);
      next += 200;
    }
    if (is_running) status = corun_step(rt);
  }
  corun_close(rt);
  return status == CORUN_DONE ? 0 : 1;
}
