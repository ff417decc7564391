-- SPDX-License-Identifier: MIT
-- 100 large files read, or written, at once beside a ticker of 1 ms: what does that do to the beat?
--   files.lua read|write DIR COUNT BYTES
-- The files are made before what is measured. Prints one line: milliseconds by which the ticks were
-- late (median, p99, most), and MB per second.
local corun = require "corun"
local fs = corun.fs

local what, dir, count, size = arg[1], arg[2], math.tointeger(arg[3]), math.tointeger(arg[4])

local names = {}
for i = 1, count do names[i] = ("%s/%d"):format(dir, i) end
local block = ("0123456789abcdef"):rep(size // 16)

local function read(name)
  local data = assert(fs.read(name))
  assert(#data == #block)
end

local function write(name)
  assert(fs.write(name, block))
end

corun.map(names, write)

-- Sleep a millisecond again and again; note by how much each was longer.
local late = {}
local function tick()
  while true do
    local before = corun.now()
    corun.sleep(0.001)
    late[#late + 1] = corun.now() - before - 0.001
  end
end

local seconds
corun.scope(function(s)
  s:daemon(tick)
  corun.sleep(0.05)
  late = {}
  print("begin")
  io.stdout:flush()
  local begun = corun.now()
  corun.map(names, what == "read" and read or write, {limit = count})
  seconds = corun.now() - begun
  print("end")
  io.stdout:flush()
end)

table.sort(late)
local function at(share) return late[math.max(1, math.ceil(#late * share))] * 1e3 end
print(("late %.3f %.3f %.3f rate %.0f"):format(at(0.5), at(0.99), at(1),
  count * #block / seconds / 1e6))
