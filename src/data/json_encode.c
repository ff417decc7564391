// SPDX-License-Identifier: MIT
// Lua values to text. Tables are read raw and in one pass: the first key decides between array and
// object, and what follows must agree. Owns the encoder: the buffer, kept between calls. Runs on
// the thread of its lua_State. What cannot be encoded unwinds by return codes, with the sentence on
// top of the Lua stack; a raise (out of memory) leaves the encoder busy, so that it is never used
// again.
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "data/json.h"

#define KEPT_BUFFER (256 * 1024)
#define SHOWN_PATH 12  // steps of a path that are printed from its beginning
#define SHOWN_KEY 64   // bytes of a key

typedef struct encoder {
  buffer out;
  int busy;
} encoder;

// One step from the value handed in to the value being written, on the C stack.
typedef struct step {
  const struct step *outer;  // towards the root
  const void *table;
  const char *key;  // NULL: an array, at `index`
  size_t len;
  lua_Integer index;
} step;

typedef struct writer {
  lua_State *L;
  buffer *out;
  json_style style;
  const void *array_mt;
  int depth;
} writer;

static const char registry_key;

static int on_collect(lua_State *L) {
  encoder *e = lua_touserdata(L, 1);
  buffer_fini(&e->out);
  return 0;
}

// Push the state's encoder, or a new one when that is busy.
static encoder *acquire(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TUSERDATA) {
    encoder *kept = lua_touserdata(L, -1);
    if (!kept->busy) return kept;
  }
  lua_pop(L, 1);
  encoder *e = lua_newuserdatauv(L, sizeof *e, 0);
  buffer_init(&e->out);
  e->busy = 0;
  if (luaL_newmetatable(L, "corun.json.encoder")) {
    lua_pushcfunction(L, on_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return e;
}

// Room for `n` bytes and a little more; answers where they go.
static char *reserve(writer *w, size_t n) {
  if (w->out->capacity - w->out->end < n && buffer_reserve(w->out, n) < 0) {
    lua_pushliteral(w->L, "not enough memory");
    lua_error(w->L);
  }
  return w->out->data + w->out->end;
}

static void put(writer *w, const char *s, size_t n) {
  memcpy(reserve(w, n), s, n);
  w->out->end += n;
}

static void put_char(writer *w, char c) {
  *reserve(w, 1) = c;
  w->out->end++;
}

static void put_line(writer *w) {
  if (!w->style.pretty) return;
  size_t n = 2 * (size_t)w->depth;
  char *p = reserve(w, n + 1);
  *p = '\n';
  memset(p + 1, ' ', n);
  w->out->end += n + 1;
}

// --- what cannot be encoded ----------------------------------------------------------------------

static int is_name(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char c = s[i], lower = (char)(c | 0x20);
    if (c != '_' && (lower < 'a' || lower > 'z') && (i == 0 || c < '0' || c > '9')) return 0;
  }
  return n > 0;
}

static void add_step(luaL_Buffer *b, const step *s) {
  char text[SHOWN_KEY + 1], index[32];
  if (!s->key) {
    snprintf(index, sizeof index, "[" LUA_INTEGER_FMT "]", s->index);
    luaL_addstring(b, index);
    return;
  }
  size_t n = s->len < SHOWN_KEY ? s->len : SHOWN_KEY;
  for (size_t i = 0; i < n; i++)
    text[i] = (unsigned char)s->key[i] < 0x20 || s->key[i] == 0x7F ? '?' : s->key[i];
  int name = is_name(s->key, s->len);
  luaL_addstring(b, name ? "." : "[\"");
  luaL_addlstring(b, text, n);
  if (n < s->len) luaL_addstring(b, "...");
  if (!name) luaL_addstring(b, "\"]");
}

// Push " at .a[3]", or an empty string for the value handed in itself.
static void push_path(lua_State *L, const step *last) {
  const step *first[SHOWN_PATH];
  int depth = 0;
  for (const step *s = last; s; s = s->outer) depth++;
  int n = depth < SHOWN_PATH ? depth : SHOWN_PATH, i = depth;
  for (const step *s = last; s; s = s->outer)
    if (--i < n) first[i] = s;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  if (n) luaL_addstring(&b, " at ");
  for (i = 0; i < n; i++) add_step(&b, first[i]);
  if (n < depth) luaL_addstring(&b, "...");
  luaL_pushresult(&b);
}

