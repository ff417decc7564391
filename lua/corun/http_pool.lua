-- SPDX-License-Identifier: MIT
-- The connections of a session: kept alive for reuse, limited in all and for each host, waiters
-- served in order. Owns the idle connections; one that is in use belongs to its request, which gives
-- it back or has it closed by `<close>`.
local task = require "corun.task"
local core = require "corun.httpcore"
local netcore = require "corun.netcore"

local now = task.now

local pool = {}
pool.__index = pool

-- A connection in use. Closing it gives its slot back, and closes it unless it was kept.
local connection = {}
connection.__index = connection

function connection:__close()
  if not self.kept then
    self.core:close()
    self.pool.open = self.pool.open - 1
  end
  self.pool:release(self.origin)
end

---Keep the connection for another request: the exchange is over and in step.
function connection:keep()
  self.kept = self.core:reusable()
end

function pool.new(limit, per_host, idle)
  return setmetatable({
    limit = limit, per_host = per_host or limit, idle = idle,
    open = 0, -- connections, idle or not
    active = 0, -- slots taken
    origins = {}, waiters = {},
  }, pool)
end

---The origin of a parsed URL.
function pool:origin(u)
  local origin = self.origins[u.origin]
  if not origin then
    origin = {host = u.host, port = u.port, name = u.name, active = 0, idle = {}}
    self.origins[u.origin] = origin
  end
  return origin
end

-- Slots -----------------------------------------------------------------------------------------

function pool:has_room(origin)
  return self.active < self.limit and origin.active < self.per_host
end

function pool:take_slot(origin)
  self.active = self.active + 1
  origin.active = origin.active + 1
end

-- Give a slot back, and on to the first waiter that may have one.
function pool:release(origin)
  self.active = self.active - 1
  origin.active = origin.active - 1
  for i, w in ipairs(self.waiters) do
    if self:has_room(w.origin) then
      table.remove(self.waiters, i)
      self:take_slot(w.origin)
      w.granted = true
      w.event:set()
      return
    end
  end
end

function pool:forget(w)
  for i, x in ipairs(self.waiters) do
    if x == w then
      table.remove(self.waiters, i)
      return
    end
  end
end

-- Wait for a slot, until the instant `deadline` at most. Answers whether there is one.
function pool:wait_slot(origin, deadline)
  if #self.waiters == 0 and self:has_room(origin) then
    self:take_slot(origin)
    return true
  end
  local w = {origin = origin, event = require("corun.sync").event()}
  self.waiters[#self.waiters + 1] = w
  local taken = false
  local _ <close> = task.defer(function()
    if w.granted and not taken then self:release(origin) end
    if not w.granted then self:forget(w) end
  end)
  if deadline then
    task.timeout(deadline - now(), w.event.wait, w.event)
  else
    w.event:wait()
  end
  taken = w.granted
  return taken
end

-- Connections -----------------------------------------------------------------------------------

function pool:drop(c)
  c.core:close()
  self.open = self.open - 1
end

-- The newest idle connection that still works.
function pool:reuse(origin)
  local idle = origin.idle
  while #idle > 0 do
    local c = table.remove(idle)
    if c.core:reusable() then return c end
    self:drop(c)
  end
end

-- Close what was idle before the instant `oldest`.
function pool:sweep(origin, oldest)
  local idle = origin.idle
  while idle[1] and idle[1].since < oldest do self:drop(table.remove(idle, 1)) end
end

-- Make room for one more connection by closing the one that has idled longest.
function pool:evict()
  local victim
  for _, origin in pairs(self.origins) do
    local c = origin.idle[1]
    if c and (not victim or c.since < victim.since) then victim = c end
  end
  if victim then self:drop(table.remove(victim.origin.idle, 1)) end
end

function pool:connect(origin, timeout)
  while self.open >= self.limit do
    local before = self.open
    self:evict()
    if self.open == before then break end
  end
  local stream, err = netcore.connect({host = origin.host, port = origin.port}, {timeout = timeout})
  if not stream then return nil, err end
  self.open = self.open + 1
  return setmetatable({core = core.connection(stream, "response"), origin = origin, pool = self,
                       uses = 0}, connection)
end

---Get a connection to an origin; to be held in a `<close>` variable. A slot must have been taken
---(wait_slot); it is given back when this fails.
function pool:checkout(origin, fresh, timeout)
  local c = not fresh and self:reuse(origin)
  if c then
    c.kept = false
    c.uses = c.uses + 1
    return c
  end
  local made, err
  local _ <close> = task.defer(function()
    if not made then self:release(origin) end
  end)
  made, err = self:connect(origin, timeout)
  return made, err
end

---Take back a connection that is to be reused; called before it is closed.
function pool:checkin(c)
  c:keep()
  if not c.kept or self.closed then
    c.kept = false
    return
  end
  local origin = c.origin
  c.since = now()
  origin.idle[#origin.idle + 1] = c
  self:sweep(origin, c.since - self.idle)
end

---Close all idle connections; those in use are closed when their request has ended.
function pool:close()
  self.closed = true
  for _, origin in pairs(self.origins) do
    while origin.idle[1] do self:drop(table.remove(origin.idle)) end
  end
end

return pool
