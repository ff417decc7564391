// SPDX-License-Identifier: MIT
// Fuzzes the decoder of values that cross between runtimes, without functions: any bytes give
// values that can be encoded and decoded again, as many and alike, or an error.
#include "data/mods.h"
#include "fuzz_lua.h"
#include "pool/mods.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.json", luaopen_corun_json},
                                   {"corun.transfer", luaopen_corun_transfer},
                                   {NULL, NULL}};

static const char check[] =
  "local transfer = require 'corun.transfer'\n"
  "transfer.register('point', {__name = 'point'})\n"
  "local function alike(a, b, seen)\n"
  "  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end\n"
  "  if a ~= a then return b ~= b end\n"
  "  if type(a) ~= 'table' then return a == b end\n"
  "  if seen[a] then return seen[a] == b end\n"
  "  seen[a] = b\n"
  "  for k, v in next, a do\n"
  "    if type(k) ~= 'table' and not alike(v, rawget(b, k), seen) then return false end\n"
  "  end\n"
  "  return getmetatable(a) == getmetatable(b)\n"
  "end\n"
  "return function(bytes)\n"
  "  local r = table.pack(transfer.decode(bytes))\n"
  "  if r.n == 2 and r[1] == nil and type(r[2]) == 'table' and r[2].code == 'ETRANSFER' then\n"
  "    return\n"
  "  end\n"
  "  local s = transfer.encode(table.unpack(r, 1, r.n))\n"
  "  local again = table.pack(transfer.decode(s))\n"
  "  assert(r.n == again.n)\n"
  "  for i = 1, math.min(r.n, 40) do assert(alike(r[i], again[i], {})) end\n"
  "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_lua(modules, check, data, size);
}
