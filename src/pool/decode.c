// SPDX-License-Identifier: MIT
// Bytes to Lua values. First all objects are made, empty, then the values are read, then the
// contents of each object; so nothing is nested. What was read lies on the Lua stack where it is
// little, else in a table. Every read is checked against the end, and the sizes of tables against
// the number of bytes: bytes from anywhere end as values or as a sentence. Only bytecode is
// believed (S46).
#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/trace.h"
#include "data/json.h"
#include "pool/codec.h"
#include "pool/message.h"

#define LARGEST_LOADED ((size_t)16 << 10)  // of a dump that is kept with its closure

// Values by number, on the stack from `at` on, or in the table at `at`.
typedef struct shelf {
  int at, in_table;
  uint64_t most, n;
} shelf;

typedef struct reader {
  lua_State *L;
  codec *c;
  const message *m;
  unsigned flags;
  const unsigned char *start, *p, *end;  // values
  const unsigned char *objects, *last;   // descriptions of objects, behind the values
  size_t budget;                         // what tables may still have room for
  int codec_at, slots_at;
  uint32_t nslots;
  uint64_t next;  // number of the object that is met next
  shelf kept, objs;
} reader;

// --- Bytes ---------------------------------------------------------------------------------------

static int fail(reader *r, const char *why) {
  lua_pushfstring(r->L, "not a message: %s", why);
  return -1;
}

static int is_truncated(reader *r) {
  return fail(r, "it ends too early");
}

// Read a length that is followed by as many bytes.
static int read_length(reader *r, size_t *n) {
  uint64_t x;
  if (codec_load_count(&r->p, r->end, &x) < 0 || x > (uint64_t)(r->end - r->p))
    return is_truncated(r);
  *n = (size_t)x;
  return 0;
}

// --- Values by number ----------------------------------------------------------------------------

static void shelf_open(reader *r, shelf *s, uint64_t most) {
  lua_State *L = r->L;
  s->in_table = most > CODEC_NEAR;
  s->at = lua_gettop(L) + 1;
  s->most = most;
  s->n = 0;
  if (s->in_table) {
    size_t n = (size_t)(r->last - r->start);  // more there cannot be
    if (most < n) n = (size_t)most;
    lua_createtable(L, n < INT_MAX ? (int)n : INT_MAX, 0);
  } else {
    lua_settop(L, s->at - 1 + (int)most);
  }
}

// Give the value on top of the stack, which stays there, the next number.
static int shelf_add(reader *r, shelf *s) {
  if (s->n == s->most) return fail(r, "more values than it tells");
  lua_pushvalue(r->L, -1);
  s->n++;
  if (s->in_table)
    lua_rawseti(r->L, s->at, (lua_Integer)s->n);
  else
    lua_replace(r->L, s->at + (int)s->n - 1);
  return 0;
}

static int shelf_push(reader *r, const shelf *s, uint64_t i) {
  if (i >= s->n) return fail(r, "a number of no value");
  if (s->in_table)
    lua_rawgeti(r->L, s->at, (lua_Integer)i + 1);
  else
    lua_pushvalue(r->L, s->at + (int)i);
  return 0;
}

static int push_numbered(reader *r, const shelf *s) {
  uint64_t i;
  if (codec_load_count(&r->p, r->end, &i) < 0) return is_truncated(r);
  return shelf_push(r, s, i);
}

// --- Functions and modules -----------------------------------------------------------------------

typedef struct chunk {
  const char *p;
  size_t n;
} chunk;

static const char *on_read(lua_State *L, void *ud, size_t *n) {
  (void)L;
  chunk *k = ud;
  *n = k->n;
  k->n = 0;
  return k->p;
}

// Push the function of a dump.
static int load(reader *r, const unsigned char *p, size_t n) {
  chunk k = {(const char *)p, n};
  if (lua_load(r->L, on_read, &k, "=?", "b") == LUA_OK) return 0;
  return -1;  // with Lua's own sentence
}

// Read where the bytes of a dump are, behind its tag.
static int read_dump(reader *r, const unsigned char **p, const unsigned char *end, uint64_t *hash,
                     size_t *n) {
  if (end - *p < 12) return is_truncated(r);
  *hash = codec_load(*p, 8);
  *n = codec_load(*p + 8, 4);
  *p += 12;
  return *n > (size_t)(end - *p) ? is_truncated(r) : 0;
}

