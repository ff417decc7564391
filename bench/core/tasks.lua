-- SPDX-License-Identifier: MIT
-- Spawn, yield, await: N tasks one after another, each suspends once. Usage: tasks.lua N WARM
local corun = require "corun"

local function run(n)
  for _ = 1, n do
    local t = corun.async(function() corun.yield() end)
    corun.await(t)
  end
end

local function mark(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

run(tonumber(arg[2]))
mark("begin")
run(tonumber(arg[1]))
mark("end")
