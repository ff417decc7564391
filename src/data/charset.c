// SPDX-License-Identifier: MIT
// Text in other character sets to UTF-8. See charset.h.
#include "data/charset.h"

#include <errno.h>
#include <string.h>
#include <uv.h>

#include "data/json_text.h"

#define NO_ICONV ((iconv_t)-1)

static const char replacement[] = "\xEF\xBF\xBD";

int charset_init(charset *c, const char *name) {
  memset(c, 0, sizeof *c);
  c->cd = NO_ICONV;
  c->unit = strncmp(name, "UTF-16", 6) == 0 ? 2 : 1;
  buffer_init(&c->in);
  buffer_init(&c->out);
  if (strcmp(name, "UTF-8") == 0) return 0;
  c->cd = iconv_open("UTF-8", name);
  return c->cd == NO_ICONV ? uv_translate_sys_error(errno) : 0;
}

void charset_fini(charset *c) {
  if (c->cd != NO_ICONV) iconv_close(c->cd);
  c->cd = NO_ICONV;
  buffer_fini(&c->in);
  buffer_fini(&c->out);
}

static int replace(charset *c) {
  return buffer_append(&c->out, replacement, sizeof replacement - 1);
}

// --- UTF-8 -----------------------------------------------------------------------------------

// How many bytes at `s` begin a character that does not go on as it should, at least 1 (Unicode,
// table 3-7); `is_cut` tells that there are no more bytes to see.
static size_t broken(const unsigned char *s, size_t n, int *is_cut) {
  unsigned char lead = s[0], low = 0x80, high = 0xBF;
  size_t need = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4, i = 1;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (; i < need && i < n && s[i] >= low && s[i] <= high; i++) {
    low = 0x80;
    high = 0xBF;
  }
  *is_cut = i == n && i < need;
  return i;
}

static int feed_utf8(charset *c, int is_last) {
  if (!buffer_len(&c->in)) return 0;
  const char *s = buffer_bytes(&c->in), *from = s, *end = s + buffer_len(&c->in);
  while (s < end) {
    int is_cut;
    size_t n = json_utf8(s, (size_t)(end - s));
    if (n) {
      s += n;
      continue;
    }
    n = broken((const unsigned char *)s, (size_t)(end - s), &is_cut);
    if (is_cut && !is_last) break;
    if (buffer_append(&c->out, from, (size_t)(s - from)) < 0 || replace(c) < 0) return UV_ENOMEM;
    from = s += n;
  }
  if (buffer_append(&c->out, from, (size_t)(s - from)) < 0) return UV_ENOMEM;
  buffer_consume(&c->in, (size_t)(s - buffer_bytes(&c->in)));
  return 0;
}

// --- iconv -----------------------------------------------------------------------------------

// One call of iconv with room for what `in` can become; `in` NULL: its own state goes out.
static int convert(charset *c, char **in, size_t *left) {
  size_t most = 64 + (in ? 4 * *left : 0);
  if (buffer_reserve(&c->out, most) < 0) return ENOMEM;
  char *out = c->out.data + c->out.end;
  size_t room = most;
  int rc = iconv(c->cd, in, left, &out, &room) == (size_t)-1 ? errno : 0;
  c->out.end += most - room;
  return rc;
}

static int feed_iconv(charset *c, int is_last) {
  char *s = buffer_len(&c->in) ? buffer_bytes(&c->in) : NULL;
  size_t left = buffer_len(&c->in);
  while (left) {
    int rc = convert(c, &s, &left);
    if (rc == ENOMEM) return UV_ENOMEM;
    if (rc == EINVAL && !is_last) break;
    if ((rc == EILSEQ || rc == EINVAL) && replace(c) < 0) return UV_ENOMEM;
    size_t skip = rc == EINVAL ? left : rc == EILSEQ ? (left < c->unit ? left : c->unit) : 0;
    s += skip;
    left -= skip;
  }
  buffer_consume(&c->in, buffer_len(&c->in) - left);
  if (is_last && convert(c, NULL, NULL) == ENOMEM) return UV_ENOMEM;
  return 0;
}

int charset_feed(charset *c, const char *s, size_t len, int is_last) {
  if (buffer_append(&c->in, s, len) < 0) return UV_ENOMEM;
  return c->cd == NO_ICONV ? feed_utf8(c, is_last) : feed_iconv(c, is_last);
}
