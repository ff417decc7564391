// SPDX-License-Identifier: MIT
// Fuzzes cookies: any bytes as a date, as a Set-Cookie line and as a file of cookies. A date that
// is read is one that C knows; a line is stored or refused with a reason, and what a request then
// gets fits into a header; a file is read or refused with a reason. Owns one runtime for all
// inputs.
#include "data/mods.h"
#include "fuzz_lua.h"
#include "http/mods.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.urlcore", luaopen_corun_urlcore},
                                   {"corun.cookiecore", luaopen_corun_cookiecore},
                                   {NULL, NULL}};

// The file system is a variable here: `fs.read` gives the input.
static const char check[] =
  "local text, written\n"
  "package.preload['corun.fs'] = function() return {\n"
  "  read = function() return text end,\n"
  "  write = function(_, data) written = data return true end,\n"
  "} end\n"
  "local cookies = require 'corun.http_cookies'\n"
  "local NOW = 1700000000\n"
  "local function check_header(jar, url)\n"
  "  local value = jar:header(url, nil, NOW)\n"
  "  assert(not value or #value > 0 and not value:find('%c'), value)\n"
  "  return value\n"
  "end\n"
  "local function check_line(line)\n"
  "  local jar = cookies.jar()\n"
  "  local stored, refused = jar:store('https://a.b.example.com/x/y', line, NOW)\n"
  "  assert(stored + #(refused or {}) == 1)\n"
  "  if refused then return assert(refused[1].code == 'ECOOKIE' and #tostring(refused[1]) > 0) "
  "end\n"
  "  for c in jar:all(nil, NOW) do\n"
  "    assert(#c.name + #c.value <= 4096 and c.path:find('^/') and #c.path <= 1024)\n"
  "    assert(c.domain == 'a.b.example.com' or not c.host_only)\n"
  "    assert(('.a.b.example.com'):sub(-#c.domain - 1) == '.' .. c.domain and c.domain ~= 'com')\n"
  "    assert(not c.expires or c.expires > NOW and c.expires <= NOW + 400 * 86400)\n"
  "    local as_is = not c.path:find('[^%w/=_.,-]')\n"
  "    assert(check_header(jar, 'https://a.b.example.com' .. c.path) or not as_is)\n"
  "  end\n"
  "  check_header(jar, 'http://a.b.example.com/x')\n"
  "  assert(not jar:header('https://example.org/x/y', nil, NOW))\n"
  "  assert(jar:save('x', NOW))\n"
  "  text = written\n"
  "  local again = assert(cookies.load('x'))\n"
  "  for c in jar:all(nil, NOW) do\n"
  "    local same = again:all({name = c.name}, NOW)()\n"
  "    assert(c.expires and c.expires <= os.time() or same and same.value == c.value)\n"
  "  end\n"
  "end\n"
  "local function check_file(bytes)\n"
  "  text = bytes\n"
  "  local jar, err = cookies.load('x')\n"
  "  if not jar then return assert(err.code == 'EINVAL' and #tostring(err) > 0) end\n"
  "  for c in jar:all() do check_header(jar, 'https://' .. c.domain .. '/') end\n"
  "  assert(jar:save('x'))\n"
  "  local first = written\n"
  "  text = first\n"
  "  assert(assert(cookies.load('x')):save('x') and written == first)\n"
  "end\n"
  "return function(bytes)\n"
  "  check_line(bytes)\n"
  "  check_file(bytes)\n"
  "  check_file(bytes:gsub(' ', '\\t'))\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
