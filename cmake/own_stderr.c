// SPDX-License-Identifier: MIT
// In libcorun, what asks for `stderr` gets this copy (the linker's --wrap): Debian's archive of
// lua-cjson was compiled for programs, which have the C library's variables at a place that is
// known when they are linked; a library does not. Set before anything else runs, and read-only
// after.
#include <stdio.h>

extern FILE *__real_stderr;
FILE *__wrap_stderr;

__attribute__((constructor(101))) static void copy(void) {
  __wrap_stderr = __real_stderr;
}
