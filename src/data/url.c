// SPDX-License-Identifier: MIT
// The parser of URLs. See url.h. The states of the standard's machine are functions here: each
// takes the rest of the input, writes its part and goes on to the next.
#include "data/url.h"

#include <string.h>

#include "data/url_text.h"

typedef struct parser {
  url *u;
  const url *base;
  const char *end;
  int as_is;
} parser;

// --- Writing ---------------------------------------------------------------------------------

void url_put(url *u, const char *s, size_t n) {
  if (u->capacity - u->len < n) n = u->capacity - u->len;  // cannot be: url_room is enough
  if (n) memcpy(u->text + u->len, s, n);
  u->len += n;
}

void url_put_encoded(url *u, int set, const char *s, size_t n) {
  size_t i = 0;
  while (i < n && !url_is((unsigned char)s[i], set)) i++;
  url_put(u, s, i);
  if (i == n || u->capacity - u->len < 3 * (n - i)) return;
  u->len += url_encode(set, s + i, n - i, u->text + u->len);
}

// Write a part encoded; answer where it stands.
static url_span put_part(url *u, int set, const char *s, const char *end) {
  size_t at = u->len;
  url_put_encoded(u, set, s, (size_t)(end - s));
  return (url_span){(uint32_t)at, (uint32_t)(u->len - at)};
}

static const char *text_of(const url *u, url_span s) {
  return u->text + s.at;
}

// --- Letters ---------------------------------------------------------------------------------

static int is_alpha(char c) {
  return (unsigned char)((c | 32) - 'a') < 26;
}

static int is_digit(char c) {
  return (unsigned char)(c - '0') < 10;
}

static int is_slash(const parser *p, char c) {
  return c == '/' || (c == '\\' && p->u->is_special && !p->as_is);
}

// Where the part that begins at `s` ends: at a slash, "?" or "#".
static const char *end_of_part(const parser *p, const char *s) {
  while (s < p->end && !is_slash(p, *s) && *s != '?' && *s != '#') s++;
  return s;
}

static int is_drive(const char *s, size_t n) {
  return n == 2 && is_alpha(s[0]) && (s[1] == ':' || s[1] == '|');
}

// Whether the rest begins with the letter of a drive (C:).
static int begins_with_drive(const parser *p, const char *s) {
  if (p->end - s < 2 || !is_drive(s, 2)) return 0;
  return p->end - s == 2 || s[2] == '/' || s[2] == '\\' || s[2] == '?' || s[2] == '#';
}

// How many dots the segment is made of, 0 when it is none of "." and "..", "%2e" being a dot.
static int dots(const char *s, size_t n) {
  int count = 0;
  while (n) {
    size_t len = s[0] == '.'                                                  ? 1
                 : n >= 3 && s[0] == '%' && s[1] == '2' && (s[2] | 32) == 'e' ? 3
                                                                              : 0;
    if (!len || ++count > 2) return 0;
    s += len;
    n -= len;
  }
  return count;
}

// --- Path, query, fragment ---------------------------------------------------------------------

static const char *parse_fragment(parser *p, const char *s) {
  if (s == p->end) return NULL;
  url_put(p->u, "#", 1);
  p->u->has_fragment = 1;
  p->u->fragment = put_part(p->u, URL_FRAGMENT, s + 1, p->end);
  return NULL;
}

// The rest is empty, or begins with "?" or "#".
static const char *parse_query(parser *p, const char *s) {
  url *u = p->u;
  if (s == p->end || *s == '#') return parse_fragment(p, s);
  const char *end = memchr(s, '#', (size_t)(p->end - s));
  if (!end) end = p->end;
  url_put(u, "?", 1);
  u->has_query = 1;
  u->query = put_part(u,
                      p->as_is        ? URL_SENT
                      : u->is_special ? URL_SPECIAL_QUERY
                                      : URL_QUERY,
                      s + 1, end);
  return parse_fragment(p, end);
}

// Remove the last segment, but not the drive of a file.
static void shorten(url *u) {
  const char *path = text_of(u, u->path);
  if (u->is_file && u->path.len == 3 && is_drive(path + 1, 2) && path[2] == ':') return;
  while (u->path.len && u->text[--u->len] != '/') u->path.len--;
  if (u->path.len) u->path.len--;
}

