// SPDX-License-Identifier: MIT
// corun.codec: base64, base64url, hex; gzip, deflate, br, zstd; hashes, hmac, crc32, random, uuid.
// The functions of a format have its classes as upvalues. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/site.h"
#include "core/task.h"
#include "core/wait.h"
#include "data/codec.h"
#include "data/codec_text.h"
#include "data/hash.h"
#include "data/mods.h"
#include "data/recode.h"
#include "data/uuid.h"

#define MAX_OUTPUT ((lua_Integer)64 << 20)  // default of "max"
#define MOST_RANDOM 1048576

static const char *check_string(lua_State *L, int idx, size_t *len) {
  arg_type(L, idx, LUA_TSTRING);
  return lua_tolstring(L, idx, len);
}

// --- Text ------------------------------------------------------------------------------------

static const base64_kind *kind_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int refuse_text(lua_State *L, const char *name, const text_fault *fault) {
  lua_Integer place = (lua_Integer)fault->offset + 1;
  err_return(L, "EINVAL", "decode", name, "%s at byte %I", fault->reason, (LUAI_UACINT)place);
  lua_pushinteger(L, place);
  lua_setfield(L, -2, "offset");
  return 2;
}

static int l_base64_encode(lua_State *L) {
  size_t len;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  size_t size = base64_encoded(kind_of(L), len);
  base64_encode(kind_of(L), s, len, luaL_buffinitsize(L, &b, size));
  luaL_pushresultsize(&b, size);
  return 1;
}

static int l_base64_decode(lua_State *L) {
  size_t len, size;
  text_fault fault;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  char *out = luaL_buffinitsize(L, &b, base64_decoded(len));
  if (!base64_decode(kind_of(L), s, len, out, &size, &fault))
    return refuse_text(L, kind_of(L)->pads ? "base64" : "base64url", &fault);
  luaL_pushresultsize(&b, size);
  return 1;
}

static int l_hex_encode(lua_State *L) {
  size_t len;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  hex_encode((const unsigned char *)s, len, luaL_buffinitsize(L, &b, 2 * len));
  luaL_pushresultsize(&b, 2 * len);
  return 1;
}

static int l_hex_decode(lua_State *L) {
  size_t len;
  text_fault fault;
  luaL_Buffer b;
  const char *s = check_string(L, 1, &len);
  if (!hex_decode(s, len, luaL_buffinitsize(L, &b, len / 2), &fault))
    return refuse_text(L, "hex", &fault);
  luaL_pushresultsize(&b, len / 2);
  return 1;
}

// --- Compression -----------------------------------------------------------------------------

// The encoder or decoder class of the format whose function runs.
static const codec_class *class_of(lua_State *L, int is_decoder) {
  return lua_touserdata(L, lua_upvalueindex(is_decoder ? 2 : 1));
}

// Push the name of the function that runs, for messages.
static const char *push_operation(lua_State *L, const codec_class *cls, const char *name) {
  return lua_pushfstring(L, "%s.%s", cls->name, name);
}

static recoder *new_encoder(lua_State *L, int options, const char *name, uint64_t hint) {
  static const char *const names[] = {"level", NULL};
  const codec_class *cls = class_of(L, 0);
  lua_settop(L, options);
  const char *op = push_operation(L, cls, name);
  lua_Integer level = cls->usual;
  if (opt_check(L, options, op, names))
    level = opt_range(L, options, op, "level", cls->least, cls->most, level);
  return recoder_new(L, cls, (int)level, UINT64_MAX, hint);
}

static recoder *new_decoder(lua_State *L, int options, const char *name) {
  static const char *const names[] = {"max", NULL};
  const codec_class *cls = class_of(L, 1);
  lua_settop(L, options);
  const char *op = push_operation(L, cls, name);
  uint64_t max = MAX_OUTPUT;
  if (opt_check(L, options, op, names)) {
    lua_getfield(L, options, "max");
    int is_endless = lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) == HUGE_VAL;
    max = is_endless ? UINT64_MAX : (uint64_t)opt_count(L, options, op, "max", 0, MAX_OUTPUT);
  }
  return recoder_new(L, cls, 0, max, UINT64_MAX);
}

