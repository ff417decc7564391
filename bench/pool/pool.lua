-- SPDX-License-Identifier: MIT
-- What workers cost. Usage: pool.lua [processes] MODE N WARM [WORKERS]; MODE is
--   trip: no-op jobs, one at a time      flight: no-op jobs, 1,000 at a time
--   map: one map over N trivial calls    cpu: N calls of about a millisecond, on WORKERS workers
--   string, table: 5 MB, 100,000 entries there and back
--   start: N workers that idle; prints their number, ms and bytes of memory for each
local corun = require "corun"

local kind = arg[1] == "processes" and table.remove(arg, 1) and "process" or "thread"
local mode, n, warm = arg[1], tonumber(arg[2]), tonumber(arg[3])
local p <close> = corun.pool.new{size = tonumber(arg[4]) or 2, kind = kind}

local function nothing() end

local function echo(value) return value end

local function increment(x) return x + 1 end

local function compute(seed)
  local x = seed
  for _ = 1, 100000 do x = (x * 1103515245 + 12345) & 0x7fffffff end
  return x
end

local function range(count)
  local list = {}
  for i = 1, count do list[i] = i end
  return list
end

local function back_and_forth(value, count)
  for _ = 1, count do assert(#p:run(echo, value) == #value) end
end

local modes = {
  trip = function(count)
    for _ = 1, count do p:run(nothing) end
  end,
  flight = function(count)
    corun.scope(function(s)
      for _ = 1, 1000 do
        s:spawn(function()
          for _ = 1, count // 1000 do p:run(nothing) end
        end)
      end
    end)
  end,
  map = function(count) assert(p:map(range(count), increment)[count] == count + 1) end,
  cpu = function(count) assert(p:map(range(count), compute).n == count) end,
  string = function(count) back_and_forth(("0123456789"):rep(500000), count) end,
  table = function(count) back_and_forth(range(100000), count) end,
}

-- The memory that is the process's own, in bytes.
local function memory()
  local text = assert(corun.fs.read("/proc/self/smaps_rollup"))
  return (text:match("\nPrivate_Dirty:%s+(%d+)") + text:match("\nPrivate_Clean:%s+(%d+)")) * 1024
end

-- Start one worker after the other, each in a pool of its own, and keep them.
local function start()
  p:run(nothing)
  local pools, seconds = {}, 0
  local before = memory()
  for i = 1, n do
    pools[i] = corun.pool.new{size = 1}
    local begun = corun.now()
    pools[i]:run(nothing)
    seconds = seconds + corun.now() - begun
  end
  corun.sleep(0.2)
  print(("start %d %.4f %.0f"):format(n, seconds / n * 1e3, (memory() - before) / n))
  for _, one in ipairs(pools) do one:close() end
end

if mode == "start" then
  start()
else
  local run = assert(modes[mode], "no such mode")
  local function mark(word)
    io.stdout:write(word, "\n")
    io.stdout:flush()
  end
  run(warm)
  mark("begin")
  run(n)
  mark("end")
end
