-- SPDX-License-Identifier: MIT
-- corun.limiter: a rate limit, as a token bucket. Embedded as corun.limiter and loaded at first
-- use; owns a mutex, which makes its waiters a queue, and a few numbers. Only the first of the
-- queue sleeps, and it takes its tokens when it wakes: a cancelled waiter has taken none.

local options = require("corun.options")
local task = require("corun.task")
local sync = require("corun.sync")

local now, sleep = task.now, task.sleep

local SPEC = {burst = "number"}

local methods = {}
local limiter_mt = {__index = methods, __name = "limiter"}

-- Put the tokens into the bucket that have come since the last time.
local function refill(self)
  local t = now()
  if t <= self.at then return end -- at may lie ahead by the time that one token takes
  self.tokens = math.min(self.burst, self.tokens + (t - self.at) * self.rate)
  self.at = t
end

---Wait until `k` more are allowed; first come, first served.
---@param k number? 1 if not given, at most the burst
function methods:wait(k)
  options.self(self, limiter_mt, "wait")
  if k == nil then k = 1 end
  if math.type(k) == nil or k < 0 or k ~= k then
    options.misuse(("wait takes a number of 0 or more, got %s"):format(options.show(k)))
  elseif k > self.burst then
    local message = "wait(%g) would never end: at most %g are allowed at once"
    options.misuse(message:format(k, self.burst))
  end
  local _ <close> = self.turn:acquire()
  refill(self)
  if self.tokens < k then
    -- Reckon with the instant at which the tokens are there, not with that of the wake-up: a late
    -- one is made up for, and the timer's rounding does not add up.
    local due = self.at + (k - self.tokens) / self.rate
    sleep(due - now())
    self.tokens, self.at = k, due
  end
  self.tokens = self.tokens - k
end

function limiter_mt:__tostring()
  refill(self)
  return ("limiter %p (%g in %g s, %g of %g free)"):format(self, self.n, self.per, self.tokens,
    self.burst)
end

-- Infinity and NaN fail too.
local function check_positive(x, what)
  if math.type(x) == nil or not (x > 0 and x < math.huge) then
    options.misuse(("%s of limiter must be a finite number above 0, got %s"):format(what,
      options.show(x)), 3)
  end
end

---Make a limit of `n` in `per` seconds, which starts with a full bucket.
---@param n number
---@param per number
---@param o table? burst: so many at once after a pause (n, but at least 1)
---@return table limiter
local function limiter(n, per, o)
  check_positive(n, "the number")
  check_positive(per, "the period")
  o = options.check(o, "limiter", SPEC)
  local burst = o.burst or math.max(n, 1)
  check_positive(burst, "the burst")
  return setmetatable({n = n, per = per, rate = n / per, burst = burst, tokens = burst, at = now(),
    turn = sync.mutex()}, limiter_mt)
end

return limiter
