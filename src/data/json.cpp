// SPDX-License-Identifier: MIT
// The C++ half of JSON: simdjson's DOM parser and the standard library's shortest floats behind a C
// interface. Owns the parser's buffers, and the padded copy of the text, which simdjson reads in
// blocks beyond its end. Knows no Lua and throws nothing: every allocation is a nothrow one.
#include <simdjson.h>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "data/json_text.h"

namespace dom = simdjson::dom;

struct json_parser {
  dom::parser parser;
  dom::document document;
  char *input = nullptr;
  size_t capacity = 0;
};

namespace {

// A parser holds about 14 bytes for each byte of text it has room for.
constexpr size_t least = 4096;
constexpr size_t keep = 256 * 1024;

void drop(json_parser *p) noexcept {
  std::free(p->input);
  p->input = nullptr;
  p->capacity = 0;
  p->parser = dom::parser();
  p->document = dom::document();
}

// Room grows by doubling where it is kept, exactly where it is given back.
bool grow(json_parser *p, size_t len) noexcept {
  size_t capacity = len;
  if (len <= keep)
    for (capacity = least; capacity < len;) capacity *= 2;
  drop(p);
  p->input = static_cast<char *>(std::malloc(capacity + simdjson::SIMDJSON_PADDING));
  // The limit of simdjson counts containers that have something in them, from 0.
  if (!p->input || p->parser.allocate(capacity, JSON_MAX_DEPTH + 1) ||
      p->document.allocate(capacity)) {
    drop(p);
    return false;
  }
  p->capacity = capacity;
  return true;
}

}  // namespace

json_parser *json_parser_new(void) {
  return new (std::nothrow) json_parser;
}

void json_parser_free(json_parser *p) {
  if (p) drop(p);
  delete p;
}

json_status json_parser_input(json_parser *p, size_t len, char **room) {
  if (len > simdjson::SIMDJSON_MAXSIZE_BYTES) return JSON_TOO_LONG;
  if ((len > p->capacity || !p->input) && !grow(p, len)) return JSON_NO_MEMORY;
  *room = p->input;
  return JSON_PARSED;
}

json_status json_parser_run(json_parser *p, size_t len, json_tape *tape) {
  std::memset(p->input + len, ' ', simdjson::SIMDJSON_PADDING);
  switch (p->parser.parse_into_document(p->document, p->input, len, false).error()) {
    case simdjson::SUCCESS:
      tape->words = p->document.tape.get();
      tape->strings = reinterpret_cast<const char *>(p->document.string_buf.get());
      return JSON_PARSED;
    case simdjson::MEMALLOC: return JSON_NO_MEMORY;
    case simdjson::CAPACITY: return JSON_TOO_LONG;
    default: return JSON_REFUSED;
  }
}

void json_parser_trim(json_parser *p) {
  if (p->capacity > keep) drop(p);
}

size_t json_format_float(double x, char out[JSON_FLOAT_MAX]) {
  double size = std::fabs(x);
  bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  char *end = std::to_chars(out, out + JSON_FLOAT_MAX, x, format).ptr;
  if (plain && !std::memchr(out, '.', static_cast<size_t>(end - out))) {
    *end++ = '.';
    *end++ = '0';
  }
  return static_cast<size_t>(end - out);
}
