// SPDX-License-Identifier: MIT
// The HTTP/1.x parser at its edges: limits, streams that end early, buffers from one message to the
// next, and the functions that answer questions about a head.
#include "http_case.h"

// --- limits --------------------------------------------------------------------------------------

static char *repeat(const char *before, char c, size_t n, const char *after) {
  size_t len = strlen(before);
  char *s = malloc(len + n + strlen(after) + 1);
  assert_non_null(s);
  memcpy(s, before, len);
  memset(s + len, c, n);
  memcpy(s + len + n, after, strlen(after) + 1);
  return s;
}

// The told text ends in `expected`, whole, byte by byte and cut at some places.
static void expect_end(http_kind kind, const http_limits *limits, const char *input,
                       const char *expected) {
  size_t len = strlen(input), step = len / 50 + 1;
  char *bytes = http_trace(kind, 0, limits, input, len, TRACE_BYTES);
  assert_true(strlen(bytes) >= strlen(expected));
  assert_string_equal(bytes + strlen(bytes) - strlen(expected), expected);
  for (size_t cut = 0; cut < len; cut += step) {
    char *got = http_trace(kind, 0, limits, input, len, cut);
    assert_string_equal(got, bytes);
    free(got);
  }
  free(bytes);
}

static void a_head_may_fill_its_limit_and_no_more(void **state) {
  (void)state;
  http_limits limits = http_limits_default(REQ);
  size_t around = strlen(GET "A: \r\n\r\n");
  char *fits = repeat(GET "A: ", 'x', 16384 - around, "\r\n\r\n");
  char *over = repeat(GET "A: ", 'x', 16385 - around, "\r\n\r\n");
  char *flood = repeat(GET "A: ", 'x', 100000, "");
  char *name = repeat(GET, 'x', 100000, "");
  char *reason = repeat("HTTP/1.1 200 ", 'x', 100000, "");
  expect_end(REQ, NULL, fits, "}.$");
  expect_end(REQ, NULL, over, "!head-size");
  expect_end(REQ, NULL, flood, "!head-size");
  expect_end(REQ, NULL, name, "!head-size");
  expect_end(RES, NULL, reason, "!head-size");
  limits.head = 20000;
  expect_end(REQ, &limits, over, "}.$");
  free(fits), free(over), free(flood), free(name), free(reason);
}

static void a_target_may_fill_its_limit_and_no_more(void **state) {
  (void)state;
  char *fits = repeat("GET /", 'x', 8191, " HTTP/1.1\r\n" HOST "\r\n");
  char *over = repeat("GET /", 'x', 8192, " HTTP/1.1\r\n" HOST "\r\n");
  char *flood = repeat("GET /", 'x', 100000, "");
  char *spaces = repeat("GET ", ' ', 100000, "");
  expect_end(REQ, NULL, fits, "}.$");
  expect_end(REQ, NULL, over, "!target-length");
  expect_end(REQ, NULL, flood, "!target-length");
  expect_end(REQ, NULL, spaces, "!target-length");
  free(fits), free(over), free(flood), free(spaces);
}

static void headers_and_trailers_are_counted(void **state) {
  (void)state;
  http_limits limits = http_limits_default(REQ);
  limits.headers = 3;
  expect_end(REQ, &limits, GET "A: b\r\nC: d\r\n\r\n", "}.$");
  expect_end(REQ, &limits, GET "A: b\r\nC: d\r\nE: f\r\n\r\n", "!header-count");
  expect_end(RES, &limits, CHUNKED "0\r\nA: b\r\nC: d\r\n\r\n", "}.$");
  expect_end(RES, &limits, CHUNKED "0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", "!header-count");

  trace t = {0};
  trace_str(&t, GET);
  for (int i = 1; i < 100; i++) trace_str(&t, "A: b\r\n");
  trace_str(&t, "\r\n");
  expect_end(REQ, NULL, t.s, "}.$");
  t.s[t.n -= 2] = '\0';
  trace_str(&t, "A: b\r\n\r\n");
  expect_end(REQ, NULL, t.s, "!header-count");
  free(t.s);
}

