-- SPDX-License-Identifier: MIT
-- N coroutines on cqueues, all started at once, each sleeps a second. Usage: sleepers_cqueues.lua N
local cqueues = require "cqueues"

local cq = cqueues.new()
for _ = 1, tonumber(arg[1]) do
  cq:wrap(function() cqueues.sleep(1) end)
end
assert(cq:loop())