static int l_encode(lua_State *L) {
  size_t len;
  const char *s = check_string(L, 1, &len);
  task_checkpoint(L);
  return recoder_feed(L, new_encoder(L, 2, "encode", len), s, len, CODEC_FINISH);
}

static int l_decode(lua_State *L) {
  size_t len;
  const char *s = check_string(L, 1, &len);
  task_checkpoint(L);
  return recoder_feed(L, new_decoder(L, 2, "decode"), s, len, CODEC_FINISH);
}

// Give the new recoder on top of the stack. The collector does not see what it holds: let it work
// as if that had been allocated in Lua.
static int give(lua_State *L, const recoder *r) {
  collector_weigh(L, (size_t)r->cls->weight << 10);
  interrupt_closable(L);
  return 1;
}

static int l_encoder(lua_State *L) {
  return give(L, new_encoder(L, 1, "encoder", UINT64_MAX));
}

static int l_decoder(lua_State *L) {
  return give(L, new_decoder(L, 1, "decoder"));
}

static recoder *check_recoder(lua_State *L) {
  recoder **box = luaL_testudata(L, 1, RECODER_ENCODER);
  if (!box) box = luaL_testudata(L, 1, RECODER_DECODER);
  if (!box) return arg_type_error(L, 1, "encoder or decoder"), NULL;
  if (!*box) err_raise(L, "ECLOSED", NULL, NULL, "it was collected");  // in another's finaliser
  return *box;
}

static int l_recoder_update(lua_State *L) {
  size_t len;
  recoder *r = check_recoder(L);
  const char *s = check_string(L, 2, &len);
  task_checkpoint(L);
  wait_check(L);
  return recoder_feed(L, r, s, len, CODEC_GO_ON);
}

// decoder:update(s[, most])
static int l_decoder_update(lua_State *L) {
  if (lua_isnoneornil(L, 3)) return l_recoder_update(L);
  size_t len;
  recoder *r = check_recoder(L);
  const char *s = check_string(L, 2, &len);
  lua_Integer most = arg_integer(L, 3);
  arg_check(L, most > 0, 3, "a positive number of bytes");
  task_checkpoint(L);
  wait_check(L);
  return recoder_feed_some(L, r, s, len, (size_t)most);
}

static int l_recoder_flush(lua_State *L) {
  recoder *r = check_recoder(L);
  task_checkpoint(L);
  wait_check(L);
  return recoder_feed(L, r, NULL, 0, CODEC_FLUSH);
}

static int l_recoder_finish(lua_State *L) {
  recoder *r = check_recoder(L);
  task_checkpoint(L);
  wait_check(L);
  r->finished_at = site_here(L, 0);
  return recoder_feed(L, r, NULL, 0, CODEC_FINISH);
}

static int l_recoder_close(lua_State *L) {
  recoder *r = check_recoder(L);
  if (!r->is_closed) recoder_close(r, site_here(L, 0), 0);
  return 0;
}

static int l_recoder_meta_close(lua_State *L) {
  recoder *r = check_recoder(L);
  if (!r->is_closed) recoder_close(r, site_here(L, 0), 1);
  return 0;
}

static int l_recoder_gc(lua_State *L) {
  recoder **box = lua_touserdata(L, 1);
  if (*box) recoder_unref(*box);
  *box = NULL;
  return 0;
}

static int l_recoder_tostring(lua_State *L) {
  const recoder *r = check_recoder(L);
  lua_pushfstring(L, "%s %s %p (%s)", r->cls->name, r->cls->is_decoder ? "decoder" : "encoder",
                  (const void *)r,
                  r->is_closed ? "closed"
                  : r->rc < 0  ? "failed"
                               : "open");
  return 1;
}

// --- Hashes ----------------------------------------------------------------------------------

