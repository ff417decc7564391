// SPDX-License-Identifier: MIT
// Incremental parser of HTTP/1.x messages, one for each direction of a connection: llhttp finds the
// end of the head and decodes chunking, this file adds what llhttp lets through and turns callbacks
// into events that the owner pulls. Plain C without Lua and libuv; runs on the thread of its owner.
// It owns two buffers, kept from message to message, so a message in the steady state allocates
// nothing. Invariant: the events depend on the bytes only, not on how they were cut into pieces (a
// body may come in more spans).
//
//   for (;;) {
//     http_event ev = http_parser_feed(p, data, len, &used);
//     data += used, len -= used;
//     if (ev == HTTP_EV_MORE) break;   // read more, or http_parser_finish at the end of the stream
//     ...                              // head, body span, complete; on error and upgrade: leave
//   }
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if LLHTTP_VERSION_MAJOR < 9 && !LLHTTP_STRICT_MODE
#error "llhttp must be compiled with LLHTTP_STRICT_MODE=1: lenient, it accepts junk after a chunk"
#endif

typedef enum http_kind { HTTP_KIND_REQUEST, HTTP_KIND_RESPONSE } http_kind;

typedef enum http_event {
  HTTP_EV_MORE,      // every byte is consumed and nothing is pending
  HTTP_EV_HEAD,      // the head is complete: `head` and the functions below are valid
  HTTP_EV_BODY,      // `body` is a span of the bytes just fed
  HTTP_EV_COMPLETE,  // the message is over; what is not consumed belongs to the next one
  HTTP_EV_UPGRADE,   // the response was a 101; what is not consumed is another protocol
  HTTP_EV_END,       // http_parser_finish only: the stream ended between two messages
  HTTP_EV_ERROR,     // refused or cut short, for good: see http_parser_error
} http_event;

// X(name, code, status a server answers with, sentence)
#define HTTP_ERRORS(X)                                                                        \
  X(NONE, "none", 0, "no error")                                                              \
  X(NO_MEMORY, "no-memory", 500, "out of memory")                                             \
  X(METHOD, "method", 501, "the request method is unknown")                                   \
  X(REQUEST_LINE, "request-line", 400, "the request line is malformed")                       \
  X(STATUS_LINE, "status-line", 400, "the status line is malformed")                          \
  X(VERSION, "version", 505, "the HTTP version is not 1.0 or 1.1")                            \
  X(TARGET, "target", 400, "the request target has a character that is not allowed")          \
  X(TARGET_LENGTH, "target-length", 414, "the request target is over the limit")              \
  X(TARGET_FORM, "target-form", 400, "the request target * is for OPTIONS alone")             \
  X(TARGET_HOST, "target-host", 400, "the request target and the Host header name two hosts") \
  X(LINE_END, "line-end", 400, "a line does not end with CR LF")                              \
  X(HEAD_SIZE, "head-size", 431, "the header block is over the limit")                        \
  X(HEADER_COUNT, "header-count", 431, "more headers than the limit")                         \
  X(HEADER_NAME, "header-name", 400,                                                          \
    "a header name has a character that is not allowed, or a space before the colon")         \
  X(EMPTY_NAME, "empty-name", 400, "a header without a name")                                 \
  X(HEADER_VALUE, "header-value", 400, "a header value has a control character")              \
  X(HEADER_LINE, "header-line", 400, "a header line is malformed")                            \
  X(FOLD, "fold", 400, "a header value is folded over two lines")                             \
  X(NO_HOST, "no-host", 400, "no Host header in an HTTP/1.1 request")                         \
  X(TWO_HOSTS, "two-hosts", 400, "more than one Host header")                                 \
  X(HOST, "host", 400, "the Host header has a character that is not allowed")                 \
  X(LENGTH, "length", 400, "the Content-Length header is not a number in range")              \
  X(TWO_LENGTHS, "two-lengths", 400, "more than one Content-Length header")                   \
  X(LENGTH_AND_CODING, "length-and-coding", 400,                                              \
    "both a Transfer-Encoding and a Content-Length header")                                   \
  X(CODING, "coding", 501, "the Transfer-Encoding is not exactly chunked")                    \
  X(CODING_IN_1_0, "coding-in-1.0", 400, "a Transfer-Encoding header in an HTTP/1.0 message") \
  X(EXPECT, "expect", 417, "the Expect header asks for something else than 100-continue")     \
  X(BODY_SIZE, "body-size", 413, "the body is over the limit")                                \
  X(CHUNK_SIZE, "chunk-size", 400, "the line with the size of a chunk is malformed")          \
  X(CHUNK_END, "chunk-end", 400, "the data of a chunk is not followed by CR LF")              \
  X(CHUNK_OVERHEAD, "chunk-overhead", 400, "chunk framing out of proportion to its data")     \
  X(TRAILER_SIZE, "trailer-size", 431, "the trailers are over the limit")                     \
  X(INTERIM, "interim", 400, "too many interim responses")                                    \
  X(AFTER_CLOSE, "after-close", 400, "bytes after a message that closes the connection")      \
  X(AFTER_UPGRADE, "after-upgrade", 400, "the connection speaks another protocol now")        \
  X(CUT_START, "cut-start", 400, "the connection was closed inside the start line")           \
  X(CUT_HEADERS, "cut-headers", 400, "the connection was closed inside the headers")          \
  X(CUT_INTERIM, "cut-interim", 400, "the connection was closed after an interim response")   \
  X(CUT_BODY, "cut-body", 400, "the connection was closed inside the body")                   \
  X(CUT_CHUNK, "cut-chunk", 400, "the connection was closed inside a chunked body")           \
  X(CUT_TRAILERS, "cut-trailers", 400, "the connection was closed inside the trailers")

