// SPDX-License-Identifier: MIT
// The text of an answer. See reply.h.
#include "http/reply.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/headers.h"

#define KEEP ((size_t)64 << 10)  // what a buffer keeps of its memory between two answers

typedef struct reason {
  int status;
  const char *text;
} reason;

// RFC 9110, section 15, and those of RFC 6585.
static const reason reasons[] = {
  {200, "OK"},
  {201, "Created"},
  {202, "Accepted"},
  {203, "Non-Authoritative Information"},
  {204, "No Content"},
  {205, "Reset Content"},
  {206, "Partial Content"},
  {300, "Multiple Choices"},
  {301, "Moved Permanently"},
  {302, "Found"},
  {303, "See Other"},
  {304, "Not Modified"},
  {307, "Temporary Redirect"},
  {308, "Permanent Redirect"},
  {400, "Bad Request"},
  {401, "Unauthorized"},
  {402, "Payment Required"},
  {403, "Forbidden"},
  {404, "Not Found"},
  {405, "Method Not Allowed"},
  {406, "Not Acceptable"},
  {407, "Proxy Authentication Required"},
  {408, "Request Timeout"},
  {409, "Conflict"},
  {410, "Gone"},
  {411, "Length Required"},
  {412, "Precondition Failed"},
  {413, "Content Too Large"},
  {414, "URI Too Long"},
  {415, "Unsupported Media Type"},
  {416, "Range Not Satisfiable"},
  {417, "Expectation Failed"},
  {418, "I'm a teapot"},
  {421, "Misdirected Request"},
  {422, "Unprocessable Content"},
  {426, "Upgrade Required"},
  {428, "Precondition Required"},
  {429, "Too Many Requests"},
  {431, "Request Header Fields Too Large"},
  {500, "Internal Server Error"},
  {501, "Not Implemented"},
  {502, "Bad Gateway"},
  {503, "Service Unavailable"},
  {504, "Gateway Timeout"},
  {505, "HTTP Version Not Supported"},
  {511, "Network Authentication Required"},
};

const char *http_reply_reason(int status) {
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].status == status) return reasons[i].text;
  return "Unknown";
}

bool http_reply_has_body(int status) {
  return status >= 200 && status != 204 && status != 205 && status != 304;
}

void http_reply_init(http_reply *r) {
  memset(r, 0, sizeof *r);
  buffer_init(&r->head);
  buffer_init(&r->body);
  r->second = -1;
}

void http_reply_fini(http_reply *r) {
  buffer_fini(&r->head);
  buffer_fini(&r->body);
}

// --- The head --------------------------------------------------------------------------------

static void put(http_reply *r, const char *s, size_t n) {
  if (buffer_append(&r->head, s, n) < 0) r->failed = true;
}

static void put_text(http_reply *r, const char *s) {
  put(r, s, strlen(s));
}

// Put the digits of a number in front of `end`, where there is room for 20; answers the first.
static char *write_number(char *end, uint64_t n) {
  do *--end = (char)('0' + n % 10);
  while (n /= 10);
  return end;
}

static void put_number(http_reply *r, uint64_t n) {
  char digits[20], *end = digits + sizeof digits, *p = write_number(end, n);
  put(r, p, (size_t)(end - p));
}

// Each piece costs more than its bytes, so the line is one.
static void put_length(http_reply *r, uint64_t n) {
  static const char name[] = "content-length: ", eol[] = "\r\n";
  char line[sizeof name + 20 + sizeof eol], *end = line + sizeof line;
  end -= sizeof eol - 1;
  memcpy(end, eol, sizeof eol - 1);
  char *p = write_number(end, n) - (sizeof name - 1);
  memcpy(p, name, sizeof name - 1);
  put(r, p, (size_t)(end + sizeof eol - 1 - p));
}

static void forget(buffer *b) {
  buffer_consume(b, buffer_len(b));
  buffer_trim(b, KEEP);
}

void http_reply_begin(http_reply *r, int status) {
  forget(&r->head);
  forget(&r->body);
  r->status = status;
  r->has_date = r->has_type = r->closes = r->failed = false;
  if (status == 200) {
    put_text(r, "HTTP/1.1 200 OK\r\n");
    return;
  }
  put_text(r, "HTTP/1.1 ");
  put_number(r, (uint64_t)status);
  put(r, " ", 1);
  put_text(r, http_reply_reason(status));
  put(r, "\r\n", 2);
}

void http_reply_header(http_reply *r, const char *name, size_t n, const char *value, size_t len) {
  if (http_equals(name, n, "content-length") || http_equals(name, n, "transfer-encoding")) return;
  if (http_equals(name, n, "connection")) {
    r->closes |= http_equals(value, len, "close");
    return;
  }
  r->has_date |= http_equals(name, n, "date");
  r->has_type |= http_equals(name, n, "content-type");
  put(r, name, n);
  put(r, ": ", 2);
  put(r, value, len);
  put(r, "\r\n", 2);
}

void http_reply_type(http_reply *r, const char *line) {
  if (!r->has_type) put_text(r, line);
}

// The names do not depend on the locale (RFC 9110, section 5.6.7).
static void put_date(http_reply *r) {
  static const char days[] = "SunMonTueWedThuFriSat";
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  time_t now = time(NULL);
  struct tm tm;
  if (now != r->second && gmtime_r(&now, &tm)) {
    snprintf(r->date, sizeof r->date, "date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
             days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    r->second = now;
  }
  put_text(r, r->date);
}

bool http_reply_end(http_reply *r, http_reply_framing framing, uint64_t length,
                    const char *connection) {
  if (!r->has_date) put_date(r);
  if (!http_reply_has_body(r->status)) {
    if (r->status == 205) put_length(r, 0);  // it has none, and has to say so (RFC 9110, 15.3.6)
  } else if (framing == HTTP_REPLY_CHUNKED) {
    put_text(r, "transfer-encoding: chunked\r\n");
  } else if (framing == HTTP_REPLY_LENGTH) {
    put_length(r, length);
  }
  if (connection) {
    put_text(r, "connection: ");
    put_text(r, connection);
    put(r, "\r\n", 2);
  }
  put(r, "\r\n", 2);
  return !r->failed;
}
