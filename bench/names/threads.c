// SPDX-License-Identifier: MIT
// Looks up names with getaddrinfo on threads, which is what corun would do without c-ares.
//   threads NAMES THREADS
#define _GNU_SOURCE
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_int next_name, found;
static int names;

static void *look_up(void *arg) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
  for (int i; (i = atomic_fetch_add(&next_name, 1)) < names;) {
    char name[64];
    snprintf(name, sizeof name, "n%d.d100.a1.test", i + 1);
    if (getaddrinfo(name, "80", &hints, &list) != 0) continue;
    atomic_fetch_add(&found, 1);
    freeaddrinfo(list);
  }
  return arg;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  names = atoi(argv[1]);
  int n = atoi(argv[2]);
  pthread_t *threads = calloc((size_t)n, sizeof *threads);
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (int i = 0; i < n; i++)
    if (pthread_create(&threads[i], NULL, look_up, NULL) != 0) return 1;
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("%d names in %.3f s\n", found,
         (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
  free(threads);
  return 0;
}
