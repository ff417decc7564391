// SPDX-License-Identifier: MIT
// Jobs. See job.h.
#include "core/job.h"

#include "core/runtime.h"

void job_begin(rt *r, job *j, const char *op, const char *target) {
  j->op = op;
  j->target = target;
  list_push(&r->jobs, &j->link);
  r->njobs++;
}

void job_end(rt *r, job *j) {
  list_remove(&j->link);
  r->njobs--;
}

void job_print_all(const rt *r, FILE *f) {
  for (const list *l = r->jobs.next; l != &r->jobs; l = l->next) {
    const job *j = list_entry(l, job, link);
    fprintf(f, "corun: did not end: %s%s%s\n", j->op, *j->target ? " " : "", j->target);
  }
}
