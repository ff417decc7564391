// SPDX-License-Identifier: MIT
// The text of an answer, which a server writes: status line, headers, body. One is kept by each Lua
// state and used for all answers, one after the other; it owns its two buffers and the line with
// the date, which is made once a second. Runs on the thread of its owner.
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

typedef struct http_reply {
  buffer head, body;
  int64_t second;  // of the date
  char date[64];
  int status;
  bool has_date, has_type;
  bool closes;  // a header wants the connection closed
  bool failed;  // out of memory
} http_reply;

void http_reply_init(http_reply *r);
void http_reply_fini(http_reply *r);

// Begin anew, with a status of three digits. What is out of memory from here on is told by
// http_reply_end. [any]
void http_reply_begin(http_reply *r, int status);

// Add a header, whose name and value are valid. Those that the server itself sends (of length and
// connection) are left out. [any]
void http_reply_header(http_reply *r, const char *name, size_t n, const char *value, size_t len);

// Add a line with the content type, unless a header has named it. [any]
void http_reply_type(http_reply *r, const char *line);

typedef enum http_reply_framing {
  HTTP_REPLY_LENGTH,   // `length` bytes follow
  HTTP_REPLY_CHUNKED,  // the body comes in chunks
  HTTP_REPLY_CLOSE,    // the body ends with the connection
} http_reply_framing;

// End the head: date, length, and the connection's fate ("close", "keep-alive", NULL to say
// nothing). Answer whether all of it could be made. [any]
bool http_reply_end(http_reply *r, http_reply_framing framing, uint64_t length,
                    const char *connection);

// Say whether an answer of this status has a body at all (RFC 9110, section 6.4.1). [any]
bool http_reply_has_body(int status);

// Answer the reason phrase of a status, "Unknown" for one without. [any]
const char *http_reply_reason(int status);

#endif