// Write one segment; `is_last`: no slash follows it.
static void put_segment(parser *p, const char *s, size_t n, int is_last) {
  url *u = p->u;
  size_t before = u->len;
  int count = p->as_is ? 0 : dots(s, n);
  if (count == 2) {
    shorten(u);
    before = u->len;
  }
  if (count == 0 || is_last) url_put(u, "/", 1);
  if (count == 0 && u->is_file && u->path.len == 0 && is_drive(s, n)) {
    url_put(u, s, 1);
    url_put(u, ":", 1);
  } else if (count == 0) {
    url_put_encoded(u, p->as_is ? URL_SENT : URL_PATH, s, n);
  }
  u->path.len += (uint32_t)(u->len - before);
}

// Put "/." before a path that would be read as a host. Its query is not written yet.
static void guard_path(url *u) {
  if (u->has_host || u->is_opaque || u->path.len < 2 || text_of(u, u->path)[1] != '/') return;
  url_put(u, "  ", 2);
  memmove(u->text + u->path.at + 2, u->text + u->path.at, u->path.len);
  memcpy(u->text + u->path.at, "/.", 2);
  u->path.at += 2;
}

// Segments are added to the path that is there.
static const char *parse_segments(parser *p, const char *s) {
  url *u = p->u;
  for (;;) {
    const char *end = end_of_part(p, s);
    int is_last = end == p->end || !is_slash(p, *end);
    put_segment(p, s, (size_t)(end - s), is_last);
    s = end;
    if (is_last) break;
    s++;
  }
  guard_path(u);
  return parse_query(p, s);
}

static void begin_path(url *u) {
  u->path = (url_span){(uint32_t)u->len, 0};
}

// The path behind a host.
static const char *parse_path(parser *p, const char *s) {
  begin_path(p->u);
  if (!p->u->is_special && (s == p->end || *s == '?' || *s == '#')) return parse_query(p, s);
  return parse_segments(p, s < p->end && is_slash(p, *s) ? s + 1 : s);
}

static const char *parse_opaque(parser *p, const char *s) {
  const char *end = s;
  while (end < p->end && *end != '?' && *end != '#') end++;
  p->u->is_opaque = 1;
  p->u->path = put_part(p->u, URL_CONTROL, s, end);
  return parse_query(p, end);
}

// --- Authority -----------------------------------------------------------------------------------

static int is_scheme(const url *u, const char *name) {
  return u->scheme.len == strlen(name) && memcmp(u->text, name, u->scheme.len) == 0;
}

// The scheme's own port; 0 for file, -1 for a scheme that is not special.
static int own_port(const url *u) {
  if (is_scheme(u, "http") || is_scheme(u, "ws")) return 80;
  if (is_scheme(u, "https") || is_scheme(u, "wss")) return 443;
  if (is_scheme(u, "ftp")) return 21;
  return is_scheme(u, "file") ? 0 : -1;
}

static void put_credentials(url *u, const char *s, const char *end) {
  const char *colon = memchr(s, ':', (size_t)(end - s));
  const char *user_end = colon ? colon : end;
  if (end - s == (colon ? 1 : 0)) return;
  u->user = put_part(u, URL_USERINFO, s, user_end);
  if (colon && colon + 1 < end) {
    url_put(u, ":", 1);
    u->password = put_part(u, URL_USERINFO, colon + 1, end);
  }
  url_put(u, "@", 1);
}

static const char *put_port(url *u, const char *s, const char *end) {
  unsigned port = 0;
  if (s == end) return NULL;
  for (const char *c = s; c < end; c++) {
    if (!is_digit(*c)) return "the port is not a number";
    port = port * 10 + (unsigned)(*c - '0');
    if (port > 65535) return "the port is not in range";
  }
  if (u->is_special && (int)port == own_port(u)) return NULL;
  char digits[6], *d = digits + sizeof digits;
  u->port = (int)port;
  do *--d = (char)('0' + port % 10);
  while (port /= 10);
  *--d = ':';
  url_put(u, d, (size_t)(digits + sizeof digits - d));
  return NULL;
}

