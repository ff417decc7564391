// SPDX-License-Identifier: MIT
// The Public Suffix List. See public_suffix.h.
#include "http/public_suffix.h"

#include "base/library.h"

#define FUNCTIONS(X)      \
  X(psl_is_public_suffix) \
  X(psl_latest)           \
  X(psl_registrable_domain)

typedef struct functions {
#define FIELD(name) __typeof__(&name) name;
  FUNCTIONS(FIELD)
#undef FIELD
} functions;

#define ENTRY(name) {#name, offsetof(functions, name)},

static library state = LIBRARY_INIT;
static functions table;
static psl_ctx_t *list;

static const library_entry entries[] = {FUNCTIONS(ENTRY)};

static const char *fill(void) {
  const char *why =
    library_fill(&table, LIBRARY_FILE("psl", "5"), entries, sizeof entries / sizeof *entries);
  if (!why && !list) list = table.psl_latest(NULL);
  if (!why && !list) why = "it has no Public Suffix List";
  return why;
}

const char *public_suffix_load(void) {
  return library_load(&state, "libpsl", fill) ? NULL : state.error;
}

int public_suffix_is(const char *domain) {
  return table.psl_is_public_suffix(list, domain);
}

const char *public_suffix_registrable(const char *host) {
  return table.psl_registrable_domain(list, host);
}
