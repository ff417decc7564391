// SPDX-License-Identifier: MIT
// Checks of a complete head. llhttp 8.1 lets pass: folded lines, an empty header name, several Host
// headers, runs of spaces in the request line, HTTP/0.9 and 2.0, RTSP, status codes of one digit,
// an empty Transfer-Encoding, codings other than chunked in responses. The block is the untouched
// input here, so each line is checked where it stands. Invariant: after HTTP_E_NONE the fields lie
// line by line in the block, and the framing is the only one that the headers allow.
#include "http/head.h"

#include <string.h>

#include "http/headers.h"

// What the walk over the headers has met.
typedef struct findings {
  http_text host;
  bool length, coding, chunked, close, keep_alive, upgrade, upgrade_token;
} findings;

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// What follows a CONNECT belongs to a tunnel, or to a client that takes it for granted.
static bool is_connect(const http_parser *p) {
  return p->kind == HTTP_KIND_REQUEST && p->ll.method == HTTP_CONNECT;
}

// METHOD SP TARGET SP HTTP/1.x
static http_error check_request_line(http_parser *p, const char *line, uint32_t len) {
  const uint32_t tail = sizeof " HTTP/1.1" - 1;
  if (len < tail || memcmp(line + len - tail, " HTTP/1.", tail - 1) != 0) return HTTP_E_VERSION;

  const char *space = memchr(line, ' ', len);
  const char *target = space + 1;
  const char *end = line + len - tail;
  if (target >= end || target[0] == ' ' || end[-1] == ' ') return HTTP_E_REQUEST_LINE;
  if ((size_t)(end - target) > p->limits.target) return HTTP_E_TARGET_LENGTH;
  if (!http_target_valid(target, (size_t)(end - target))) return HTTP_E_TARGET;
  p->head.method = (uint16_t)(space - line);
  return HTTP_E_NONE;
}

// HTTP/1.x SP DDD [SP REASON]
static http_error check_status_line(http_parser *p, const char *line, uint32_t len) {
  const uint32_t fixed = sizeof "HTTP/1.1 200" - 1;
  if (p->ll.http_major != 1) return HTTP_E_VERSION;
  if (len < fixed || p->ll.status_code < 100 || (len > fixed && line[fixed] != ' ') ||
      !http_value_valid(line + fixed, len - fixed))
    return HTTP_E_STATUS_LINE;
  p->head.status = p->ll.status_code;
  return HTTP_E_NONE;
}

// Check that the fields from `first` on fill the block from `pos` to its end, one line each and an
// empty line last.
static http_error check_lines(http_parser *p, uint32_t first, uint32_t pos) {
  for (uint32_t i = first; i < p->nfields; i++) {
    http_field *f = &p->fields[i];
    if (f->name != pos) return is_blank(p->block[pos]) ? HTTP_E_FOLD : HTTP_E_HEADER_LINE;

    uint32_t at = pos + f->name_len + 1;
    while (is_blank(p->block[at])) at++;
    if (f->value_len == 0) f->value = at;
    pos = f->value + f->value_len;
    if (f->value != at) return HTTP_E_FOLD;
    if (memcmp(p->block + pos, "\r\n", 2) != 0) return HTTP_E_HEADER_LINE;
    pos += 2;

    while (f->value_len > 0 && is_blank(p->block[f->value + f->value_len - 1])) f->value_len--;
    http_lower(p->block + f->name, f->name_len);
  }
  if (p->folded || is_blank(p->block[pos])) return HTTP_E_FOLD;
  if (p->block[pos] == '\n') return HTTP_E_LINE_END;
  return pos + 2 == p->block_len ? HTTP_E_NONE : HTTP_E_HEADER_LINE;
}

static http_error note_host(http_parser *p, findings *f, const char *value, uint32_t len) {
  if (p->kind == HTTP_KIND_RESPONSE) return HTTP_E_NONE;
  if (f->host.s) return HTTP_E_TWO_HOSTS;
  f->host = (http_text){value, len};
  return http_host_valid(value, len) ? HTTP_E_NONE : HTTP_E_HOST;
}

static http_error note_coding(findings *f, const char *value, uint32_t len) {
  if (f->coding) return HTTP_E_CODING;
  f->coding = true;
  f->chunked = http_equals(value, len, "chunked");
  return f->chunked ? HTTP_E_NONE : HTTP_E_CODING;
}

static http_error note_expect(http_parser *p, const char *value, uint32_t len) {
  if (p->kind == HTTP_KIND_RESPONSE || len == 0) return HTTP_E_NONE;
  p->head.expect_continue = http_equals(value, len, "100-continue");
  return p->head.expect_continue ? HTTP_E_NONE : HTTP_E_EXPECT;
}

#define IS(literal) (len == sizeof(literal) - 1 && memcmp(name, literal, len) == 0)