// Say whether the function on top of the stack still has this state's globals, if any.
static int is_fresh(lua_State *L) {
  if (!lua_getupvalue(L, -1, 1)) return 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  int same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

// Push the function whose one upvalue, if any, is the globals: that of an earlier message, so that
// a job which comes again and again is loaded once.
static int push_open_function(reader *r) {
  lua_State *L = r->L;
  uint64_t hash;
  size_t n;
  if (read_dump(r, &r->p, r->end, &hash, &n) < 0) return -1;
  const unsigned char *p = r->p;
  r->p += n;
  int slot = (int)(hash % CODEC_SLOTS);
  loaded *l = &r->c->loaded[slot];
  lua_getiuservalue(L, r->codec_at, CODEC_CLOSURES);
  if (l->dump && l->hash == hash && l->len == n && memcmp(l->dump, p, n) == 0) {
    lua_rawgeti(L, -1, slot + 1);
    lua_remove(L, -2);
    if (is_fresh(L)) return 0;
    lua_pop(L, 1);
    lua_getiuservalue(L, r->codec_at, CODEC_CLOSURES);
  }
  if (load(r, p, n) < 0) return -1;
  free(l->dump);
  l->dump = NULL;  // until the closure is in its place
  if (n && n <= LARGEST_LOADED) {
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, slot + 1);
    *l = (loaded){hash, n, malloc(n)};
    if (l->dump) memcpy(l->dump, p, n);
  }
  lua_remove(L, -2);
  return 0;
}

// Push the name at the cursor.
static int push_name(reader *r) {
  size_t n;
  if (read_length(r, &n) < 0) return -1;
  lua_pushlstring(r->L, (const char *)r->p, n);
  r->p += n;
  return 0;
}

// Push what `require` gives for the name on top of the stack, which is popped.
static void require(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, -2);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pop(L, 2);
    lua_getglobal(L, "require");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    return;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static int push_export(reader *r) {
  lua_State *L = r->L;
  if (push_name(r) < 0) return -1;
  const char *module = lua_tostring(L, -1);
  lua_pushvalue(L, -1);
  require(L);
  if (r->p == r->end) return is_truncated(r);
  for (int left = *r->p++; left; left--) {
    if (push_name(r) < 0) return -1;
    if (!lua_istable(L, -2) || lua_gettable(L, -2) == LUA_TNIL) {
      err_misuse(L, "the module '%s' does not export here what the message names", module);
      return -1;
    }
    lua_replace(L, -2);
  }
  if (!lua_isfunction(L, -1))
    err_misuse(L, "the module '%s' exports here no function where the message names one", module);
  lua_remove(L, -2);
  return 0;
}

static int push_thing(reader *r) {
  uint64_t i;
  if (codec_load_count(&r->p, r->end, &i) < 0) return is_truncated(r);
  if (i >= r->m->nrefs) return fail(r, "a number of no shared thing");
  shared_push(r->L, r->m->refs[i]);
  return 0;
}

// Push the string whose memory the block is from now on.
static int push_block(reader *r) {
  uint64_t i;
  if (codec_load_count(&r->p, r->end, &i) < 0) return is_truncated(r);
  if (i >= r->m->nblocks || !r->m->blocks[i].p) return fail(r, "a number of no block");
  char *p = r->m->blocks[i].p;
  r->m->blocks[i].p = NULL;
  bytes_push(r->L, p, bytes_head(rt_of(r->L)), r->m->blocks[i].n);
  return 0;
}

// --- Values --------------------------------------------------------------------------------------

static inline int read_fixed(reader *r, size_t n, uint64_t *x) {
  if ((size_t)(r->end - r->p) < n) return is_truncated(r);
  *x = codec_load(r->p, n);
  r->p += n;
  return 0;
}

static int push_float(reader *r) {
  uint64_t bits = 0;
  lua_Number x;
  if (read_fixed(r, 8, &bits) < 0) return -1;
  memcpy(&x, &bits, sizeof x);
  lua_pushnumber(r->L, x);
  return 0;
}

static inline int push_integer(reader *r, size_t n) {
  uint64_t x = 0;
  if (read_fixed(r, n, &x) < 0) return -1;
  uint64_t sign = (uint64_t)1 << (8 * n - 1);
  lua_pushinteger(r->L, (lua_Integer)((x ^ sign) - sign));
  return 0;
}