static const EVP_MD *check_algorithm(lua_State *L, int idx, const char *otherwise,
                                     const char **name) {
  const char *text = otherwise;
  if (!otherwise || !lua_isnoneornil(L, idx)) {
    arg_type(L, idx, LUA_TSTRING);
    text = lua_tostring(L, idx);
  }
  const EVP_MD *md = hash_algorithm(L, text, name);
  if (!md)
    err_misuse(L, "unknown algorithm \"%s\": md5, sha1, sha256, sha384 or sha512 are there", text);
  return md;
}

static hash *check_hash(lua_State *L) {
  hash *h = *(hash **)arg_object(L, 1, HASH_CLASS);
  if (!h) err_raise(L, "ECLOSED", "hash", NULL, "it was collected");  // in another's finaliser
  return h;
}

static int l_hash(lua_State *L) {
  const char *name;
  const EVP_MD *md = check_algorithm(L, 1, NULL, &name);
  hash_new(L, md, name);
  return 1;
}

static int l_hash_update(lua_State *L) {
  size_t len;
  hash *h = check_hash(L);
  const char *s = check_string(L, 2, &len);
  task_checkpoint(L);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_hash_update);
  return hash_update(L, h, s, len);
}

static int l_hash_bytes(lua_State *L) {
  unsigned char value[EVP_MAX_MD_SIZE];
  unsigned len;
  hash_value(L, check_hash(L), value, &len);
  lua_pushlstring(L, (const char *)value, len);
  return 1;
}

static int l_hash_hex(lua_State *L) {
  unsigned char value[EVP_MAX_MD_SIZE];
  char text[2 * EVP_MAX_MD_SIZE];
  unsigned len;
  hash_value(L, check_hash(L), value, &len);
  hex_encode(value, len, text);
  lua_pushlstring(L, text, 2 * (size_t)len);
  return 1;
}

static int l_hash_gc(lua_State *L) {
  hash **box = lua_touserdata(L, 1);
  if (*box) hash_unref(*box);
  *box = NULL;
  return 0;
}

static int l_hash_tostring(lua_State *L) {
  const hash *h = check_hash(L);
  lua_pushfstring(L, "%s hash %p", h->name, (const void *)h);
  return 1;
}

static int l_hash_file(lua_State *L) {
  size_t len;
  const char *name, *path = check_string(L, 1, &len);
  arg_check(L, strlen(path) == len, 1, "the path has a zero byte");
  const EVP_MD *md = check_algorithm(L, 2, "sha256", &name);
  task_checkpoint(L);
  wait_check(L);
  return hash_file(L, md, path);
}

static int l_hmac(lua_State *L) {
  const char *name;
  size_t key_len, len;
  const EVP_MD *md = check_algorithm(L, 1, NULL, &name);
  const char *key = check_string(L, 2, &key_len), *s = check_string(L, 3, &len);
  task_checkpoint(L);
  if (!wait_may_go_on(L, WAIT_QUICK)) return wait_rest(L, l_hmac);
  return hash_mac(L, md, key, key_len, s, len);
}

static int l_equal(lua_State *L) {
  size_t n, m;
  const char *a = check_string(L, 1, &n), *b = check_string(L, 2, &m);
  lua_pushboolean(L, n == m && hash_equal(a, b, n));
  return 1;
}

// --- Others ----------------------------------------------------------------------------------

static int l_crc32(lua_State *L) {
  size_t len;
  const char *s = check_string(L, 1, &len);
  lua_Integer crc = arg_opt_integer(L, 2, 0);
  arg_check(L, crc >= 0 && crc <= UINT32_MAX, 2, "a checksum has 32 bits");
  lua_pushinteger(L, (lua_Integer)crc32_z((uLong)crc, (const Bytef *)s, len));
  return 1;
}

static int l_random(lua_State *L) {
  luaL_Buffer b;
  lua_Integer n = arg_integer(L, 1);
  arg_check(L, n >= 0 && n <= MOST_RANDOM, 1, "0 to 1048576 bytes");
  int rc = uv_random(NULL, NULL, luaL_buffinitsize(L, &b, (size_t)n), (size_t)n, 0, NULL);
  if (rc < 0) return err_raise(L, err_code_of(rc), "random", NULL, "%s", uv_strerror(rc));
  luaL_pushresultsize(&b, (size_t)n);
  return 1;
}

