// SPDX-License-Identifier: MIT
// Fuzzes the reader of multipart/form-data: a body gives the same parts, or the same mistake, in
// one piece and cut anywhere; a mistake is the client's, and no part holds a delimiter.
#include "data/mods.h"
#include "fuzz_lua.h"
#include "http/mods.h"
#include "net/mods.h"

static const luaL_Reg modules[] = {
  {"corun.task", luaopen_corun_task},       {"corun.inside", luaopen_corun_inside},
  {"corun.netcore", luaopen_corun_netcore}, {"corun.httpcore", luaopen_corun_httpcore},
  {"corun.urlcore", luaopen_corun_urlcore}, {"corun.codec", luaopen_corun_codec},
  {"corun.json", luaopen_corun_json},       {NULL, NULL}};

static const char check[] =
  "local parts = require 'corun.http_parts'\n"
  "local BOUNDARY, MOST = 'b', 200\n"
  "local function read(body, step)\n"
  "  local at = 1\n"
  "  local reader = parts.new(function()\n"
  "    if at > #body then return nil end\n"
  "    at = at + step\n"
  "    return body:sub(at - step, at - 1)\n"
  "  end, BOUNDARY, MOST, 'form')\n"
  "  repeat until not reader:piece()\n"
  "  local out = {}\n"
  "  for part in reader.next, reader do\n"
  "    local data = {}\n"
  "    for piece in reader.piece, reader do\n"
  "      assert(piece ~= '')\n"
  "      data[#data + 1] = piece\n"
  "    end\n"
  "    data = table.concat(data)\n"
  "    assert(not ('\\r\\n' .. data):find('\\r\\n--' .. BOUNDARY, 1, true))\n"
  "    out[#out + 1] = ('%q %q %q %q'):format(part.name, part.filename, part.type, data)\n"
  "  end\n"
  "  return table.concat(out, '\\n')\n"
  "end\n"
  "local function outcome(body, step)\n"
  "  local ok, result = pcall(read, body, step)\n"
  "  if ok then return result end\n"
  "  assert(type(result) == 'table' and (result.status == 400 or result.status == 413), result)\n"
  "  return result.status .. ' ' .. result.message\n"
  "end\n"
  "return function(body)\n"
  "  body = body:sub(1, 400)\n"
  "  local whole = outcome(body, #body + 1)\n"
  "  for _, step in ipairs{1, 2, 7, 64} do\n"
  "    local cut = outcome(body, step)\n"
  "    assert(cut == whole, cut)\n"
  "  end\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