static int push_text(reader *r) {
  const unsigned char *p = r->p;  // slot, length, bytes
  if (r->end - p < 2 || r->end - p < 2 + p[1]) return is_truncated(r);
  if (p[0] >= r->nslots) return fail(r, "a text in no slot");
  lua_pushlstring(r->L, (const char *)p + 2, p[1]);
  lua_copy(r->L, -1, r->slots_at + p[0]);
  r->p += 2 + p[1];
  return 0;
}

static int push_text_again(reader *r) {
  if (r->p == r->end) return is_truncated(r);
  int slot = *r->p++;
  if (slot >= (int)r->nslots || lua_isnil(r->L, r->slots_at + slot))
    return fail(r, "a slot that has no text");
  lua_pushvalue(r->L, r->slots_at + slot);
  return 0;
}

// Push a value that is kept for its number, of the kinds that only functions need.
static int push_trusted(reader *r, int tag) {
  if (r->flags & MESSAGE_NO_FUNCTIONS) return fail(r, "a function is not allowed");
  switch (tag) {
    case TAG_FUNCTION: return push_open_function(r);
    case TAG_EXPORT: return push_export(r);
    default:
      if (push_name(r) < 0) return -1;
      require(r->L);
      return 0;
  }
}

static int push_kept(reader *r, int tag) {
  int status;
  switch (tag) {
    case TAG_THING: status = push_thing(r); break;
    case TAG_LONG: status = push_name(r); break;
    case TAG_BLOCK: status = push_block(r); break;
    default: status = push_trusted(r, tag);
  }
  return status < 0 ? -1 : shelf_add(r, &r->kept);
}

// Push the value at the cursor.
static int push_value(reader *r) {
  lua_State *L = r->L;
  if (r->p == r->end) return is_truncated(r);
  int tag = *r->p++;
  if (tag >= TAG_SMALL) {
    lua_pushinteger(L, tag - TAG_SMALL + CODEC_LEAST);
    return 0;
  }
  switch (tag) {
    case TAG_NIL: lua_pushnil(L); return 0;
    case TAG_FALSE:
    case TAG_TRUE: lua_pushboolean(L, tag == TAG_TRUE); return 0;
    case TAG_NULL: lua_pushlightuserdata(L, NULL); return 0;
    case TAG_INT16: return push_integer(r, 2);
    case TAG_INT32: return push_integer(r, 4);
    case TAG_INT64: return push_integer(r, 8);
    case TAG_FLOAT: return push_float(r);
    case TAG_TEXT: return push_text(r);
    case TAG_TEXT_AGAIN: return push_text_again(r);
    case TAG_STRING: return push_name(r);
    case TAG_LONG:
    case TAG_FUNCTION:
    case TAG_EXPORT:
    case TAG_MODULE:
    case TAG_BLOCK:
    case TAG_THING: return push_kept(r, tag);
    case TAG_KEPT: return push_numbered(r, &r->kept);
    case TAG_NEW: return shelf_push(r, &r->objs, r->next++);
    case TAG_OBJECT: return push_numbered(r, &r->objs);
    case TAG_GLOBALS:
      if (r->flags & MESSAGE_NO_FUNCTIONS) break;
      lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
      return 0;
    default: break;
  }
  return fail(r, "an unknown kind of value");
}

// --- Objects -------------------------------------------------------------------------------------

typedef struct description {
  int kind;
  uint64_t items, pairs;  // of a table
  int upvalues;           // of a closure
  const unsigned char *dump;
  size_t len;
} description;

static int read_closure(reader *r, const unsigned char **p, description *d) {
  uint64_t before, hash;
  if (r->flags & MESSAGE_NO_FUNCTIONS) return fail(r, "a function is not allowed");
  if (*p == r->last) return is_truncated(r);
  d->upvalues = *(*p)++;
  if (codec_load_count(p, r->last, &before) < 0 || before > (uint64_t)(r->last - r->objects))
    return is_truncated(r);
  const unsigned char *at = before ? r->objects + before - 1 : *p;
  if (at++ == r->last || read_dump(r, &at, r->last, &hash, &d->len) < 0) return is_truncated(r);
  d->dump = at;
  if (!before) *p = at + d->len;
  return 0;
}