// The colon before the port, outside of brackets, else the end.
static const char *end_of_host(const char *s, const char *end) {
  int inside = 0;
  for (; s < end && (inside || *s != ':'); s++) {
    if (*s == '[') inside = 1;
    if (*s == ']') inside = 0;
  }
  return s;
}

// What follows the two slashes.
static const char *parse_authority(parser *p, const char *s) {
  url *u = p->u;
  const char *end = end_of_part(p, s), *at = end;
  while (at > s && at[-1] != '@') at--;
  url_put(u, "//", 2);
  u->has_host = 1;
  if (at > s) put_credentials(u, s, at - 1);
  const char *host_end = end_of_host(at, end);
  if (at == host_end && (at > s || host_end < end || u->is_special)) return "the host is missing";
  const char *why = url_put_host(u, at, (size_t)(host_end - at));
  if (!why && host_end < end) why = put_port(u, host_end + 1, end);
  return why ? why : parse_path(p, end);
}

static const char *skip_slashes(const parser *p, const char *s) {
  while (s < p->end && is_slash(p, *s)) s++;
  return s;
}

// --- Relative to a base
// ----------------------------------------------------------------------------

// Copy the base, whose scheme is the same, up to its path, and the path too if that is wanted.
static void copy_base(parser *p, int with_path) {
  url *u = p->u;
  const url *b = p->base;
  uint32_t end = b->path.at;
  if (!b->has_host && !b->is_opaque) end = b->scheme.len + 1;  // without "/."
  url_put(u, b->text + u->len, end - u->len);
  u->user = b->user;
  u->password = b->password;
  u->host = b->host;
  u->port = b->port;
  u->has_host = b->has_host;
  u->is_opaque = b->is_opaque;
  begin_path(u);
  if (!with_path) return;
  url_put(u, text_of(b, b->path), b->path.len);
  u->path.len = b->path.len;
}

static void copy_query(parser *p) {
  if (!p->base->has_query) return;
  url_put(p->u, "?", 1);
  p->u->has_query = 1;
  p->u->query = put_part(p->u, 0, text_of(p->base, p->base->query),
                         text_of(p->base, p->base->query) + p->base->query.len);
}

// The rest is empty, or begins with "?" or "#": the path is the base's.
static const char *parse_beyond_path(parser *p, const char *s) {
  guard_path(p->u);
  if (s == p->end || *s == '#') copy_query(p);
  return parse_query(p, s);
}

static const char *parse_relative(parser *p, const char *s) {
  if (s < p->end && is_slash(p, *s)) {
    if (s + 1 < p->end && is_slash(p, s[1]))
      return parse_authority(p, p->u->is_special ? skip_slashes(p, s) : s + 2);
    copy_base(p, 0);
    return parse_segments(p, s + 1);
  }
  copy_base(p, 1);
  if (s == p->end || *s == '?' || *s == '#') return parse_beyond_path(p, s);
  shorten(p->u);
  return parse_segments(p, s);
}

// --- Files
// -----------------------------------------------------------------------------------------

static void put_no_host(url *u) {
  url_put(u, "//", 2);
  u->has_host = 1;
  u->host = (url_span){(uint32_t)u->len, 0};
}

static const char *parse_file_host(parser *p, const char *s) {
  url *u = p->u;
  const char *end = end_of_part(p, s);
  put_no_host(u);
  if (is_drive(s, (size_t)(end - s))) {
    begin_path(u);
    return parse_segments(p, s);
  }
  if (end > s) {
    const char *why = url_put_host(u, s, (size_t)(end - s));
    if (why) return why;
    if (u->host.len == 9 && memcmp(text_of(u, u->host), "localhost", 9) == 0) {
      u->len -= 9;
      u->host.len = 0;
    }
  }
  return parse_path(p, end);
}