// Push the sentence that `what` is at `path` and cannot be encoded; answer -1.
static int refuse(writer *w, const step *path, const char *what) {
  lua_State *L = w->L;
  luaL_checkstack(L, 8, NULL);
  lua_pushfstring(L, "cannot encode %s", what);
  push_path(L, path);
  lua_concat(L, 2);
  return -1;
}

// Of tables nested too deep: say whether one of them contains itself, and where it first does.
static int refuse_depth(writer *w, const step *path) {
  const step *again = NULL;
  for (const step *s = path; s; s = s->outer)
    for (const step *o = s->outer; o && again != s; o = o->outer)
      if (o->table == s->table) again = s;
  if (again) return refuse(w, again->outer, "table that contains itself");
  char what[64];
  snprintf(what, sizeof what, "tables nested deeper than %d", JSON_MAX_DEPTH);
  return refuse(w, path, what);
}

// The table below the key and value on top of the stack has keys that JSON cannot hold together.
// The message is the same in whatever order the table gives them.
static int refuse_keys(writer *w, const step *path) {
  lua_State *L = w->L;
  int strings = 0, integers = 0;
  step least = {.outer = path, .index = LUA_MAXINTEGER};
  lua_pop(L, 2);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      strings = 1;
    } else if (lua_isinteger(L, -2)) {
      integers = 1;
      if (lua_tointeger(L, -2) < least.index) least.index = lua_tointeger(L, -2);
    } else {
      int is_float = lua_type(L, -2) == LUA_TNUMBER;
      char what[32];
      snprintf(what, sizeof what, "%s key", is_float ? "float" : luaL_typename(L, -2));
      return refuse(w, path, what);
    }
  }
  if (strings && integers) return refuse(w, path, "table with string and integer keys");
  if (strings) return refuse(w, path, "string keys in an array");
  return refuse(w, &least, "integer key below 1");
}

// --- scalars -------------------------------------------------------------------------------------

// How many bytes from `s` on can be copied as they are: up to an escape, or bytes that are not
// UTF-8.
static size_t plain_run(const char *s, size_t n) {
  const uint64_t ones = 0x0101010101010101u, high = ones << 7;
  size_t i = 0;
  while (i < n) {
    uint64_t x = ones * ' ';  // fills up the last word
    size_t len = n - i < sizeof x ? n - i : sizeof x;
    if (len == sizeof x)
      memcpy(&x, s + i, sizeof x);  // as one instruction
    else
      memcpy(&x, s + i, len);
    uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
    if (!((x | (x - ones * 0x20) | (quote - ones) | (backslash - ones)) & high)) {
      i += len;
      continue;
    }
    unsigned char c = (unsigned char)s[i];
    if (c < 0x20 || c == '"' || c == '\\') break;
    size_t length = json_utf8(s + i, n - i);
    if (!length) break;
    i += length;
  }
  return i;
}

// Write the escape of an ASCII byte; answer its length, at most 6.
static size_t escape(char *out, unsigned char c) {
  static const char names[] = "btn-fr", digits[] = "0123456789abcdef";
  out[0] = '\\';
  if (c >= 0x20) {
    out[1] = (char)c;
    return 2;
  }
  if (c >= '\b' && c <= '\r' && c != '\v') {
    out[1] = names[c - '\b'];
    return 2;
  }
  out[1] = 'u';
  out[2] = out[3] = '0';
  out[4] = digits[c >> 4];
  out[5] = digits[c & 15];
  return 6;
}

// Answers 0, or the 1-based place of the first byte that is not UTF-8.
static size_t put_string(writer *w, const char *s, size_t n) {
  size_t i = 0;
  char *p = reserve(w, n + 2);
  *p++ = '"';
  for (;;) {
    size_t run = plain_run(s + i, n - i);
    memcpy(p, s + i, run);
    p += run;
    i += run;
    if (i == n) break;
    unsigned char c = (unsigned char)s[i];
    if (c >= 0x80) return i + 1;
    w->out->end = (size_t)(p - w->out->data);
    p = reserve(w, n - i + 7);  // this escape, the rest and the closing quote
    p += escape(p, c);
    i++;
  }
  *p++ = '"';
  w->out->end = (size_t)(p - w->out->data);
  return 0;
}

