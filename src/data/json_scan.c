// SPDX-License-Identifier: MIT
// The scanner: reads a text that the parser refused, strictly by RFC 8259, to say what is wrong and
// where, or to find the integers that are only too large for the parser. It builds nothing and does
// not recurse. Any text is either faulted here or, once rewritten, accepted by the parser.
#include <string.h>

#include "data/json_text.h"

typedef struct scanner {
  const char *at, *start, *end;
  json_parser *parser;
  json_fault *fault;
  char *out;           // where the rewritten text goes, or NULL
  const char *copied;  // what of the text was copied there
  ptrdiff_t large;     // integers beyond 64 bits so far
  int depth;
  char closer[JSON_MAX_DEPTH];  // what ends each open container
} scanner;

static int fail(scanner *s, const char *at, const char *reason) {
  s->fault->reason = at < s->end ? reason : "unexpected end of text";
  s->fault->offset = (size_t)(at - s->start);
  return -1;
}

// The next byte, 0 at the end (a 0 in the text is no valid byte either, wherever this is asked).
static int peek(const scanner *s) {
  return s->at < s->end ? *s->at : 0;
}

static int skip_space(scanner *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
    s->at++;
  return peek(s);
}

static int is_digit(int c) {
  return c >= '0' && c <= '9';
}

