-- SPDX-License-Identifier: MIT
-- For specs about tasks. Under the virtual clock a sleep ends only once every task that could run
-- has run, so `settle` is a barrier that holds for each order of the ready queue.
local corun = require "corun"
local debug_ = require "corun.debug"

local tasks = {}

---Let sleeping cost nothing until the test ends.
function tasks.virtual()
  debug_.virtual(true)
end

---Return once all tasks wait for something. Needs the virtual clock.
function tasks.settle()
  corun.sleep(1e-6)
end

---Start fn as a child of the calling scope, and return its task once all tasks wait.
function tasks.started(fn, ...)
  local t = corun.async(fn, ...)
  tasks.settle()
  return t
end

---What fn raises; an error if it raises nothing.
function tasks.error_of(fn, ...)
  local r = table.pack(pcall(fn, ...))
  if r[1] then error("nothing was raised", 2) end
  return r[2]
end

---A closable that calls fn without the shield that corun.defer has.
function tasks.closing(fn)
  return setmetatable({}, {__close = function(_, err) fn(err) end})
end

---A function that sleeps until it is cancelled, then `cleanup` seconds more in a shield, and adds
---`name` to the list.
function tasks.slow_to_end(list, name, cleanup)
  return function()
    local _ <close> = corun.defer(function()
      corun.sleep(cleanup or 0)
      list[#list + 1] = name
    end)
    corun.sleep(math.huge)
  end
end

return tasks
