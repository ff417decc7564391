-- SPDX-License-Identifier: MIT
-- N tasks, all spawned at once, each sleeps a second. The main chunk ends, the root scope waits.
-- Usage: sleepers.lua N
local corun = require "corun"

for _ = 1, tonumber(arg[1]) do
  corun.spawn(function() corun.sleep(1) end)
end
