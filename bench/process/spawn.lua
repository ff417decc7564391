-- SPDX-License-Identifier: MIT
-- Run /bin/true N times, 16 at a time, and collect what it prints. Usage: spawn N WARM
local corun = require "corun"
local process = require "corun.process"

local function run(n)
  local i = 0
  corun.scope(function(s)
    for _ = 1, 16 do
      s:spawn(function()
        while i < n do
          i = i + 1
          assert(assert(process.run{"/bin/true"}).ok)
        end
      end)
    end
  end)
end

io.stdout:setvbuf("no")
run(tonumber(arg[2]))
print("begin")
run(tonumber(arg[1]))
print("end")
