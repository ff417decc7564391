-- SPDX-License-Identifier: MIT
-- Looks up NAMES names at once. Usage: names.lua NAMES
local corun = require "corun"
local net = require "corun.net"

local names, start = {}, corun.now()
for i = 1, tonumber(arg[1]) do names[i] = ("n%d.d100.a1.test"):format(i) end
local found = 0
for _, addresses, err in corun.each(names, net.resolve, {limit = #names}) do
  assert(addresses, err)
  found = found + 1
end
print(("%d names in %.3f s"):format(found, corun.now() - start))