// The code unit of the escape `\uXXXX` at `p`, or -1.
static int unit(const scanner *s, const char *p) {
  int value = 0;
  if (s->end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  for (int i = 2; i < 6; i++) {
    int c = (unsigned char)p[i], lower = c | 0x20;
    if (!is_digit(c) && (lower < 'a' || lower > 'f')) return -1;
    value = value * 16 + (is_digit(c) ? c - '0' : lower - 'a' + 10);
  }
  return value;
}

static int scan_escape(scanner *s) {
  const char *p = s->at;
  if (s->end - p < 2) return fail(s, s->end, NULL);
  if (p[1] != 'u') {
    if (!p[1] || !strchr("\"\\/bfnrt", p[1])) return fail(s, p, "invalid escape in a string");
    s->at += 2;
    return 0;
  }
  int high = unit(s, p);
  if (high < 0) return fail(s, p, "invalid \\u escape in a string");
  s->at += 6;
  if (high < 0xD800 || high > 0xDFFF) return 0;
  int low = unit(s, s->at);
  if (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
    return fail(s, p, "lone surrogate in a string");
  s->at += 6;
  return 0;
}

static int scan_string(scanner *s) {
  for (s->at++; s->at < s->end;) {
    unsigned char c = (unsigned char)*s->at;
    if (c == '"') {
      s->at++;
      return 0;
    }
    if (c < 0x20) return fail(s, s->at, "unescaped control character in a string");
    if (c == '\\') {
      if (scan_escape(s) < 0) return -1;
    } else {
      size_t n = json_utf8(s->at, (size_t)(s->end - s->at));
      if (!n) return fail(s, s->at, "invalid UTF-8");
      s->at += n;
    }
  }
  return fail(s, s->end, NULL);
}

// Skip one digit or more.
static int scan_digits(scanner *s) {
  if (!is_digit(peek(s))) return fail(s, s->at, "expected a digit");
  while (is_digit(peek(s))) s->at++;
  return 0;
}

// Let the parser judge a number near the end of the range of doubles.
static int is_finite(scanner *s, const char *text, size_t len, int is_integer) {
  char *room;
  json_tape tape;
  if (json_parser_input(s->parser, len + 2, &room) != JSON_PARSED) return 0;
  memcpy(room, text, len);
  if (is_integer) {
    room[len++] = 'e';
    room[len++] = '0';
  }
  return json_parser_run(s->parser, len, &tape) == JSON_PARSED;
}

// Check the range of the number from `start` to here, whose power of ten is `exponent`.
static int check_range(scanner *s, const char *start, long long exponent, int is_integer) {
  const char *p = start + (*start == '-');
  long long power = exponent - 1;  // of the first digit that counts
  for (const char *q = p; q < s->at && is_digit(*q); q++) power++;
  for (; p < s->at && (*p == '0' || *p == '.'); p++) power -= *p == '0';
  if (p == s->at || !is_digit(*p) || power < 308) return 0;
  if (power > 308 || !is_finite(s, start, (size_t)(s->at - start), is_integer))
    return fail(s, start, "number out of range");
  return 0;
}

static int is_beyond_64_bits(const char *digits, size_t n, int negative) {
  const char *limit = negative ? "9223372036854775808" : "18446744073709551615";
  size_t most = strlen(limit);
  return n > most || (n == most && memcmp(digits, limit, n) > 0);
}

static int scan_integer(scanner *s, const char *start) {
  int negative = *start == '-';
  const char *digits = start + negative;
  if (!is_beyond_64_bits(digits, (size_t)(s->at - digits), negative)) return 0;
  if (check_range(s, start, 0, 1) < 0) return -1;
  s->large++;
  if (!s->out) return 0;
  size_t n = (size_t)(s->at - s->copied);
  memcpy(s->out, s->copied, n);
  memcpy(s->out + n, "e0", 2);
  s->out += n + 2;
  s->copied = s->at;
  return 0;
}

static int scan_number(scanner *s) {
  const char *start = s->at;
  long long exponent = 0;
  if (*s->at == '-') s->at++;
  const char *first = s->at;
  if (scan_digits(s) < 0) return -1;
  if (*first == '0' && s->at - first > 1) return fail(s, first, "leading zero in a number");
  int c = peek(s);
  if (c != '.' && c != 'e' && c != 'E') return scan_integer(s, start);
  if (c == '.') {
    s->at++;
    if (scan_digits(s) < 0) return -1;
  }
  if (peek(s) == 'e' || peek(s) == 'E') {
    s->at++;
    int negative = peek(s) == '-';
    if (negative || peek(s) == '+') s->at++;
    const char *p = s->at;
    if (scan_digits(s) < 0) return -1;
    for (; p < s->at; p++)
      if (exponent < 1000000000000) exponent = exponent * 10 + (*p - '0');
    if (negative) exponent = -exponent;
  }
  return check_range(s, start, exponent, 0);
}

static int scan_word(scanner *s, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
    return fail(s, s->at, "expected a value");
  s->at += n;
  return 0;
}

static int scan_scalar(scanner *s) {
  switch (peek(s)) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    case 'n': return scan_word(s, "null");
    case '-': return scan_number(s);
    default: return is_digit(peek(s)) ? scan_number(s) : fail(s, s->at, "expected a value");
  }
}

// Skip a key and its colon.
static int scan_key(scanner *s) {
  if (skip_space(s) != '"') return fail(s, s->at, "expected a string as the key");
  if (scan_string(s) < 0) return -1;
  if (skip_space(s) != ':') return fail(s, s->at, "expected ':' after a key");
  s->at++;
  return 0;
}

// Skip what opens a value, up to its first scalar; answer 1 when an empty container was that value.
static int scan_openers(scanner *s) {
  for (;;) {
    int c = skip_space(s);
    if (c != '[' && c != '{') return 0;
    if (s->depth == JSON_MAX_DEPTH) return fail(s, s->at, "nested too deep");
    char closer = c == '[' ? ']' : '}';
    s->closer[s->depth++] = closer;
    s->at++;
    if (skip_space(s) == closer) return 1;
    if (c == '{' && scan_key(s) < 0) return -1;
  }
}

// Skip what follows a value; answer 1 when another value comes, 0 at the end of the text.
static int scan_closers(scanner *s) {
  while (s->depth) {
    char c = (char)skip_space(s), closer = s->closer[s->depth - 1];
    if (c == ',') {
      s->at++;
      return closer == '}' && scan_key(s) < 0 ? -1 : 1;
    }
    if (c != closer)
      return fail(s, s->at, closer == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
    s->at++;
    s->depth--;
  }
  skip_space(s);
  return s->at < s->end ? fail(s, s->at, "text after the end of the value") : 0;
}

ptrdiff_t json_scan(json_parser *p, const char *text, size_t len, char *out, json_fault *fault) {
  scanner s;
  s.at = s.start = s.copied = text;
  s.end = text + len;
  s.parser = p;
  s.fault = fault;
  s.out = out;
  s.large = 0;
  s.depth = 0;
  int more = 1;
  while (more == 1) {
    int empty = scan_openers(&s);
    if (empty < 0 || (!empty && scan_scalar(&s) < 0)) return -1;
    more = scan_closers(&s);
  }
  if (more < 0) return -1;
  if (out) memcpy(s.out, s.copied, (size_t)(s.end - s.copied));
  return s.large;
}