#define HTTP_ERROR_NAME(name, code, status, sentence) HTTP_E_##name,
typedef enum http_error { HTTP_ERRORS(HTTP_ERROR_NAME) } http_error;
#undef HTTP_ERROR_NAME

#define HTTP_MOST (1u << 30)  // that the limits of a head may be

typedef struct http_limits {
  uint32_t head;  // bytes of the start line with the headers, at most HTTP_MOST; as much again for
                  // the trailers, and for chunk framing beyond 16 bytes and twice the data a chunk
  uint32_t headers;  // headers and trailers together
  uint32_t target;   // bytes of the request target
  uint32_t interim;  // 1xx responses before the final one
  uint64_t body;     // bytes of the body without its framing; 0: no limit
} http_limits;

typedef struct http_text {
  const char *s;  // not terminated; NULL where there is none
  size_t n;
} http_text;

typedef struct http_field {
  uint32_t name, name_len;  // offsets into the block; names are in lower case
  uint32_t value, value_len;
} http_field;

typedef enum http_framing {
  HTTP_BODY_NONE,
  HTTP_BODY_LENGTH,
  HTTP_BODY_CHUNKED,
  HTTP_BODY_CLOSE,  // until the end of the stream
} http_framing;

// What the head says, for the owner to read.
typedef struct http_head {
  uint64_t length;     // Content-Length where has_length (which a response to HEAD has too)
  uint32_t count;      // headers
  uint32_t start_len;  // bytes of the start line
  uint16_t method;     // bytes of the request method, at the start of the block
  uint16_t status;     // of a response
  uint8_t minor;       // HTTP/1.minor
  uint8_t framing;     // http_framing
  bool has_length;
  bool keepalive;        // the connection may serve another message after this one
  bool upgrade;          // it offers another protocol, or a 101 that names it
  bool expect_continue;  // a request that waits for 100 Continue before it sends its body
} http_head;

// Fields below `body` are the parser's own.
typedef struct http_parser {
  http_head head;
  http_text body;
  http_limits limits;  // may be changed between two messages
  uint32_t interim;    // 1xx responses that went before
  bool go_on;          // one of them was 100 Continue
  http_kind kind;

  llhttp_t ll;
  char *block;  // start line and headers, then the trailers; names are in lower case
  char *raw;    // start line and headers as they came, where that is wanted
  http_field *fields;
  const char *chunk;   // the bytes that llhttp sees now
  uint64_t remaining;  // bytes of the body, or of the chunk
  uint64_t received;   // bytes of the body that were handed out
  uint32_t block_len, block_cap, nfields, fields_cap, raw_len;
  uint32_t trailers;  // offset of the trailers in the block
  uint32_t overhead;  // chunk framing not yet paid for by data
  uint8_t phase;
  uint8_t error;  // http_error
  uint8_t blank;  // bytes of empty lines before the message
  bool no_body, started, target_done, in_name, in_value, folded, data_ended, keep_raw;
} http_parser;

// Answer the limits for a kind of message: a head of 16 KiB, a target of 8 KiB, 100 headers (256 in
// a response), 16 interim responses, any body. [any]
http_limits http_limits_default(http_kind kind);

// Make a parser in place; it allocates with its first message. `limits` may be NULL. [any]
void http_parser_init(http_parser *p, http_kind kind, const http_limits *limits);

// Free the buffers. [any]
void http_parser_fini(http_parser *p);

// Give large buffers back, and the head with them, unless a message is under way: for a connection
// that will idle. [any]
void http_parser_trim(http_parser *p);

// Say that the response to come answers a HEAD request (or a CONNECT that succeeds), so it has no
// body whatever its headers say. Holds for one final response. [any]
void http_parser_expect_no_body(http_parser *p);

// Keep the heads of the messages to come as they came, for http_parser_raw. [any]
void http_parser_keep_raw(http_parser *p);

// Parse up to the next event; `*used` bytes of `data` are consumed. To be called again with what is
// left, also when nothing is left, until HTTP_EV_MORE. `head`, `body` and all texts are valid until
// the next call that begins a message; a body span as long as `data`. [any]
http_event http_parser_feed(http_parser *p, const char *data, size_t len, size_t *used);

// Tell that the stream has ended, after HTTP_EV_MORE. HTTP_EV_COMPLETE: this ended a body without a
// length. HTTP_EV_END: between two messages. HTTP_EV_ERROR: cut short, the error says where. [any]
http_event http_parser_finish(http_parser *p);

// Say whether the connection may be kept after the message whose head was parsed last. [any]
bool http_parser_keepalive(const http_parser *p);

// Answer the parts of the start line; empty where the message has none. [any]
http_text http_parser_method(const http_parser *p);
http_text http_parser_target(const http_parser *p);
http_text http_parser_reason(const http_parser *p);

// Answer the head as it came, up to the empty line and with it; empty unless it was to be kept.
// [any]
http_text http_parser_raw(const http_parser *p);

// Answer the name, in lower case, or the value of header `i` of `head.count`, in order of arrival.
// The value is without surrounding blanks. [any]
http_text http_parser_name(const http_parser *p, uint32_t i);
http_text http_parser_value(const http_parser *p, uint32_t i);

// Find a header by its name in lower case, at index `*i` or after it (NULL: at 0): its value, and
// its index in `*i`; .s is NULL where there is none. [any]
http_text http_parser_find(const http_parser *p, const char *name, size_t len, uint32_t *i);

// Answer what was refused: a sentence, a short stable code, the status a server answers with. [any]
const char *http_parser_error(const http_parser *p);
const char *http_parser_error_code(const http_parser *p);
int http_parser_error_status(const http_parser *p);

#endif
