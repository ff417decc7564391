-- SPDX-License-Identifier: MIT
-- For specs of processes: what this process has open, and which children it has.
local corun = require "corun"
local assert = require "luassert"
local lfs = require "lfs"

local children = {}

---The number of descriptors that this process has open.
function children.descriptors()
  local n = 0
  for _ in lfs.dir("/proc/self/fd") do n = n + 1 end
  return n
end

---The children that this process has, zombies included, as a list of numbers.
function children.list()
  local f <close> = assert(io.open("/proc/thread-self/children"))
  local list = {}
  for pid in f:read("a"):gmatch("%d+") do list[#list + 1] = math.tointeger(pid) end
  return list
end

---Whether a process runs: it exists and is no zombie.
function children.runs(pid)
  local f <close> = io.open(("/proc/%d/stat"):format(pid))
  local state = f and (f:read("a") or ""):match("%) (%u)")
  return state ~= nil and state ~= "Z" and state ~= "X"
end

---Wait until no such process runs; an error if that takes long.
function children.wait_gone(pid)
  for _ = 1, 1000 do
    if not children.runs(pid) then return end
    corun.sleep(0.005)
  end
  error(("process %d still runs"):format(pid), 2)
end

---Run `fn`, which must leave as many descriptors and children as there were.
function children.checked(fn)
  return function()
    require("corun.process").run{"true"} -- libuv keeps one descriptor from its first stream on
    collectgarbage() -- what earlier tests have left open must not be closed meanwhile
    collectgarbage()
    while corun.debug.stats().jobs > 0 do corun.sleep(0.001) end -- files close on threads
    local descriptors = children.descriptors()
    assert.same({}, children.list())
    fn()
    assert.same({}, children.list())
    for _ = 1, 200 do -- handles of libuv close in the next turns of the loop
      if children.descriptors() == descriptors then break end
      corun.sleep(0.001)
    end
    assert.equal(descriptors, children.descriptors())
  end
end

return children
