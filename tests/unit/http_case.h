// SPDX-License-Identifier: MIT
// A case of the HTTP parser's tests: some bytes and what is told about them, however they are cut.
#ifndef HTTP_CASE_H
#define HTTP_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_trace.h"

#define REQ HTTP_KIND_REQUEST
#define RES HTTP_KIND_RESPONSE
#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define OK200 "HTTP/1.1 200 OK\r\n"
#define TE "Transfer-Encoding: "
#define CL "Content-Length: "
#define CHUNKED OK200 TE "chunked\r\n\r\n"
#define TOLD "{200 OK 1.1 keep chunked transfer-encoding=chunked}"
#define COUNT(list) (sizeof(list) / sizeof *(list))

typedef struct parse_case {
  http_kind kind;
  int flags;
  const char *input;
  size_t len;
  const char *expected;
} parse_case;

#define IN(s) s, sizeof(s) - 1

static inline void expect_cut(const parse_case *c, const http_limits *limits, size_t cut) {
  char *got = http_trace(c->kind, c->flags, limits, c->input, c->len, cut);
  if (strcmp(got, c->expected) != 0)
    print_error("input:    %s\ncut at:   %zd\n", c->input, (ssize_t)cut);
  assert_string_equal(got, c->expected);
  free(got);
}

static inline void expect_limited(const parse_case *c, const http_limits *limits) {
  expect_cut(c, limits, TRACE_WHOLE);
  expect_cut(c, limits, TRACE_BYTES);
  for (size_t cut = 1; cut < c->len; cut++) expect_cut(c, limits, cut);
}

static inline void expect_all(const parse_case *cases, size_t n) {
  for (size_t i = 0; i < n; i++) expect_limited(&cases[i], NULL);
}

#endif
