-- SPDX-License-Identifier: MIT
-- Spawn, yield, await on cqueues, with its own promise. Usage: tasks_cqueues.lua N WARM
local cqueues = require "cqueues"
local promise = require "cqueues.promise"

local function run(n)
  for _ = 1, n do
    local t = promise.new(function() cqueues.sleep(0) end)
    t:get()
  end
end

local function mark(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

local cq = cqueues.new()
cq:wrap(function()
  run(tonumber(arg[2]))
  mark("begin")
  run(tonumber(arg[1]))
  mark("end")
end)
assert(cq:loop())
