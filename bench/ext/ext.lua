-- SPDX-License-Identifier: MIT
-- What operations of an extension cost. Usage: ext.lua NOOP.SO MODE N WARM; MODE is
--   trip: no-ops on a thread, one at a time    flight: no-ops on threads, 1,000 at a time
--   wake: two tasks that wake each other on the loop, N suspensions in all
local corun = require "corun"
local noop = assert(package.loadlib(arg[1], "luaopen_noop"))()

local mode, n, warm = arg[2], tonumber(arg[3]), tonumber(arg[4])

local function together(tasks, count, fn)
  corun.scope(function(s)
    for _ = 1, tasks do
      s:spawn(function()
        for _ = 1, count // tasks do fn() end
      end)
    end
  end)
end

local modes = {
  trip = function(count) together(1, count, noop.nothing) end,
  flight = function(count) together(1000, count, noop.nothing) end,
  wake = function(count)
    corun.scope(function(s)
      local left = 2
      for _ = 1, 2 do
        s:spawn(function()
          for _ = 1, count // 2 do noop.swap() end
          left = left - 1
          if left == 1 then noop.last() end
        end)
      end
    end)
  end,
}

modes[mode](warm)
print "begin"
io.stdout:flush()
modes[mode](n)
print "end"
