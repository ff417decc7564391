-- SPDX-License-Identifier: MIT
-- corun.every: ticks. Embedded as corun.every and loaded at first use. Owns an event that ends the
-- wait of its user when it is closed. Tick k is due k - 1 periods after the first, however long the
-- body of the loop takes: no drift, and a tick that is missed is counted, not made up for.

local options = require("corun.options")
local task = require("corun.task")
local sync = require("corun.sync")

local now, select = task.now, sync.select

local methods = {}
local every_mt = {__index = methods, __name = "corun.every"}

---End the ticks: a task that waits for one gets nil. A second call does nothing.
function methods:close()
  options.self(self, every_mt, "close")
  self.cases.closed:set()
end

every_mt.__close = methods.close

-- The iterator step: the number of the tick, counting those that were skipped; nil once closed.
function every_mt:__call()
  local t = now()
  if self.count == 0 then self.start = t end
  local late = (t - self.start) // self.period -- periods that have passed
  self.limit.timeout = 0
  if late < self.count then
    late = self.count
    self.limit.timeout = math.max(0, self.start + self.count * self.period - t)
  end
  if select(self.cases, self.limit) then return nil end
  self.count = math.tointeger(late) + 1
  return self.count
end

function every_mt:__tostring()
  return ("every %p (%g s, %s)"):format(self, self.period,
    self.cases.closed:is_set() and "closed" or ("%d ticks"):format(self.count))
end

---Tick at once, and then every `s` seconds.
---@param s number
---@return table ticks an iterator for the generic for, with a method close
local function every(s)
  if math.type(s) == nil or not (s > 0 and s < math.huge) then
    options.misuse(("every takes a finite number of seconds above 0, got %s")
      :format(options.show(s)))
  end
  local ticks = setmetatable({period = s, count = 0, start = 0,
    cases = {closed = sync.event()}, limit = {}}, every_mt)
  return ticks, nil, nil, ticks
end

return every
