// SPDX-License-Identifier: MIT
// Stands in for src/data/json.cpp where simdjson is there as a shared library only: linked into the
// program it would cost half a millisecond at each start. The C++ half is the module corun_json.so,
// loaded by the first call. Owns the table of its functions, filled once under pthread_once and
// read-only after, by any thread. Without the module nothing can be parsed: one line on stderr says
// why, and json_parser_new answers NULL.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "data/json_text.h"

#define FUNCTIONS(X)  \
  X(json_parser_new)  \
  X(json_parser_free) \
  X(json_parser_input) X(json_parser_run) X(json_parser_trim) X(json_format_float)

#define MEMBER(name) __typeof__(&name) name;
static struct late { FUNCTIONS(MEMBER) } late;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *module = dlopen("corun_json.so", RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    fprintf(stderr, "corun: cannot load the JSON parser: %s\n", dlerror());
    return;
  }
  void *symbol;
#define FIND(name)               \
  symbol = dlsym(module, #name); \
  memcpy(&late.name, &symbol, sizeof symbol);
  FUNCTIONS(FIND)
}

json_parser *json_parser_new(void) {
  pthread_once(&once, load);
  return late.json_parser_new ? late.json_parser_new() : NULL;
}

void json_parser_free(json_parser *p) {
  if (p) late.json_parser_free(p);
}

json_status json_parser_input(json_parser *p, size_t len, char **room) {
  return late.json_parser_input(p, len, room);
}

json_status json_parser_run(json_parser *p, size_t len, json_tape *tape) {
  return late.json_parser_run(p, len, tape);
}

void json_parser_trim(json_parser *p) {
  late.json_parser_trim(p);
}

size_t json_format_float(double x, char out[JSON_FLOAT_MAX]) {
  pthread_once(&once, load);
  if (late.json_format_float) return late.json_format_float(x, out);
  size_t len = (size_t)snprintf(out, JSON_FLOAT_MAX - 2, "%.17g", x);
  if (!strpbrk(out, ".e")) {
    memcpy(out + len, ".0", 3);
    len += 2;
  }
  return len;
}
