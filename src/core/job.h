// SPDX-License-Identifier: MIT
// Jobs: operations that run on other threads and may outlive the task that began them. The runtime
// lists them, counts them for leak checks, and can say at exit which ones did not end (S26). Runs
// on the loop thread. Invariant: the memory of a job outlives it in the list.
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include <stdio.h>

#include "base/list.h"
#include "core/types.h"

typedef struct job {
  list link;           // in rt->jobs
  const char *op;      // "hash_file"
  const char *target;  // "notes.txt"
} job;

// List a job that begins; both texts must live as long as it. [loop]
void job_begin(rt *r, job *j, const char *op, const char *target);

// Take it out again: it has ended, on its thread too. [loop]
void job_end(rt *r, job *j);

// Print the jobs that have not ended, a line each. [loop]
void job_print_all(const rt *r, FILE *f);

#endif