// Read the description at *p, which goes on to the next.
static int describe(reader *r, const unsigned char **p, description *d) {
  if (*p == r->last) return is_truncated(r);
  d->kind = *(*p)++;
  if (d->kind == OBJECT_CLOSURE) return read_closure(r, p, d);
  if (d->kind != OBJECT_TABLE && d->kind != OBJECT_CLASS)
    return fail(r, "an unknown kind of object");
  if (codec_load_count(p, r->last, &d->items) < 0 || codec_load_count(p, r->last, &d->pairs) < 0)
    return is_truncated(r);
  return 0;
}

// Make all objects, empty.
static int make_objects(reader *r) {
  lua_State *L = r->L;
  description d;
  const unsigned char *p = r->objects;
  for (uint64_t i = 0; i < r->objs.most; i++) {
    if (describe(r, &p, &d) < 0) return -1;
    if (d.kind == OBJECT_CLOSURE) {
      if (load(r, d.dump, d.len) < 0) return -1;
    } else {
      // Each item is at least a byte, each pair two: no more room than what can come.
      if (d.items > r->budget || d.pairs > (r->budget - d.items) / 2)
        return fail(r, "a table that is larger than the message");
      r->budget -= d.items + 2 * d.pairs;
      if (d.items > INT_MAX || d.pairs > INT_MAX) return fail(r, "a table that is too large");
      lua_createtable(L, (int)d.items, (int)d.pairs);
    }
    if (shelf_add(r, &r->objs) < 0) return -1;
    lua_pop(L, 1);
  }
  return p == r->last ? 0 : fail(r, "bytes behind its objects");
}

// Read the pairs of the table on top of the stack.
static int fill_pairs(reader *r, uint64_t n) {
  lua_State *L = r->L;
  for (; n; n--) {
    if (push_value(r) < 0) return -1;
    lua_Number x = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (lua_isnil(L, -1) || x != x) return fail(r, "a key that is nil or NaN");
    if (push_value(r) < 0) return -1;
    lua_rawset(L, -3);
  }
  return 0;
}

// Push the value at the cursor. Large tables hold mostly numbers, and asking all kinds of values in
// turn costs as much as pushing them.
static inline int push_item(reader *r) {
  int tag = r->p < r->end ? *r->p : TAG_NIL;
  if (tag >= TAG_SMALL) {
    r->p++;
    lua_pushinteger(r->L, tag - TAG_SMALL + CODEC_LEAST);
    return 0;
  }
  switch (tag) {
    case TAG_INT16: r->p++; return push_integer(r, 2);
    case TAG_INT32: r->p++; return push_integer(r, 4);
    case TAG_FLOAT: r->p++; return push_float(r);
    default: return push_value(r);
  }
}

static int fill_table(reader *r, const description *d) {
  for (uint64_t i = 1; i <= d->items; i++) {
    if (push_item(r) < 0) return -1;
    lua_rawseti(r->L, -2, (lua_Integer)i);
  }
  return fill_pairs(r, d->pairs);
}

// Push the metatable whose name is on top of the stack, which is popped.
static int push_class(reader *r) {
  lua_State *L = r->L;
  if (lua_type(L, -1) != LUA_TSTRING) return fail(r, "a metatable without a name");
  lua_pushvalue(L, -1);
  int type = codec_class(L, r->codec_at);
  if (type == LUA_TNIL && strcmp(lua_tostring(L, -2), JSON_ARRAY_MT) == 0) {
    lua_pushliteral(L, "corun.json");  // which registers it
    require(L);
    lua_pop(L, 2);
    lua_pushvalue(L, -1);
    type = codec_class(L, r->codec_at);
  }
  if (type != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_pushfstring(L, "no metatable is registered here as '%s'", err_escaped(L, -1));
    return -1;
  }
  lua_remove(L, -2);
  return 0;
}

// Read the contents of a table with a metatable, which it gets last: a finaliser finds it whole.
static int fill_class(reader *r, const description *d) {
  lua_State *L = r->L;
  int table = lua_gettop(L);
  if (push_value(r) < 0 || push_class(r) < 0 || push_value(r) < 0) return -1;
  lua_pushvalue(L, table);
  if (fill_table(r, d) < 0) return -1;
  lua_pushvalue(L, table + 1);
  lua_setmetatable(L, table);
  if (err_is_cancel(L, table)) {  // the scope it names is one of the other side
    lua_pushnil(L);
    lua_setfield(L, table, "scope");
  }
  lua_settop(L, table + 2);
  if (lua_type(L, -1) == LUA_TSTRING && err_is(L, table)) trace_keep(L, table);
  return 0;
}