// What follows "file:"; the base is a file too, or NULL.
static const char *parse_file(parser *p, const char *s) {
  url *u = p->u;
  const url *b = p->base;
  if (s < p->end && is_slash(p, *s)) {
    if (s + 1 < p->end && is_slash(p, s[1])) return parse_file_host(p, s + 2);
    s++;
    if (!b) {
      put_no_host(u);
      begin_path(u);
      return parse_segments(p, s);
    }
    copy_base(p, 0);
    const char *drive = text_of(b, b->path) + 1;
    if (!begins_with_drive(p, s) && b->path.len >= 3 && is_drive(drive, 2) && drive[1] == ':' &&
        (b->path.len == 3 || drive[2] == '/')) {
      url_put(u, drive - 1, 3);
      u->path.len = 3;
    }
    return parse_segments(p, s);
  }
  if (!b) {
    put_no_host(u);
    begin_path(u);
    return parse_segments(p, s);
  }
  int is_new = s < p->end && *s != '?' && *s != '#';
  copy_base(p, !is_new || !begins_with_drive(p, s));
  if (!is_new) return parse_beyond_path(p, s);
  if (u->path.len) shorten(u);
  return parse_segments(p, s);
}

// --- The whole
// -------------------------------------------------------------------------------------

// The colon behind the scheme, NULL when there is no scheme.
static const char *end_of_scheme(const char *s, const char *end) {
  if (s == end || !is_alpha(*s)) return NULL;
  while (s < end && (is_alpha(*s) || is_digit(*s) || *s == '+' || *s == '-' || *s == '.')) s++;
  return s < end && *s == ':' ? s : NULL;
}

// Write the scheme in small letters, and the colon.
static void put_scheme(url *u, const char *s, size_t n) {
  url_put(u, s, n);
  u->scheme.len = (uint32_t)u->len;
  for (size_t i = 0; i < u->len; i++)
    if (is_alpha(u->text[i])) u->text[i] |= 32;
  url_put(u, ":", 1);
  int port = own_port(u);
  u->is_special = port >= 0;
  u->is_file = port == 0;
}

static const char *parse_without_scheme(parser *p, const char *s) {
  const url *b = p->base;
  if (!b) return "a scheme such as http: is missing";
  if (b->is_opaque && (s == p->end || *s != '#'))
    return "a scheme is missing, and nothing can be relative to the base";
  put_scheme(p->u, text_of(b, b->scheme), b->scheme.len);
  if (b->is_opaque) {
    copy_base(p, 1);
    return parse_beyond_path(p, s);
  }
  return b->is_file ? parse_file(p, s) : parse_relative(p, s);
}

static const char *parse(parser *p, const char *s) {
  const url *b = p->base;
  const char *colon = end_of_scheme(s, p->end);
  if (!colon) return parse_without_scheme(p, s);
  url *u = p->u;
  put_scheme(u, s, (size_t)(colon - s));
  s = colon + 1;
  int has_slashes = p->end - s >= 2 && s[0] == '/' && s[1] == '/';
  int is_same = b && b->scheme.len == u->scheme.len && memcmp(b->text, u->text, u->scheme.len) == 0;
  if (u->is_file) {
    if (!is_same) p->base = NULL;
    return parse_file(p, s);
  }
  if (u->is_special && is_same && !has_slashes) return parse_relative(p, s);
  if (u->is_special) return parse_authority(p, skip_slashes(p, s));
  if (has_slashes) return parse_authority(p, s + 2);
  if (s == p->end || *s != '/') return parse_opaque(p, s);
  begin_path(u);
  return parse_segments(p, s + 1);
}

// Copy the text without tabs and line ends to the end of the room. Answers its length.
static size_t strip(const char *in, size_t n, char *out) {
  size_t len = 0;
  for (size_t i = 0; i < n; i++)
    if (in[i] != '\t' && in[i] != '\n' && in[i] != '\r') out[len++] = in[i];
  return len;
}

const char *url_parse(url *out, const char *in, size_t n, const url *base, int as_is) {
  char *text = out->text;
  size_t capacity = out->capacity;
  if (n > URL_LONGEST || capacity < url_room(n, base)) return "it is too long";
  *out = (url){.text = text, .capacity = capacity, .port = -1};
  while (n && (unsigned char)in[0] <= ' ') in++, n--;
  while (n && (unsigned char)in[n - 1] <= ' ') n--;
  if (memchr(in, '\n', n) || memchr(in, '\t', n) || memchr(in, '\r', n)) {
    out->capacity -= n;
    n = strip(in, n, text + out->capacity);
    in = text + out->capacity;
  }
  parser p = {out, base, in + n, as_is};
  return parse(&p, in);
}
