-- SPDX-License-Identifier: MIT
-- Three counters at once. Each takes a second, and so do all three.
local corun = require "corun"

local start = corun.now()

local function count(name)
  for i = 1, 4 do
    print(("%.2f s  %s %d"):format(corun.now() - start, name, i))
    corun.sleep(0.25)
  end
end

corun.scope(function(s)
  s:spawn(count, "apples")
  s:spawn(count, "pears")
  s:spawn(count, "plums")
end)
print(("%.2f s  done"):format(corun.now() - start))
