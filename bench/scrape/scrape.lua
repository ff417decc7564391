-- SPDX-License-Identifier: MIT
-- Main job of the project: 64 workers get and decode one JSON resource.
-- Usage: scrape.lua URL N WARM
local corun = require "corun"

local url = arg[1]
local session = corun.http.session { limit = 64, per_host = 64 }

local function run(n)
  local left, sum = n, 0
  corun.scope(function(s)
    for _ = 1, 64 do
      s:spawn(function()
        while left > 0 do
          left = left - 1
          local value = assert(session:getjson(url))
          sum = sum + value.id
        end
      end)
    end
  end)
  return sum
end

local function mark(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

run(tonumber(arg[3]))
mark("begin")
local sum = run(tonumber(arg[2]))
mark("end")
assert(sum == 20413186 * tonumber(arg[2]))
session:close()
