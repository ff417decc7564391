-- SPDX-License-Identifier: MIT
-- What threads.lua does for each request, N times: what cores are worth that have nothing to do
-- with each other. Usage: arithmetic.lua N; prints the seconds that it took.
local corun = require "corun"

local began = corun.now()
for _ = 1, tonumber(arg[1]) do
  local x = 1
  for _ = 1, 100000 do x = (x * 1103515245 + 12345) & 0x7fffffff end
end
print(corun.now() - began)
