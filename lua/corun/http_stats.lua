-- SPDX-License-Identifier: MIT
-- What session:stats() tells. A connection counts for itself; when it is dropped its numbers go to
-- the counters of its host, which the pool keeps. Owns nothing.
local stats = {}

local HOSTS = 1000 -- that are told apart; the rest count together
local COUNTED = {"connects", "requests", "reuses", "bytes_in", "bytes_out"}
local STATES = {"open", "idle", "active", "waiting"}

local function zeros(...)
  local t = {}
  for _, names in ipairs({...}) do
    for _, name in ipairs(names) do t[name] = 0 end
  end
  return t
end

---The counters of all hosts, of which a pool has one.
function stats.new()
  return {hosts = {}, count = 0, others = zeros(COUNTED)}
end

---The counters of a host.
function stats.of_host(all, name)
  local counters = all.hosts[name]
  if not counters and all.count >= HOSTS then return all.others end
  if not counters then
    counters = zeros(COUNTED)
    all.hosts[name] = counters
    all.count = all.count + 1
  end
  return counters
end

---Add the numbers of a connection to `counters`.
function stats.add(counters, c)
  local bytes_in, bytes_out = c.core:traffic()
  counters.connects = counters.connects + 1
  counters.requests = counters.requests + c.uses + 1
  counters.reuses = counters.reuses + c.uses
  counters.bytes_in = counters.bytes_in + bytes_in
  counters.bytes_out = counters.bytes_out + bytes_out
end

local function sum(into, from, names)
  for _, name in ipairs(names) do into[name] = into[name] + from[name] end
end

-- Those of an origin that are kept, and open in truth: C closes them when they have idled for long.
local function idle_of(origin)
  local n = 0
  for _, c in ipairs(origin.idle) do
    if c.core:reusable() then n = n + 1 end
  end
  return n
end

---What a session does now, and has done since it was made.
function stats.of(session)
  local pool = session.pool
  local out = zeros(STATES, COUNTED)
  local hosts, others = {}, zeros(STATES, COUNTED)
  for name, counters in pairs(pool.counters.hosts) do
    hosts[name] = zeros(STATES, COUNTED)
    sum(hosts[name], counters, COUNTED)
  end
  sum(others, pool.counters.others, COUNTED)
  for _, origin in pairs(pool.origins) do
    local host, idle = hosts[origin.name] or others, idle_of(origin)
    host.idle = host.idle + idle
    host.open = host.open + origin.open - (#origin.idle - idle)
    host.active = host.active + origin.active
    host.waiting = host.waiting + origin.waiting
  end
  for c in pairs(pool.connections) do stats.add(hosts[c.origin.name] or others, c) end
  for _, host in pairs(hosts) do
    sum(out, host, STATES)
    sum(out, host, COUNTED)
  end
  sum(out, others, STATES)
  sum(out, others, COUNTED)
  local counts = session.counts
  out.retries, out.redirects, out.cache = counts.retries, counts.redirects, {}
  for outcome, n in pairs(counts.cache) do out.cache[outcome] = n end
  out.hosts = hosts
  return out
end

return stats
