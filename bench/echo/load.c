// SPDX-License-Identifier: MIT
// The load generator of the echo benchmark: each connection sends SIZE bytes of its own.
#include "../closed_loop.h"

int main(int argc, char **argv) {
  closed_loop l = {.greet = closed_loop_greet,
                   .read = closed_loop_read,
                   .write = closed_loop_write,
                   .is_drained = 1};
  return closed_loop_run(&l, argc, argv);
}
