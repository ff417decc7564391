// SPDX-License-Identifier: MIT
// Fuzzes the client of HTTP: any bytes as a server's answer. However they are cut the outcome is
// the same: a response, or an error that says what went wrong where. A part of the bytes is no
// response unless it has all that the whole has. The first byte chooses how the request is sent and
// how the connection ends, the second where the bytes are cut. Owns one runtime for all inputs.
#include <string.h>

#include "data/mods.h"
#include "fuzz_lua.h"
#include "http/mods.h"
#include "io/stream_lua.h"
#include "net/mods.h"

#define CLASS "fuzz.stream"

// --- A stream over bytes that are in memory ----------------------------------------------------

typedef struct source {
  stream s;
  size_t n, at, step;  // bytes in all, delivered, and delivered at once
  int end;             // what the stream ends with
  char bytes[];
} source;

static source *source_of(stream *s) {
  return list_entry(s, source, s);
}

static int start(stream *s) {
  (void)s;
  return 0;
}

static void stop(stream *s) {
  (void)s;
}

static int try_write(stream *s, const uv_buf_t *bufs, unsigned n) {
  size_t total = 0;
  (void)s;
  for (unsigned i = 0; i < n; i++) total += bufs[i].len;
  return (int)total;
}

// A reader waits: give it the next piece, or the end.
static void hold(stream *s, int on) {
  source *f = source_of(s);
  uv_buf_t buf;
  if (!on || s->closed) return;
  if (f->at == f->n) {
    stream_ended(s, f->end);
    return;
  }
  stream_room(s, &buf);
  size_t n = f->n - f->at < f->step ? f->n - f->at : f->step;
  if (n > buf.len) n = buf.len;
  if (!n) abort();
  memcpy(buf.base, f->bytes + f->at, n);
  f->at += n;
  stream_fed(s, buf.base, n);
}

static void describe(const stream *s, char *buf, size_t n) {
  (void)s;
  snprintf(buf, n, "peer");
}

static const stream_transport transport = {.kind = "fuzz",
                                           .start = start,
                                           .stop = stop,
                                           .try_write = try_write,
                                           .close = stream_closed,
                                           .hold = hold,
                                           .describe = describe};

// stream(bytes, step, is_reset)
static int l_stream(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n);
  io_state *io = io_state_of(L);
  stream_box *b = stream_newbox(L, CLASS);
  source *f = calloc(1, sizeof *f + n);
  if (!f) abort();
  memcpy(f->bytes, bytes, n);
  f->n = n;
  f->step = (size_t)luaL_checkinteger(L, 2);
  f->end = lua_toboolean(L, 3) ? UV_ECONNRESET : UV_EOF;
  stream_init(&f->s, rt_of(L), io, &transport);
  b->s = stream_ref(&f->s);
  return 1;
}

static int open_fuzz(lua_State *L) {
  static const luaL_Reg functions[] = {{"stream", l_stream}, {NULL, NULL}}, none[] = {{NULL, NULL}};
  stream_class(L, CLASS, "stream", none);
  luaL_newlib(L, functions);
  return 1;
}

// --- The check -----------------------------------------------------------------------------------

static const luaL_Reg modules[] = {{"fuzz", open_fuzz},
                                   {"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.sync", luaopen_corun_sync},
                                   {"corun.netcore", luaopen_corun_netcore},
                                   {"corun.httpcore", luaopen_corun_httpcore},
                                   {"corun.json", luaopen_corun_json},
                                   {"corun.urlcore", luaopen_corun_urlcore},
                                   {"corun.codec", luaopen_corun_codec},
                                   {NULL, NULL}};

static const char check[] =
  "local dial, session = require 'corun.http_dial', require 'corun.http_session'\n"
  "local stream = require 'fuzz'.stream\n"
  "local CODES = {EOF = true, ECONNRESET = true, EPROTO = true, EMSGSIZE = true}\n"
  "local input, step, is_reset\n"
  "function dial.connect() return stream(input, step, is_reset) end\n"
  "local function in_pieces()\n"
  "  local n = 0\n"
  "  return function()\n"
  "    n = n + 1\n"
  "    return n < 3 and 'piece' or nil\n"
  "  end\n"
  "end\n"
  "local function outcome(way, bytes, size)\n"
  "  input, step = bytes, size\n"
  "  local o = {max_body = 20000, stream = way & 1 > 0, redirects = false,\n"
  "    body = way & 2 > 0 and in_pieces() or nil}\n"
  "  local s <close> = session.new{cookies = false, proxy = false}\n"
  "  local res, err = s:request(way & 4 > 0 and 'HEAD' or 'GET', 'http://h/', o)\n"
  "  local got = {}\n"
  "  if res then\n"
  "    got.status = res.status\n"
  "    got.type, got.length = res.headers['content-type'], res.headers['content-length']\n"
  "    got.open_ended = not got.length and not res.headers['transfer-encoding']\n"
  "    got.coded = res.headers['content-encoding']\n"
  "    if o.stream then got.body, err = res:read('a') else got.body = res.body end\n"
  "  end\n"
  "  if err then\n"
  "    got.code, got.text = err.code, tostring(err)\n"
  "    assert(CODES[got.code] and err.op and err.target and #err.message > 0, got.text)\n"
  "    if res and o.stream then res:close() end\n"
  "  end\n"
  "  local stats = s:stats()\n"
  "  assert(stats.active == 0 and stats.open <= (err and err.op ~= 'decode' and 0 or 1))\n"
  "  assert(not got.body or #got.body <= o.max_body)\n"
  "  return got\n"
  "end\n"
  "local function equal(a, b)\n"
  "  for k, v in pairs(a) do assert(b[k] == v, ('%s: %s, %s'):format(k, v, b[k])) end\n"
  "  for k, v in pairs(b) do assert(a[k] == v, ('%s: %s, %s'):format(k, a[k], v)) end\n"
  "end\n"
  "return function(text)\n"
  "  local way, n = text:byte(1) or 0, text:byte(2) or 0\n"
  "  text, is_reset = text:sub(3), way & 8 > 0\n"
  "  local whole = outcome(way, text, #text + 1)\n"
  "  equal(whole, outcome(way, text, 1))\n"
  "  equal(whole, outcome(way, text, n + 2))\n"
  "  if not whole.body then return end\n"
  "  if whole.length and not whole.coded and way & 4 == 0 and #whole.body > 0 then\n"
  "    assert(#whole.body == tonumber(whole.length))\n"
  "  end\n"
  "  local part = outcome(way, text:sub(1, n * #text // 256), #text + 1)\n"
  "  if part.body and not part.open_ended then equal(whole, part) end\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