static http_error note(http_parser *p, findings *f, const http_field *field) {
  const char *name = p->block + field->name;
  const char *value = p->block + field->value;
  uint32_t len = field->name_len;
  if (IS("host")) return note_host(p, f, value, field->value_len);
  if (IS("content-length")) {
    f->length = true;
  } else if (IS("transfer-encoding")) {
    return note_coding(f, value, field->value_len);
  } else if (IS("connection")) {
    f->close |= http_list_has(value, field->value_len, "close");
    f->keep_alive |= http_list_has(value, field->value_len, "keep-alive");
    f->upgrade_token |= http_list_has(value, field->value_len, "upgrade");
  } else if (IS("upgrade")) {
    f->upgrade |= field->value_len > 0;
  } else if (IS("expect")) {
    return note_expect(p, value, field->value_len);
  }
  return HTTP_E_NONE;
}

#undef IS

// A target that is a whole URL names the host that the header names too (RFC 9112, 3.2.2): who goes
// by the one and who goes by the other would take it for two requests.
static http_error check_form(const http_parser *p, const findings *f) {
  http_text t = http_parser_target(p);
  const char *end = t.s + t.n, *colon = memchr(t.s, ':', t.n), *host;
  if (t.s[0] == '/' || is_connect(p)) return HTTP_E_NONE;
  if (t.s[0] == '*')
    return t.n == 1 && p->ll.method == HTTP_OPTIONS ? HTTP_E_NONE : HTTP_E_TARGET_FORM;
  if (!colon || end - colon < 3) return HTTP_E_TARGET;
  host = colon + 3;
  for (t.s = host; t.s < end && *t.s != '/' && *t.s != '?'; t.s++) continue;
  t.n = (size_t)(t.s - host);
  if (!f->host.s) return HTTP_E_NONE;  // of HTTP/1.0
  return t.n && t.n == f->host.n && http_alike(host, f->host.s, t.n) ? HTTP_E_NONE
                                                                     : HTTP_E_TARGET_HOST;
}

static http_error settle_framing(http_parser *p, const findings *f) {
  http_head *h = &p->head;
  bool none =
    p->no_body || h->status == 204 || h->status == 304 || (h->status != 0 && h->status < 200);
  if (f->coding && f->length) return HTTP_E_LENGTH_AND_CODING;
  if (f->coding && h->minor == 0) return HTTP_E_CODING_IN_1_0;
  // Where llhttp reads a header otherwise than this file, nobody may guess who is right.
  if (f->chunked != !!(p->ll.flags & F_CHUNKED)) return HTTP_E_CODING;
  if (f->length != !!(p->ll.flags & F_CONTENT_LENGTH)) return HTTP_E_LENGTH;
  h->has_length = f->length;
  h->length = f->length ? p->ll.content_length : 0;
  if (none)
    h->framing = HTTP_BODY_NONE;
  else if (f->chunked)
    h->framing = HTTP_BODY_CHUNKED;
  else if (f->length)
    h->framing = h->length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
  else
    h->framing = p->kind == HTTP_KIND_RESPONSE ? HTTP_BODY_CLOSE : HTTP_BODY_NONE;
  return HTTP_E_NONE;
}

http_error http_head_check(http_parser *p) {
  // The start line ends where the first header or the empty line begins.
  uint32_t first = p->nfields > 0 ? p->fields[0].name : p->block_len - 2;
  uint32_t len = first - 2;
  findings f = {0};
  http_error e;

  memset(&p->head, 0, sizeof p->head);
  if (p->block[len] != '\r') return HTTP_E_LINE_END;
  e = p->kind == HTTP_KIND_REQUEST ? check_request_line(p, p->block, len)
                                   : check_status_line(p, p->block, len);
  if (e != HTTP_E_NONE) return e;
  e = check_lines(p, 0, first);
  if (e != HTTP_E_NONE) return e;

  p->head.start_len = len;
  p->head.count = p->nfields;
  p->head.minor = p->ll.http_minor;
  for (uint32_t i = 0; i < p->nfields; i++) {
    e = note(p, &f, &p->fields[i]);
    if (e != HTTP_E_NONE) return e;
  }
  if (p->kind == HTTP_KIND_REQUEST && p->head.minor > 0 && !f.host.s) return HTTP_E_NO_HOST;

  e = p->kind == HTTP_KIND_REQUEST ? check_form(p, &f) : HTTP_E_NONE;
  if (e == HTTP_E_NONE) e = settle_framing(p, &f);
  bool keep = p->head.minor > 0 || f.keep_alive;
  p->head.expect_continue &= p->head.minor > 0;
  p->head.upgrade = f.upgrade && f.upgrade_token && p->head.minor > 0;
  p->head.keepalive = keep && !f.close && p->head.framing != HTTP_BODY_CLOSE &&
                      p->head.status != 101 && !is_connect(p);
  return e;
}

http_error http_trailers_check(http_parser *p) {
  return check_lines(p, p->head.count, p->trailers);
}
