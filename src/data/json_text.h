// SPDX-License-Identifier: MIT
// JSON text below Lua: the parser (simdjson behind a C interface), the scanner that explains what
// the parser refused, and the spelling of floats. Nothing here knows a lua_State or raises. A
// parser owns its buffers and is used by one thread at a time.
#ifndef DATA_JSON_TEXT_H
#define DATA_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_MAX_DEPTH 1000  // arrays and objects inside one another, both ways
#define JSON_FLOAT_MAX 32    // room for the longest spelling of a float

typedef struct json_parser json_parser;

// What a parsed text is made of: simdjson's tape (its doc/tape.md says how the words are read) and
// the unescaped strings that it points to. Valid until the parser's next call.
typedef struct json_tape {
  const uint64_t *words;
  const char *strings;
} json_tape;

typedef enum json_status {
  JSON_PARSED,
  JSON_REFUSED,  // not JSON, or JSON with an integer beyond 64 bits
  JSON_TOO_LONG,
  JSON_NO_MEMORY
} json_status;

// Make a parser; NULL on out of memory. [any]
json_parser *json_parser_new(void);
void json_parser_free(json_parser *p);

// Make room for a text of `len` bytes, which the caller writes to `*room`, owned by the parser.
// Answers JSON_PARSED, JSON_TOO_LONG (4 GiB) or JSON_NO_MEMORY. [any]
json_status json_parser_input(json_parser *p, size_t len, char **room);

// Parse the `len` bytes that were written to the room of the last json_parser_input. [any]
json_status json_parser_run(json_parser *p, size_t len, json_tape *tape);

// Give the memory of a large text back. [any]
void json_parser_trim(json_parser *p);

// Write the shortest decimal that reads back as `x`, which is finite, always with a fraction or an
// exponent; answer its length. [any]
size_t json_format_float(double x, char out[JSON_FLOAT_MAX]);

// What is wrong with a text, and the 0-based offset of the first byte that cannot be right.
typedef struct json_fault {
  const char *reason;  // a literal
  size_t offset;
} json_fault;

// Check `text` against RFC 8259 and our limits. Answer -1 with `fault` filled in, or the number of
// its integers beyond 64 bits. The room of `p` is used for numbers near the end of a double's
// range. With `out` not NULL the text is copied there, each of those integers followed by "e0",
// which makes it a float of the same value: 2 bytes more for each. [any]
ptrdiff_t json_scan(json_parser *p, const char *text, size_t len, char *out, json_fault *fault);

// The length of the UTF-8 sequence at `s`, of which `n` bytes are there; 0 when there is none
// (overlong forms, surrogates and what is beyond U+10FFFF included). [any]
static inline size_t json_utf8(const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s;
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xC2 || n < 2 || (p[1] & 0xC0) != 0x80) return 0;
  if (p[0] < 0xE0) return 2;
  if (n < 3 || (p[2] & 0xC0) != 0x80) return 0;
  if (p[0] < 0xF0) {
    int overlong = p[0] == 0xE0 && p[1] < 0xA0;
    int surrogate = p[0] == 0xED && p[1] > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (n < 4 || (p[3] & 0xC0) != 0x80) return 0;
  int overlong = p[0] == 0xF0 && p[1] < 0x90;
  int beyond = p[0] > 0xF4 || (p[0] == 0xF4 && p[1] > 0x8F);
  return overlong || beyond ? 0 : 4;
}

#ifdef __cplusplus
}
#endif

#endif
