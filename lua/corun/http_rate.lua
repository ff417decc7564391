-- SPDX-License-Identifier: MIT
-- The rate of a session: so many tries in a time for each host, or by a limiter of the script's own
-- for all. Tries wait in the order in which they came, and hold no connection meanwhile. Owns the
-- limiters of the hosts; those that are as good as new are forgotten when there are many.
local limiter = require "corun.limiter"
local options = require "corun.options"
local task = require "corun.task"

local now = task.now

local rate = {}

local HOSTS = 1000
local LIMITER = getmetatable(limiter(1, 1))
local KNOWN = {[1] = "number", [2] = "number", burst = "number"}

-- The limiter of a host, closed when a try has had its turn.
local bucket = {}
bucket.__index = bucket

function bucket.__close(b)
  b.users = b.users - 1
  b.used = now()
end

local function check_burst(burst)
  if burst < 1 then
    options.misuse('option "rate" for session: a burst below 1 would let no request pass')
  end
end

---Read the option: {n, seconds, burst=}, or a limiter.
function rate.read(value)
  if getmetatable(value) == LIMITER then
    check_burst(value.burst)
    return {shared = value}
  end
  for k, v in next, value do
    if type(v) ~= KNOWN[k] then
      options.misuse('option "rate" for session must be {n, seconds, burst = n} or a limiter')
    end
  end
  local o = {burst = value.burst}
  limiter(value[1], value[2], o) -- checks them
  check_burst(value.burst or 1)
  return {n = value[1], per = value[2], o = o, hosts = {}, count = 0, most = HOSTS}
end

-- Forget the limiters that nobody waits for and that are full again.
local function forget(policy)
  local rested = now() - (policy.o.burst or math.max(policy.n, 1)) * policy.per / policy.n
  for host, b in pairs(policy.hosts) do
    if b.users == 0 and b.used < rested then
      policy.hosts[host] = nil
      policy.count = policy.count - 1
    end
  end
  policy.most = math.max(HOSTS, 2 * policy.count)
end

local function bucket_of(policy, host)
  local b = policy.hosts[host]
  if not b then
    if policy.count >= policy.most then forget(policy) end
    b = setmetatable({limiter = limiter(policy.n, policy.per, policy.o), users = 0}, bucket)
    policy.hosts[host] = b
    policy.count = policy.count + 1
  end
  b.users = b.users + 1
  return b
end

-- Wait for a turn, until the instant `deadline` at most; false when there was none.
local function wait(pool, l, deadline)
  local function turn()
    l:wait()
    return true
  end
  return (pool:within(function()
    if not deadline then return turn() end
    return (task.timeout(math.max(0, deadline - now()), turn))
  end))
end

---Send a request when it is its turn.
function rate.layer(session, request, next)
  local policy, deadline, pool = request.rate, request.deadline, session.pool
  local in_time
  if policy.shared then
    in_time = wait(pool, policy.shared, deadline)
  else
    local b <close> = bucket_of(policy, request.u.host)
    in_time = wait(pool, b.limiter, deadline)
  end
  if pool.closed then return pool:closed_error(request.u, "wait") end
  if not in_time then
    return nil, task.err("ETIMEDOUT", "the rate left no room in time",
      {op = "wait", target = request.u.name, retryable = true})
  end
  return next(session, request)
end

return rate
