// SPDX-License-Identifier: MIT
// Fuzzes the parser of URLs: no input makes it raise; what it made of a URL, alone or relative to a
// base, is parsed as the same again and built of its parts again; what HTTP gets of it may stand in
// a request line and in a Host header; what was encoded is decoded to the same.
#include "data/mods.h"
#include "fuzz_lua.h"
#include "http/mods.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.urlcore", luaopen_corun_urlcore},
                                   {NULL, NULL}};

static const char check[] =
  "local url, http_url = require 'corun.url', require 'corun.http_url'\n"
  "local parts = {'scheme', 'user', 'password', 'host', 'port', 'path', 'query', 'fragment'}\n"
  "local bases = {false, 'http://h/a/b?q#f', 'foo:/.//a', 'foo://h', 'file:///C:/x', 'data:x?q'}\n"
  "local function check_request(text)\n"
  "  local u, err = http_url.parse(text)\n"
  "  if not u then return assert(err.code == 'EURL' and #tostring(err) > 0) end\n"
  "  assert(u.target:find('^/') and not u.target:find('[%z\\1-\\32\\127-\\255\"<>\\\\^`{}#]'))\n"
  "  assert(math.type(u.port) == 'integer' and u.port >= 1 and u.port <= 65535)\n"
  "  assert(#u.host >= 1 and #u.host <= 253)\n"
  "  assert(not (u.host .. u.name):find('[%z\\1-\\32\\127-\\255/?#@]'))\n"
  "  local again = assert(http_url.parse(u.origin .. u.target))\n"
  "  assert(again.origin == u.origin and again.target == u.target and again.port == u.port)\n"
  "  assert(http_url.parse(http_url.join(u.origin, u.target)).target == u.target)\n"
  "end\n"
  "return function(text)\n"
  "  check_request(text)\n"
  "  check_request('http://h/' .. url.encode(text))\n"
  "  for _, base in ipairs(bases) do\n"
  "    local u, err = url.parse(text, base or nil)\n"
  "    if u then\n"
  "      local whole = tostring(u)\n"
  "      assert(not whole:find('[%z\\1-\\31\\127-\\255]'), whole)\n"
  "      assert(u.host == nil and u.path:find('^[^/]') or not whole:find(' ', 1, true), whole)\n"
  "      local again = assert(url.parse(whole))\n"
  "      for _, k in ipairs(parts) do assert(u[k] == again[k], k) end\n"
  "      assert(url.build(u) == whole and tostring(again) == whole, whole)\n"
  "    else\n"
  "      assert(err.code == 'EURL' and #tostring(err) > 0)\n"
  "    end\n"
  "  end\n"
  "  for _, set in ipairs{'component', 'path', 'query', 'fragment', 'userinfo', 'form'} do\n"
  "    local form = set == 'form' and 'form' or nil\n"
  "    assert(url.decode(url.encode(text, set), form) == text)\n"
  "  end\n"
  "  local _, pairs_ = url.query(text)\n"
  "  local q = url.query(pairs_)\n"
  "  assert(#pairs_ == 0 or url.query(select(2, url.query(q))) == q)\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
