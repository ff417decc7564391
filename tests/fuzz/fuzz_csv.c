// SPDX-License-Identifier: MIT
// Fuzzes the reader of comma-separated values: a text gives the same rows, or the same mistake at
// the same place, in one piece and cut anywhere; what was read is read again once it was written.
#include "data/mods.h"
#include "fuzz_lua.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.csvcore", luaopen_corun_csvcore},
                                   {"corun.json", luaopen_corun_json},
                                   {NULL, NULL}};

static const char check[] =
  "local csv = require 'corun.csv'\n"
  "local function equal(a, b)\n"
  "  if type(a) ~= 'table' then return a == b end\n"
  "  for k, v in pairs(a) do if not equal(v, b[k]) then return false end end\n"
  "  for k in pairs(b) do if a[k] == nil then return false end end\n"
  "  return true\n"
  "end\n"
  "local function collect(text, o, n)\n"
  "  local rows, at = {}, 1\n"
  "  local function recv()\n"
  "    if at > #text then return nil end\n"
  "    at = at + n\n"
  "    return text:sub(at - n, at - 1)\n"
  "  end\n"
  "  for row in csv.lines({recv = recv}, o) do rows[#rows + 1] = row end\n"
  "  return rows\n"
  "end\n"
  "return function(text)\n"
  "  local style = text:byte(1) or 0\n"
  "  text = text:sub(2, 300)\n"
  "  local o = {header = style & 1 > 0, quote = style & 2 == 0 and '\"',\n"
  "    separator = style & 4 > 0 and ';' or ','}\n"
  "  local rows, names = csv.decode(text, o)\n"
  "  assert(rows or names.code == 'ECSV' and names.line >= 1 and names.offset <= #text + 1)\n"
  "  for _, n in ipairs{1, 2, 3, 7} do\n"
  "    local ok, again = pcall(collect, text, o, n + #text // 64)\n"
  "    assert(ok == (rows ~= nil))\n"
  "    if ok then assert(equal(rows, again))\n"
  "    else assert(again.offset == names.offset and again.line == names.line, again) end\n"
  "  end\n"
  "  if rows and o.quote and not names then\n"
  "    local written = csv.encode(rows, {separator = o.separator})\n"
  "    assert(equal(rows, (assert(csv.decode(written, o)))))\n"
  "  end\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
