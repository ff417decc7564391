// SPDX-License-Identifier: MIT
// The bench launcher: starts one program on one core (CORE `all`: on those that measure itself may
// use), waits for it, and prints what it used. It is
// a C program of its own because the kernel carries the peak memory of the process that forks into
// the one that is exec'ed: started from Python, nothing could ever show a peak below Python's. One
// thread. Invariant: one output line for each run, in the order of the runs.
//
//   measure [-n RUNS] [-t SECONDS] CORE PROGRAM [ARG...]
//     -> STATUS WALL_NS CPU_NS PEAK_KB MARK_WALL_NS MARK_CPU_NS
// The program may print the lines "begin" and "end" around the part that counts; MARK_* are the
// differences between the two (0 without them). All its other output goes to stderr.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int64_t wall, cpu;
} mark;

static int64_t read_clock(clockid_t id) {
  struct timespec t;
  return clock_gettime(id, &t) ? 0 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void take_mark(mark *m, pid_t pid) {
  clockid_t cpu;
  m->wall = read_clock(CLOCK_MONOTONIC);
  m->cpu = clock_getcpuclockid(pid, &cpu) ? 0 : read_clock(cpu);
}

static void pin(int core) {
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set)) perror("measure: sched_setaffinity");
}

static int64_t cpu_of(const struct rusage *u) {
  return ((int64_t)u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000000 +
         ((int64_t)u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1000;
}

static int run(int core, unsigned limit, char **argv) {
  int out[2];
  if (pipe(out)) return perror("measure: pipe"), 1;
  int64_t start = read_clock(CLOCK_MONOTONIC);
  pid_t pid = fork();
  if (pid < 0) return perror("measure: fork"), 1;
  if (pid == 0) {
    pin(core);
    dup2(out[1], STDOUT_FILENO);
    close(out[0]);
    close(out[1]);
    alarm(limit);  // survives exec: a program that hangs ends by SIGALRM
    execvp(argv[0], argv);
    fprintf(stderr, "measure: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
  }
  close(out[1]);

  mark begin = {0, 0}, end = {0, 0};
  char line[512];
  FILE *f = fdopen(out[0], "r");
  while (f && fgets(line, sizeof line, f)) {
    if (!strcmp(line, "begin\n")) {
      take_mark(&begin, pid);
    } else if (!strcmp(line, "end\n")) {
      take_mark(&end, pid);
    } else {
      fputs(line, stderr);
    }
  }

  int status;
  struct rusage used;
  if (wait4(pid, &status, 0, &used) < 0) return perror("measure: wait4"), 1;
  int64_t wall = read_clock(CLOCK_MONOTONIC) - start;
  if (f) fclose(f);
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (!end.wall) begin = end;
  printf("%d %lld %lld %ld %lld %lld\n", code, (long long)wall, (long long)cpu_of(&used),
         used.ru_maxrss, (long long)(end.wall - begin.wall), (long long)(end.cpu - begin.cpu));
  return 0;
}

int main(int argc, char **argv) {
  int opt, runs = 1, failed = 0;
  unsigned limit = 0;
  while ((opt = getopt(argc, argv, "+n:t:")) != -1) {
    if (opt == 'n') {
      runs = atoi(optarg);
    } else if (opt == 't') {
      limit = (unsigned)atoi(optarg);
    } else {
      return 2;
    }
  }
  if (argc - optind < 2) {
    fputs("usage: measure [-n RUNS] [-t SECONDS] CORE PROGRAM [ARG...]\n", stderr);
    return 2;
  }
  int core = strcmp(argv[optind], "all") ? atoi(argv[optind]) : -1;
  if (runs > 1) pin(core);  // short runs: fork, exec and wait without waking another core
  for (int i = 0; i < runs && !failed; i++) failed = run(core, limit, argv + optind + 1);
  return failed;
}
