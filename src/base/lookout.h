// SPDX-License-Identifier: MIT
// Look-outs: a thread that waits for another stays awake for a moment before it sleeps, as what it
// waits for often comes at once, and to sleep and to be woken costs both more than that. After one
// in vain the next times are left out, after more of them ever more, so that waits which last
// longer cost next to nothing. One thread at a time; owns nothing.
#ifndef BASE_LOOKOUT_H
#define BASE_LOOKOUT_H

#define LOOKOUT_MOST_SKIPPED 255

typedef struct lookout {
  unsigned skip;  // so many next times
  unsigned vain;  // what `skip` began with after the last one in vain
} lookout;

// Say whether to look out this time.
static inline int lookout_begin(lookout *l) {
  if (!l->skip) return 1;
  l->skip--;
  return 0;
}

// Note whether that saw what it looked out for.
static inline void lookout_end(lookout *l, int seen) {
  unsigned more = 2 * l->vain + 1;
  if (more > LOOKOUT_MOST_SKIPPED) more = LOOKOUT_MOST_SKIPPED;
  l->vain = l->skip = seen ? 0 : more;
}

// Wait for some cycles before one looks at memory again that another thread writes.
static inline void lookout_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