static int join(reader *r, int closure, int upvalue) {
  lua_State *L = r->L;
  r->p++;
  if (push_numbered(r, &r->objs) < 0) return -1;
  if (r->p == r->end) return is_truncated(r);
  int n = *r->p++;
  if (!lua_isfunction(L, -1) || !lua_upvalueid(L, -1, n)) return fail(r, "an upvalue of nothing");
  lua_upvaluejoin(L, closure, upvalue, -1, n);
  lua_pop(L, 1);
  return 0;
}

// Read the upvalues of the closure on top of the stack.
static int fill_closure(reader *r, const description *d) {
  lua_State *L = r->L;
  int closure = lua_gettop(L);
  for (int i = 1; i <= d->upvalues; i++) {
    if (r->p < r->end && *r->p == TAG_UPVALUE) {
      if (join(r, closure, i) < 0) return -1;
      continue;
    }
    if (push_value(r) < 0) return -1;
    if (!lua_setupvalue(L, closure, i)) return fail(r, "an upvalue that the function has not");
  }
  return 0;
}

static int fill_objects(reader *r) {
  lua_State *L = r->L;
  description d;
  const unsigned char *p = r->objects;
  int top = lua_gettop(L);
  for (uint64_t i = 0; i < r->objs.n; i++) {
    int status;
    if (describe(r, &p, &d) < 0 || shelf_push(r, &r->objs, i) < 0) return -1;
    if (d.kind == OBJECT_CLOSURE)
      status = fill_closure(r, &d);
    else
      status = d.kind == OBJECT_CLASS ? fill_class(r, &d) : fill_table(r, &d);
    if (status < 0) return -1;
    lua_settop(L, top);
  }
  return r->p == r->end ? 0 : fail(r, "bytes behind its values");
}

// --- Messages ------------------------------------------------------------------------------------

// Read the header; answer the number of values, or -1.
static int64_t open_message(reader *r, const message *m) {
  const unsigned char *p = m->bytes;
  if (m->len < CODEC_HEAD || memcmp(p, "cor", 3) != 0) return fail(r, "it does not begin as one");
  if (p[3] != CODEC_VERSION) return fail(r, "it is of another version");
  uint64_t n = codec_load(p + 4, 4), objects = codec_load(p + 8, 8);
  if (objects < CODEC_HEAD || objects > m->len) return is_truncated(r);
  r->start = r->p = p + CODEC_HEAD;
  r->end = r->objects = p + objects;
  r->last = p + m->len;
  r->budget = (size_t)(r->end - r->start);
  if (n > r->budget) return is_truncated(r);
  uint64_t nobjects = codec_load(p + 16, 4), nkept = codec_load(p + 20, 4);
  uint64_t nslots = codec_load(p + 24, 8);
  if (nslots > CODEC_SLOTS) return fail(r, "too many slots");
  if (n > INT_MAX / 2 || !lua_checkstack(r->L, (int)(n + nslots) + 2 * CODEC_NEAR + LUA_MINSTACK))
    return fail(r, "more values than a function can return");
  r->nslots = (uint32_t)nslots;
  r->slots_at = lua_gettop(r->L) + 1;
  lua_settop(r->L, r->slots_at - 1 + (int)nslots);
  shelf_open(r, &r->kept, nkept);
  shelf_open(r, &r->objs, nobjects);
  return (int64_t)n;
}

static int push_all(reader *r, int64_t n) {
  if (make_objects(r) < 0) return -1;
  for (int64_t i = 0; i < n; i++)
    if (push_value(r) < 0) return -1;
  return fill_objects(r);
}

int message_try_decode(lua_State *L, const message *m, unsigned flags) {
  int base = lua_gettop(L);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  reader r = {.L = L, .c = codec_push(L), .m = m, .flags = flags};
  r.codec_at = base + 1;
  int64_t n = open_message(&r, m);
  int first = lua_gettop(L);
  if (n < 0 || push_all(&r, n) < 0) {
    lua_replace(L, base + 1);
    lua_settop(L, base + 1);
    return -1;
  }
  for (int i = 1; i <= (int)n; i++) lua_copy(L, first + i, base + i);
  lua_settop(L, base + (int)n);
  return (int)n;
}

int message_decode(lua_State *L, const message *m, unsigned flags) {
  int n = message_try_decode(L, m, flags);
  if (n >= 0) return n;
  return err_raise(L, "ETRANSFER", NULL, NULL, "%s", lua_tostring(L, -1));
}
