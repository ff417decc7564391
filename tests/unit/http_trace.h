// SPDX-License-Identifier: MIT
// What the HTTP parser tells about some bytes, as one line of text: for the unit tests, which
// compare it with what is expected, and for the fuzzer, which compares two ways to cut the same
// bytes. Each piece is fed from a heap block of its exact size, so that a sanitizer sees any byte
// read outside of it or after it; what a span may never be is asserted here.
//   {GET / 1.1 keep host=a}  head     <abc>  body, spans joined     .  complete     ^rest  upgrade
//   !code  refused or cut    $  the end of the stream between two messages
#ifndef HTTP_TRACE_H
#define HTTP_TRACE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/headers.h"
#include "http/parser.h"

enum { TRACE_NO_BODY = 1, TRACE_OPEN = 2 };  // answers to HEAD; the stream does not end
enum { TRACE_WHOLE = 0 };                    // cut: nowhere
#define TRACE_BYTES SIZE_MAX                 // cut: everywhere

// As assert, in release builds too.
#define must(condition) ((condition) ? (void)0 : trace_fail(#condition, __LINE__))

static inline void trace_fail(const char *what, int line) {
  fprintf(stderr, "http_trace.h:%d: %s\n", line, what);
  abort();
}

typedef struct trace {
  char *s;
  size_t n, cap;
  bool in_body, over;
} trace;

static inline void trace_put(trace *t, const char *s, size_t n) {
  if (t->n + n + 1 > t->cap) {
    t->cap = 2 * (t->n + n) + 256;
    t->s = realloc(t->s, t->cap);
    must(t->s);
  }
  if (n > 0) memcpy(t->s + t->n, s, n);
  t->n += n;
  t->s[t->n] = '\0';
}

static inline void trace_str(trace *t, const char *s) {
  trace_put(t, s, strlen(s));
}

static inline void trace_headers(trace *t, const http_parser *p) {
  for (uint32_t i = 0; i < p->head.count; i++) {
    http_text name = http_parser_name(p, i), value = http_parser_value(p, i);
    http_text found = http_parser_find(p, name.s, name.n, NULL);
    must(http_token_valid(name.s, name.n) && http_value_valid(value.s, value.n));
    must(found.s && found.s <= value.s);
    trace_str(t, " ");
    trace_put(t, name.s, name.n);
    trace_str(t, "=");
    trace_put(t, value.s, value.n);
  }
}

static inline void trace_head(trace *t, const http_parser *p) {
  static const char *const framing[] = {"", " length:", " chunked", " close"};
  http_text method = http_parser_method(p), target = http_parser_target(p);
  http_text reason = http_parser_reason(p);
  char num[32];

  trace_str(t, "{");
  if (p->kind == HTTP_KIND_REQUEST) {
    must(http_token_valid(method.s, method.n) && http_target_valid(target.s, target.n));
    trace_put(t, method.s, method.n);
    trace_str(t, " ");
    trace_put(t, target.s, target.n);
  } else {
    must(p->head.status >= 100 && http_value_valid(reason.s, reason.n));
    trace_put(t, num, (size_t)snprintf(num, sizeof num, "%d ", p->head.status));
    trace_put(t, reason.s, reason.n);
  }
  trace_put(t, num, (size_t)snprintf(num, sizeof num, " 1.%d", p->head.minor));
  trace_str(t, http_parser_keepalive(p) ? " keep" : "");
  trace_str(t, p->head.upgrade ? " upgrade" : "");
  trace_str(t, p->head.expect_continue ? " expect" : "");
  trace_str(t, framing[p->head.framing]);
  if (p->head.framing == HTTP_BODY_LENGTH)
    trace_put(t, num,
              (size_t)snprintf(num, sizeof num, "%llu", (unsigned long long)p->head.length));
  trace_headers(t, p);
  trace_str(t, "}");
}

static inline void trace_event(trace *t, const http_parser *p, http_event ev) {
  if (t->in_body != (ev == HTTP_EV_BODY) && ev != HTTP_EV_MORE) {
    t->in_body = ev == HTTP_EV_BODY;
    trace_str(t, t->in_body ? "<" : ">");
  }
  if (ev == HTTP_EV_HEAD)
    trace_head(t, p);
  else if (ev == HTTP_EV_BODY)
    trace_put(t, p->body.s, p->body.n);
  else if (ev == HTTP_EV_COMPLETE)
    trace_str(t, ".");
  else if (ev == HTTP_EV_UPGRADE)
    trace_str(t, "^");
  else if (ev == HTTP_EV_END)
    trace_str(t, "$");
  else if (ev == HTTP_EV_ERROR) {
    trace_str(t, "!");
    trace_str(t, http_parser_error_code(p));
  }
  t->over = ev == HTTP_EV_ERROR || ev == HTTP_EV_UPGRADE;
}

// Feed one piece; answers how much of it was consumed.
static inline size_t trace_feed(trace *t, http_parser *p, const char *data, size_t len, int flags) {
  char *copy = malloc(len ? len : 1);
  size_t at = 0, used;
  http_event ev;

  must(copy);
  memcpy(copy, data, len);
  do {
    ev = http_parser_feed(p, copy + at, len - at, &used);
    must(used <= len - at);
    must(ev != HTTP_EV_MORE || used == len - at);
    must(ev != HTTP_EV_BODY ||
         (p->body.n > 0 && p->body.s >= copy && p->body.s + p->body.n == copy + at + used));
    at += used;
    trace_event(t, p, ev);
    if (ev == HTTP_EV_COMPLETE && (flags & TRACE_NO_BODY)) http_parser_expect_no_body(p);
  } while (ev != HTTP_EV_MORE && !t->over);
  free(copy);
  return at;
}

// Answer what the parser tells about the bytes, cut once at `cut`; to be freed.
static inline char *http_trace(http_kind kind, int flags, const http_limits *limits,
                               const char *data, size_t len, size_t cut) {
  trace t = {0};
  http_parser p;
  size_t at = 0;

  http_parser_init(&p, kind, limits);
  if (flags & TRACE_NO_BODY) http_parser_expect_no_body(&p);
  trace_str(&t, "");
  while (at < len && !t.over) {
    size_t n = cut == TRACE_BYTES ? 1 : at < cut && cut < len ? cut - at : len - at;
    at += trace_feed(&t, &p, data + at, n, flags);
  }
  if (t.over && t.s[t.n - 1] == '^')
    trace_put(&t, data + at, len - at);
  else if (!t.over && !(flags & TRACE_OPEN))
    trace_event(&t, &p, http_parser_finish(&p));
  http_parser_fini(&p);
  return t.s;
}

#endif
