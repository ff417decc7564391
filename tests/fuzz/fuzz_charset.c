// SPDX-License-Identifier: MIT
// Fuzzes the decoders of character sets: any bytes become UTF-8, the same however they are cut, and
// UTF-8 becomes itself.
#include "data/mods.h"
#include "fuzz_lua.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.charsetcore", luaopen_corun_charsetcore},
                                   {NULL, NULL}};

static const char check[] =
  "local core, charset = require 'corun.charsetcore', require 'corun.http_charset'\n"
  "local names = {'UTF-8', 'UTF-16LE', 'UTF-16BE', 'CP1252', 'CP932', 'CP949', 'GB18030',\n"
  "  'BIG5-HKSCS', 'EUC-JP', 'ISO-2022-JP', 'ISO-8859-8', 'CP1255', 'CP1258'}\n"
  "return function(text)\n"
  "  local name = names[(text:byte(1) or 0) % #names + 1]\n"
  "  local n = (text:byte(2) or 0) % 7 + 1 + #text // 64\n"
  "  text = text:sub(3)\n"
  "  local whole = core.decoder(name):feed(text, true)\n"
  "  assert(utf8.len(whole))\n"
  "  if name == 'UTF-8' then assert(not utf8.len(text) or whole == text) end\n"
  "  local d, out = core.decoder(name), {}\n"
  "  for at = 1, #text, n do\n"
  "    out[#out + 1] = d:feed(text:sub(at, at + n - 1), at + n > #text)\n"
  "  end\n"
  "  assert(#text == 0 or table.concat(out) == whole)\n"
  "  local found = charset.text(text, text)\n"
  "  assert(not found or utf8.len(found))\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