static void a_body_may_fill_its_limit_and_no_more(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {REQ, 0, IN(GET CL "4\r\n\r\nabcd"),
     "{GET / 1.1 keep length:4 host=a content-length=4}<abcd>.$"},
    {REQ, 0, IN(GET CL "5\r\n\r\nabcde"), "!body-size"},
    {REQ, 0, IN(GET CL "18446744073709551615\r\n\r\nabcde"), "!body-size"},
    {RES, 0, IN(CHUNKED "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), TOLD "<abcd>.$"},
    {RES, 0, IN(CHUNKED "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), TOLD "<ab>!body-size"},
    {RES, 0, IN(CHUNKED "2\r\nab\r\nffffffffffffffff\r\ncde"), TOLD "<ab>!body-size"},
    {RES, 0, IN("HTTP/1.1 200 OK\r\n\r\nabcd"), "{200 OK 1.1 close}<abcd>."},
    {RES, 0, IN("HTTP/1.1 200 OK\r\n\r\nabcde"), "{200 OK 1.1 close}<abcd>!body-size"},
    {RES, TRACE_NO_BODY, IN(OK200 CL "5\r\n\r\n"), "{200 OK 1.1 keep content-length=5}.$"},
  };
  http_limits limits = http_limits_default(REQ);
  limits.body = 4;
  for (size_t i = 0; i < COUNT(cases); i++) expect_limited(&cases[i], &limits);
}

static void chunk_framing_is_bounded_by_its_data(void **state) {
  (void)state;
  char *extension = repeat(CHUNKED "1;", 'x', 100000, "\r\na\r\n0\r\n\r\n");
  char *zeros = repeat(CHUNKED, '0', 100000, "1\r\na\r\n0\r\n\r\n");
  char *trailer = repeat(CHUNKED "0\r\nA: ", 'x', 100000, "\r\n\r\n");
  char *fits = repeat(CHUNKED "0\r\nA: ", 'x', 16384 - strlen("A: \r\n\r\n"), "\r\n\r\n");
  expect_end(RES, NULL, extension, "!chunk-overhead");
  expect_end(RES, NULL, zeros, "!chunk-overhead");
  expect_end(RES, NULL, trailer, "!trailer-size");
  expect_end(RES, NULL, fits, "}.$");
  free(extension), free(zeros), free(trailer), free(fits);

  trace fine = {0}, flood = {0};
  trace_str(&fine, CHUNKED);
  trace_str(&flood, CHUNKED);
  for (int i = 0; i < 4000; i++) {
    trace_str(&fine, "001\r\na\r\n");
    trace_str(&flood, "1;name=quite-a-long-value\r\na\r\n");
  }
  trace_str(&fine, "0\r\n\r\n");
  expect_end(RES, NULL, fine.s, "a>.$");
  expect_end(RES, NULL, flood.s, "a>!chunk-overhead");
  free(fine.s), free(flood.s);
}

// --- the end of the stream -----------------------------------------------------------------------

static void a_stream_cut_anywhere_is_never_complete(void **state) {
  (void)state;
  static const char input[] = CHUNKED "5\r\nhello\r\n0\r\nA: b\r\n\r\n";
  static const struct {
    const char *upto, *code;
  } phases[] = {
    {"", "$"},
    {"HTTP/1.1 200 OK\r", "!cut-start"},
    {CHUNKED, "!cut-headers"},
    {CHUNKED "5\r\nhello\r\n0\r\n", "!cut-chunk"},
    {input, "!cut-trailers"},
  };
  size_t phase = 0;
  for (size_t len = 0; len < sizeof input - 1; len++) {
    while (len > strlen(phases[phase].upto) || (phase == 2 && len == strlen(phases[phase].upto)) ||
           (phase == 3 && len == strlen(phases[phase].upto)))
      phase++;
    char *got = http_trace(RES, 0, NULL, input, len, TRACE_WHOLE);
    char *bytes = http_trace(RES, 0, NULL, input, len, TRACE_BYTES);
    assert_string_equal(got, bytes);
    assert_string_equal(strlen(got) > strlen(phases[phase].code)
                          ? got + strlen(got) - strlen(phases[phase].code)
                          : got,
                        phases[phase].code);
    free(got);
    free(bytes);
  }
}

static void a_body_cut_short_is_told_from_a_complete_one(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {RES, 0, IN(""), "$"},
    {REQ, 0, IN("\r\n"), "$"},
    {REQ, 0, IN("\r"), "$"},
    {REQ, 0, IN("G"), "!cut-start"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n"), "!cut-headers"},
    {REQ, 0, IN(GET CL "3\r\n\r\n"), "{GET / 1.1 keep length:3 host=a content-length=3}!cut-body"},
    {REQ, 0, IN(GET CL "3\r\n\r\nab"),
     "{GET / 1.1 keep length:3 host=a content-length=3}<ab>!cut-body"},
    {RES, 0, IN(CHUNKED), TOLD "!cut-chunk"},
    {RES, 0, IN(CHUNKED "3\r\nab"), TOLD "<ab>!cut-chunk"},
    {RES, 0, IN(CHUNKED "3\r\nabc\r\n"), TOLD "<abc>!cut-chunk"},
    {RES, 0, IN(CHUNKED "0\r\n"), TOLD "!cut-trailers"},
    {RES, 0, IN("HTTP/1.1 200 OK\r\n\r\n"), "{200 OK 1.1 close}."},
    {RES, 0, IN("HTTP/1.1 200 OK\r\n\r\nabc"), "{200 OK 1.1 close}<abc>."},
  };
  expect_all(cases, COUNT(cases));
}

static void the_end_may_come_before_the_last_event_was_pulled(void **state) {
  (void)state;
  static const char *const inputs[] = {GET "\r\n", GET CL "1\r\n\r\nx"};
  for (size_t i = 0; i < COUNT(inputs); i++) {
    http_parser p;
    size_t at = 0, used = 0;
    http_event ev = HTTP_EV_MORE;
    http_parser_init(&p, REQ, NULL);
    for (; at < strlen(inputs[i]); at += used)
      ev = http_parser_feed(&p, inputs[i] + at, strlen(inputs[i]) - at, &used);
    assert_int_not_equal(ev, HTTP_EV_COMPLETE);
    assert_int_equal(http_parser_finish(&p), HTTP_EV_COMPLETE);
    assert_int_equal(http_parser_finish(&p), HTTP_EV_END);
    http_parser_fini(&p);
  }
}

static void an_error_stays_and_explains_itself(void **state) {
  (void)state;
  http_parser p;
  size_t used;
  http_parser_init(&p, REQ, NULL);
  assert_string_equal(http_parser_error_code(&p), "none");
  assert_int_equal(
    http_parser_feed(&p, GET TE "gzip\r\n\r\n", strlen(GET TE "gzip\r\n\r\n"), &used),
    HTTP_EV_ERROR);
  assert_int_equal(http_parser_feed(&p, "x", 1, &used), HTTP_EV_ERROR);
  assert_int_equal(http_parser_feed(&p, NULL, 0, &used), HTTP_EV_ERROR);
  assert_int_equal(http_parser_finish(&p), HTTP_EV_ERROR);
  assert_false(http_parser_keepalive(&p));
  assert_string_equal(http_parser_error(&p), "the Transfer-Encoding is not exactly chunked");
  assert_string_equal(http_parser_error_code(&p), "coding");
  assert_int_equal(http_parser_error_status(&p), 501);
  http_parser_fini(&p);
}

// --- the rest of the interface -------------------------------------------------------------------

static void nothing_is_parsed_after_an_upgrade(void **state) {
  (void)state;
  static const char input[] = "HTTP/1.1 101 S\r\n\r\nxyz";
  http_parser p;
  size_t at, used;
  http_parser_init(&p, RES, NULL);
  assert_int_equal(http_parser_feed(&p, input, sizeof input - 1, &at), HTTP_EV_HEAD);
  assert_int_equal(http_parser_feed(&p, input + at, 3, &used), HTTP_EV_UPGRADE);
  assert_int_equal(used, 0);
  assert_int_equal(http_parser_feed(&p, NULL, 0, &used), HTTP_EV_MORE);
  assert_int_equal(http_parser_finish(&p), HTTP_EV_END);
  assert_int_equal(http_parser_feed(&p, input + at, 3, &used), HTTP_EV_ERROR);
  assert_string_equal(http_parser_error_code(&p), "after-upgrade");
  http_parser_fini(&p);
}

static void headers_are_found_by_name(void **state) {
  (void)state;
  static const char input[] = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX: y\r\nset-cookie: b\r\n\r\n";
  http_parser p;
  size_t used;
  uint32_t i = 0;
  http_parser_init(&p, RES, NULL);
  assert_int_equal(http_parser_feed(&p, input, sizeof input - 1, &used), HTTP_EV_HEAD);
  assert_memory_equal(http_parser_find(&p, "set-cookie", 10, &i).s, "a", 1);
  assert_int_equal(i, 0);
  i++;
  assert_memory_equal(http_parser_find(&p, "set-cookie", 10, &i).s, "b", 1);
  assert_int_equal(i, 2);
  i++;
  assert_null(http_parser_find(&p, "set-cookie", 10, &i).s);
  assert_memory_equal(http_parser_find(&p, "x", 1, NULL).s, "y", 1);
  assert_null(http_parser_find(&p, "set", 3, NULL).s);
  assert_int_equal(http_parser_method(&p).n, 0);
  assert_null(http_parser_target(&p).s);
  http_parser_fini(&p);
}

static void no_body_is_expected_of_one_response(void **state) {
  (void)state;
  static const char input[] = OK200 CL "1\r\n\r\n" OK200 CL "1\r\n\r\nx";
  static const http_event expected[] = {HTTP_EV_HEAD, HTTP_EV_COMPLETE, HTTP_EV_HEAD,
                                        HTTP_EV_BODY, HTTP_EV_COMPLETE, HTTP_EV_MORE};
  http_parser p;
  size_t at = 0, used;
  http_parser_init(&p, RES, NULL);
  http_parser_expect_no_body(&p);
  for (size_t i = 0; i < COUNT(expected); i++) {
    assert_int_equal(http_parser_feed(&p, input + at, sizeof input - 1 - at, &used), expected[i]);
    at += used;
  }
  http_parser_fini(&p);
}

static void messages_after_the_first_allocate_nothing(void **state) {
  (void)state;
  static const char input[] = GET "A: b\r\n" CL "3\r\n\r\nabc";
  http_parser p;
  char *block = NULL;
  http_field *fields = NULL;
  http_parser_init(&p, REQ, NULL);
  for (int i = 0; i < 1000; i++) {
    size_t at = 0, used = 0;
    while (http_parser_feed(&p, input + at, sizeof input - 1 - at, &used) != HTTP_EV_MORE)
      at += used;
    assert_true(i == 0 || (block == p.block && fields == p.fields));
    block = p.block;
    fields = p.fields;
  }
  assert_int_equal(p.block_cap, 512);
  assert_int_equal(p.fields_cap, 16);
  http_parser_fini(&p);
}

static void an_idle_parser_gives_large_buffers_back(void **state) {
  (void)state;
  char *large = repeat(GET "A: ", 'x', 4000, "\r\n\r\n");
  size_t used, len = strlen(large);
  http_parser p;
  http_parser_init(&p, REQ, NULL);
  assert_int_equal(http_parser_feed(&p, large, len, &used), HTTP_EV_HEAD);
  http_parser_trim(&p);
  assert_int_equal(http_parser_value(&p, 1).n, 4000);
  assert_int_equal(http_parser_feed(&p, large + len, 0, &used), HTTP_EV_COMPLETE);
  http_parser_trim(&p);
  assert_null(p.block);
  assert_int_equal(p.head.count, 0);
  assert_true(http_parser_keepalive(&p));
  assert_int_equal(http_parser_feed(&p, large, len, &used), HTTP_EV_HEAD);
  assert_int_equal(http_parser_value(&p, 1).n, 4000);
  http_parser_fini(&p);
  free(large);
}

// Feed byte by byte up to the head.
static void feed_head(http_parser *p, const char *bytes) {
  http_event ev = HTTP_EV_MORE;
  size_t used;
  for (; ev == HTTP_EV_MORE && *bytes; bytes += used) ev = http_parser_feed(p, bytes, 1, &used);
  assert_int_equal(ev, HTTP_EV_HEAD);
}

static void a_head_is_kept_as_it_came_where_that_is_wanted(void **state) {
  (void)state;
  static const char first[] = "HTTP/1.1 404 Not\tFound\r\nX-Two:  a \r\nDate:b\r\nx-two: c\r\n\r\n";
  static const char second[] = "HTTP/1.1 204\r\nServer: x\r\n\r\n";
  size_t used;
  http_parser p;
  http_parser_init(&p, RES, NULL);
  http_parser_keep_raw(&p);
  http_parser_expect_no_body(&p);
  assert_int_equal(http_parser_raw(&p).n, 0);
  feed_head(&p, first);
  assert_int_equal(http_parser_raw(&p).n, sizeof first - 1);
  assert_memory_equal(http_parser_raw(&p).s, first, sizeof first - 1);
  assert_memory_equal(http_parser_name(&p, 0).s, "x-two", 5);
  assert_int_equal(http_parser_feed(&p, first, 0, &used), HTTP_EV_COMPLETE);
  feed_head(&p, second);
  assert_int_equal(http_parser_raw(&p).n, sizeof second - 1);
  assert_memory_equal(http_parser_raw(&p).s, second, sizeof second - 1);
  http_parser_fini(&p);

  http_parser_init(&p, RES, NULL);
  feed_head(&p, second);
  assert_int_equal(http_parser_raw(&p).n, 0);
  http_parser_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_head_is_kept_as_it_came_where_that_is_wanted),
    cmocka_unit_test(a_head_may_fill_its_limit_and_no_more),
    cmocka_unit_test(a_target_may_fill_its_limit_and_no_more),
    cmocka_unit_test(headers_and_trailers_are_counted),
    cmocka_unit_test(a_body_may_fill_its_limit_and_no_more),
    cmocka_unit_test(chunk_framing_is_bounded_by_its_data),
    cmocka_unit_test(a_stream_cut_anywhere_is_never_complete),
    cmocka_unit_test(a_body_cut_short_is_told_from_a_complete_one),
    cmocka_unit_test(the_end_may_come_before_the_last_event_was_pulled),
    cmocka_unit_test(an_error_stays_and_explains_itself),
    cmocka_unit_test(nothing_is_parsed_after_an_upgrade),
    cmocka_unit_test(headers_are_found_by_name),
    cmocka_unit_test(no_body_is_expected_of_one_response),
    cmocka_unit_test(messages_after_the_first_allocate_nothing),
    cmocka_unit_test(an_idle_parser_gives_large_buffers_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