static void put_integer(writer *w, lua_Integer value) {
  char text[24], *p = text + sizeof text;
  lua_Unsigned rest = (lua_Unsigned)value;
  if (value < 0) rest = 0 - rest;
  do *--p = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) *--p = '-';
  put(w, p, (size_t)(text + sizeof text - p));
}

static int put_number(writer *w, const step *path) {
  if (lua_isinteger(w->L, -1)) {
    put_integer(w, lua_tointeger(w->L, -1));
    return 0;
  }
  double x = lua_tonumber(w->L, -1);
  if (isnan(x)) return refuse(w, path, "nan");
  if (isinf(x)) return refuse(w, path, x > 0 ? "inf" : "-inf");
  w->out->end += json_format_float(x, reserve(w, JSON_FLOAT_MAX));
  return 0;
}

static int put_text(writer *w, const step *path) {
  size_t n;
  const char *s = lua_tolstring(w->L, -1, &n);
  size_t bad = put_string(w, s, n);
  if (!bad) return 0;
  char what[64];
  snprintf(what, sizeof what, "string that is not UTF-8 (byte %zu)", bad);
  return refuse(w, path, what);
}

// --- tables --------------------------------------------------------------------------------------

static int put_value(writer *w, const step *path);

static void open_container(writer *w, char opener) {
  put_char(w, opener);
  w->depth++;
}

static void close_container(writer *w, char closer) {
  w->depth--;
  put_line(w);
  put_char(w, closer);
}

// Write the value on top of the stack as item `at->index` and pop it.
static int put_item(writer *w, step *at) {
  if (at->index > 1) put_char(w, ',');
  put_line(w);
  if (put_value(w, at) < 0) return -1;
  lua_pop(w->L, 1);
  return 0;
}

// Check from the key and value on the stack on, which are popped, that what is left in the table is
// the items after `done` in another order; answer the number of the last item, or -1.
static lua_Integer last_item(writer *w, const step *path, lua_Integer done) {
  lua_State *L = w->L;
  lua_Integer count = done, last = done;
  do {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1) return refuse_keys(w, path);
    if (lua_tointeger(L, -2) > last) last = lua_tointeger(L, -2);
    count++;
    lua_pop(L, 1);
  } while (lua_next(L, -2));
  if (count == last) return last;
  while (lua_rawgeti(L, -1, ++done) != LUA_TNIL) lua_pop(L, 1);
  char what[96];
  snprintf(what, sizeof what, "array that has no item %lld of %lld", (long long)done,
           (long long)last);
  return refuse(w, path, what);
}

// The table, its first key and value are on the stack; the last two are popped.
static int put_array(writer *w, const step *path) {
  lua_State *L = w->L;
  step at = {.outer = path, .table = lua_topointer(L, -3)};
  open_container(w, '[');
  int more = 1;
  while (more && lua_isinteger(L, -2) && lua_tointeger(L, -2) == at.index + 1) {
    at.index++;
    if (put_item(w, &at) < 0) return -1;
    more = lua_next(L, -2);
  }
  if (more) {
    lua_Integer last = last_item(w, path, at.index);
    if (last < 0) return -1;
    while (at.index < last) {
      lua_rawgeti(L, -1, ++at.index);
      if (put_item(w, &at) < 0) return -1;
    }
  }
  close_container(w, ']');
  return 0;
}

// Write the key `at` and the value on top of the stack, which is popped.
static int put_member(writer *w, step *at) {
  put_line(w);
  size_t bad = put_string(w, at->key, at->len);
  if (bad) return refuse(w, at->outer, "key that is not UTF-8");
  put(w, ": ", w->style.pretty ? 2 : 1);
  if (put_value(w, at) < 0) return -1;
  lua_pop(w->L, 1);
  return 0;
}

typedef struct name {
  const char *s;
  size_t len;
  lua_Integer place;  // in the list that keeps it alive
} name;

static int compare_names(const void *a, const void *b) {
  const name *x = a, *y = b;
  int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

// Push the list of the keys of the table on top of the stack, then an array of them in order, which
// is answered with their number; NULL when there is a key that is no string.
static const name *push_names(writer *w, const step *path, lua_Integer *count) {
  lua_State *L = w->L;
  lua_Integer n = 0, i = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), n++) {
    if (lua_type(L, -2) == LUA_TSTRING) continue;
    refuse_keys(w, path);
    return NULL;
  }
  lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
  name *names = lua_newuserdatauv(L, (size_t)n * sizeof *names, 0);
  lua_pushnil(L);
  while (i < n && lua_next(L, -4)) {  // a finaliser may have taken keys away just now
    name *each = &names[i++];
    each->s = lua_tolstring(L, -2, &each->len);
    each->place = i;
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -4, i);
  }
  if (i == n) lua_pop(L, 1);
  qsort(names, (size_t)i, sizeof *names, compare_names);
  *count = i;
  return names;
}