static int l_uuid(lua_State *L) {
  char text[UUID_SIZE];
  lua_Integer version = arg_opt_integer(L, 1, 4);
  arg_check(L, version == 4 || version == 7, 1, "version 4 or 7");
  int rc = uuid_make((int)version, text);
  if (rc < 0) return err_raise(L, err_code_of(rc), "uuid", NULL, "%s", uv_strerror(rc));
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

// --- The module ------------------------------------------------------------------------------

static void make_class(lua_State *L, const char *name, const char *shown, const luaL_Reg *methods,
                       const luaL_Reg *meta) {
  if (luaL_newmetatable(L, name)) {
    luaL_setfuncs(L, meta, 0);
    lua_pushstring(L, shown);
    lua_setfield(L, -2, "__name");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}

static void make_classes(lua_State *L) {
  static const luaL_Reg recoder_meta[] = {{"__close", l_recoder_meta_close},
                                          {"__gc", l_recoder_gc},
                                          {"__tostring", l_recoder_tostring},
                                          {NULL, NULL}};
  static const luaL_Reg encoder_methods[] = {{"update", l_recoder_update},
                                             {"flush", l_recoder_flush},
                                             {"finish", l_recoder_finish},
                                             {"close", l_recoder_close},
                                             {NULL, NULL}};
  static const luaL_Reg decoder_methods[] = {{"update", l_decoder_update},
                                             {"finish", l_recoder_finish},
                                             {"close", l_recoder_close},
                                             {NULL, NULL}};
  static const luaL_Reg hash_methods[] = {
    {"update", l_hash_update}, {"hex", l_hash_hex}, {"bytes", l_hash_bytes}, {NULL, NULL}};
  static const luaL_Reg hash_meta[] = {
    {"__gc", l_hash_gc}, {"__tostring", l_hash_tostring}, {NULL, NULL}};
  make_class(L, RECODER_ENCODER, "encoder", encoder_methods, recoder_meta);
  make_class(L, RECODER_DECODER, "decoder", decoder_methods, recoder_meta);
  make_class(L, HASH_CLASS, "hash", hash_methods, hash_meta);
}

// Add a table of functions, which get the pointers as upvalues, to the module on top of the stack.
static void add(lua_State *L, const char *name, const luaL_Reg *functions, const void *first,
                const void *second) {
  lua_newtable(L);
  lua_pushlightuserdata(L, (void *)first);
  lua_pushlightuserdata(L, (void *)second);
  luaL_setfuncs(L, functions, 2);
  lua_setfield(L, -2, name);
}

int luaopen_corun_codec(lua_State *L) {
  static const luaL_Reg base64[] = {
    {"encode", l_base64_encode}, {"decode", l_base64_decode}, {NULL, NULL}};
  static const luaL_Reg hex[] = {{"encode", l_hex_encode}, {"decode", l_hex_decode}, {NULL, NULL}};
  static const luaL_Reg format[] = {{"encode", l_encode},
                                    {"decode", l_decode},
                                    {"encoder", l_encoder},
                                    {"decoder", l_decoder},
                                    {NULL, NULL}};
  static const luaL_Reg functions[] = {
    {"hash", l_hash},   {"hash_file", l_hash_file}, {"hmac", l_hmac}, {"equal", l_equal},
    {"crc32", l_crc32}, {"random", l_random},       {"uuid", l_uuid}, {NULL, NULL}};
  make_classes(L);
  luaL_newlib(L, functions);
  add(L, "base64", base64, &base64_standard, NULL);
  add(L, "base64url", base64, &base64_url, NULL);
  add(L, "hex", hex, NULL, NULL);
  add(L, "gzip", format, &codec_gzip_encoder, &codec_gzip_decoder);
  add(L, "deflate", format, &codec_deflate_encoder, &codec_deflate_decoder);
  add(L, "br", format, &codec_br_encoder, &codec_br_decoder);
  add(L, "zstd", format, &codec_zstd_encoder, &codec_zstd_decoder);
  return 1;
}
