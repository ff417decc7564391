// SPDX-License-Identifier: MIT
// In builds with ThreadSanitizer, libuv's close (uv__close) comes by here: libuv makes the system
// call itself, which the sanitizer does not see, and so it would take the next use of the same
// number by another thread for a race with what was done on the descriptor before. Any thread.
void __sanitizer_syscall_pre_impl_close(long fd);
int __real_uv__close(int fd);
int __wrap_uv__close(int fd);

int __wrap_uv__close(int fd) {
  __sanitizer_syscall_pre_impl_close(fd);
  return __real_uv__close(fd);
}