// The table, its first key and value are on the stack; the last two are popped.
static int put_sorted(writer *w, const step *path) {
  lua_State *L = w->L;
  lua_Integer n;
  step at = {.outer = path, .table = lua_topointer(L, -3)};
  lua_pop(L, 2);
  const name *names = push_names(w, path, &n);
  if (!names) return -1;
  open_container(w, '{');
  for (lua_Integer i = 0; i < n; i++) {
    at.key = names[i].s;
    at.len = names[i].len;
    if (i) put_char(w, ',');
    lua_rawgeti(L, -2, names[i].place);
    lua_rawget(L, -4);
    if (put_member(w, &at) < 0) return -1;
  }
  lua_pop(L, 2);
  close_container(w, '}');
  return 0;
}

// The table, its first key and value are on the stack; the last two are popped.
static int put_object(writer *w, const step *path) {
  lua_State *L = w->L;
  step at = {.outer = path, .table = lua_topointer(L, -3)};
  open_container(w, '{');
  do {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse_keys(w, path);
    if (at.key) put_char(w, ',');
    at.key = lua_tolstring(L, -2, &at.len);
    if (put_member(w, &at) < 0) return -1;
  } while (lua_next(L, -2));
  close_container(w, '}');
  return 0;
}

static int is_marked(writer *w) {
  lua_State *L = w->L;
  if (!lua_getmetatable(L, -1)) return 0;
  if (!w->array_mt) {
    luaL_getmetatable(L, JSON_ARRAY_MT);
    w->array_mt = lua_topointer(L, -1);
    lua_pop(L, 1);
  }
  int marked = lua_topointer(L, -1) == w->array_mt;
  lua_pop(L, 1);
  return marked;
}

static int put_table(writer *w, const step *path) {
  lua_State *L = w->L;
  if (w->depth == JSON_MAX_DEPTH) return refuse_depth(w, path);
  luaL_checkstack(L, 12, "value nested too deep");
  int marked = is_marked(w);
  lua_pushnil(L);
  if (!lua_next(L, -2)) {
    put(w, marked ? "[]" : "{}", 2);
    return 0;
  }
  if (marked || lua_type(L, -2) == LUA_TNUMBER) return put_array(w, path);
  return w->style.sort ? put_sorted(w, path) : put_object(w, path);
}

// Write the value on top of the stack, which stays there.
static int put_value(writer *w, const step *path) {
  lua_State *L = w->L;
  int type = lua_type(L, -1);
  switch (type) {
    case LUA_TSTRING: return put_text(w, path);
    case LUA_TNUMBER: return put_number(w, path);
    case LUA_TTABLE: return put_table(w, path);
    case LUA_TBOOLEAN:
      if (lua_toboolean(L, -1))
        put(w, "true", 4);
      else
        put(w, "false", 5);
      return 0;
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, -1)) break;
      put(w, "null", 4);
      return 0;
    default: break;
  }
  return refuse(w, path, lua_typename(L, type));
}

int json_append(lua_State *L, int idx, const json_style *style, buffer *out) {
  writer w = {.L = L, .out = out, .style = *style};
  luaL_checkstack(L, 12, NULL);
  int top = lua_gettop(L);
  lua_pushvalue(L, idx);
  int done = put_value(&w, NULL) == 0;
  if (!done) lua_replace(L, top + 1);
  lua_settop(L, done ? top : top + 1);
  return done;
}

int json_encode(lua_State *L, int idx, const json_style *style) {
  idx = lua_absindex(L, idx);
  luaL_checkstack(L, 4, NULL);
  int top = lua_gettop(L);
  encoder *e = acquire(L);
  e->busy = 1;
  int done = json_append(L, idx, style, &e->out);
  if (done) lua_pushlstring(L, buffer_bytes(&e->out), buffer_len(&e->out));
  buffer_consume(&e->out, buffer_len(&e->out));
  buffer_trim(&e->out, KEPT_BUFFER);
  e->busy = 0;
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return done;
}
