-- SPDX-License-Identifier: MIT
-- corun.backoff: the pauses between attempts. Embedded as corun.backoff and loaded at first use;
-- owns only its own numbers and runs on any runtime. It sleeps between two attempts, never before
-- the first nor after the last.

local options = require("corun.options")

local SPEC = {min = "duration", max = "duration", factor = "number", jitter = "number",
  tries = "count"}

local methods = {}
local backoff_mt = {__index = methods, __name = "corun.backoff"}

---Start over: the next attempt is number 1 and comes at once, the pause after it is `min` again.
function methods:reset()
  options.self(self, backoff_mt, "reset")
  self.attempt, self.delay = 0, self.min
end

-- The iterator step: pause, then the number of the attempt; nil after the last one.
function backoff_mt:__call()
  if self.attempt >= self.tries then return nil end
  local pause = 0
  if self.attempt > 0 then pause = self.delay * (1 - self.jitter * math.random()) end
  require("corun").sleep(pause) -- also for 0: every step is a checkpoint
  -- Another task may have called reset() meanwhile: look at the object again.
  if self.attempt > 0 then self.delay = math.min(self.delay * self.factor, self.max) end
  self.attempt = self.attempt + 1
  return self.attempt
end

function backoff_mt:__tostring()
  return ("backoff %p (%d made, next pause up to %g s)"):format(self, self.attempt,
    self.attempt == 0 and 0 or self.delay)
end

local function refuse(what, value)
  options.misuse(('option "%s" for backoff must be %s'):format(what, value), 3)
end

-- Infinity would sleep for ever; NaN fails each comparison.
local function finite(x)
  return x < math.huge
end

---Count attempts and pause between them.
---@param o table? min (0.1 s), max (30 s, or min if that is more), factor (2), jitter (0.5), tries
---@return table iterator callable: `for attempt in corun.backoff{...} do`
local function backoff(o)
  o = options.check(o, "backoff", SPEC)
  local min = o.min or 0.1
  local max = o.max or math.max(30, min)
  local factor, jitter = o.factor or 2, o.jitter or 0.5
  if not (min <= max and finite(max)) then refuse("max", "finite and at least min") end
  if not (factor >= 1 and finite(factor)) then refuse("factor", "finite and at least 1") end
  if not (jitter >= 0 and jitter <= 1) then refuse("jitter", "between 0 and 1") end
  local b = {min = min, max = max, factor = factor, jitter = jitter, tries = o.tries or math.huge}
  setmetatable(b, backoff_mt):reset()
  return b
end

return backoff
