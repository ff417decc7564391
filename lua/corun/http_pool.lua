-- SPDX-License-Identifier: MIT
-- The connections of a session: kept alive for reuse, limited in all and for each host, waiters
-- served in order. Owns the idle connections; one that is in use belongs to its request, which
-- gives it back or has it closed by `<close>`. Invariants: `active` counts the slots taken, `open`
-- the connections there are and those being made, neither is ever above the limit; while a slot is
-- free that some waiter may have, nobody waits.
local task = require "corun.task"
local core = require "corun.httpcore"
local dial = require "corun.http_dial"
local stats = require "corun.http_stats"
local sync = require "corun.sync"

local now = task.now

local pool = {}
pool.__index = pool

function pool.new(limit, per_host, idle)
  local queue = {}
  queue.next, queue.prev = queue, queue
  return setmetatable({
    limit = limit, per_host = per_host or limit, idle = idle,
    open = 0, active = 0,
    origins = {}, -- by name: those with a connection or a request
    connections = {}, -- set of all that are open
    scopes = {}, -- set of those that the close of the session cancels
    waiting = 0, -- requests that wait for a slot
    queue = queue, -- list of these, in order; those whose host was full at their turn stand aside
    ready = {}, -- set of the origins that got room while waiters stood aside
    turn = 0,
    counters = stats.new(),
  }, pool)
end

-- What is known of where a route leads.
local function origin_of(self, route)
  local origin = self.origins[route.key]
  if not origin then
    origin = {key = route.key, name = route.name, open = 0, active = 0, waiting = 0, idle = {},
              counters = stats.of_host(self.counters, route.name)}
    self.origins[route.key] = origin
  end
  return origin
end

-- Forget an origin that nothing is known of.
local function prune(self, origin)
  if origin.open == 0 and origin.active == 0 and origin.waiting == 0 then
    self.origins[origin.key] = nil
  end
end

-- Slots -----------------------------------------------------------------------------------------

local function push(list, w)
  local last = list.prev
  last.next, w.prev, w.next, list.prev = w, last, list, w
end

local function remove(w)
  w.prev.next, w.next.prev = w.next, w.prev
  w.next, w.prev = nil, nil
end

local function take_slot(self, origin)
  self.active = self.active + 1
  origin.active = origin.active + 1
end

-- The first of those who wait that may have a slot; nil when there is none.
local function first_waiter(self)
  local queue, per_host = self.queue, self.per_host
  local first = queue.next
  while first ~= queue and first.origin.active >= per_host do
    local aside = first.origin.aside
    if not aside then
      aside = {}
      aside.next, aside.prev = aside, aside
      first.origin.aside = aside
    end
    remove(first)
    push(aside, first)
    first = queue.next
  end
  if first == queue then first = nil end
  for origin in pairs(self.ready) do
    local w = origin.aside.next
    if w == origin.aside or origin.active >= per_host then
      self.ready[origin] = nil
    elseif not first or w.turn < first.turn then
      first = w
    end
  end
  return first
end

local function stop_waiting(self, w)
  remove(w)
  self.waiting = self.waiting - 1
  w.origin.waiting = w.origin.waiting - 1
end

-- Give a slot back, and on to the first waiter that may have one.
local function release(self, origin)
  self.active = self.active - 1
  origin.active = origin.active - 1
  if self.waiting > 0 then
    if origin.aside then self.ready[origin] = true end
    while self.active < self.limit do
      local w = first_waiter(self)
      if not w then break end
      stop_waiting(self, w)
      take_slot(self, w.origin)
      w.granted = true
      w.event:set()
    end
  end
  if origin.open == 0 then prune(self, origin) end
end

-- A request that waits for a slot; closed when it has one, or gives up.
local waiter = {}
waiter.__index = waiter

function waiter:__close()
  if self.taken then return end
  if self.granted then
    release(self.pool, self.origin)
  elseif self.next then
    stop_waiting(self.pool, self)
    prune(self.pool, self.origin)
  end
end

---The outcome of a request that the close of the session ended.
function pool:closed_error(origin, op)
  return nil, task.err("ECLOSED", "the session was closed meanwhile at " .. self.closed,
    {op = op, target = origin.name})
end

-- Wait for a slot, until the instant `deadline` at most.
local function wait_slot(self, origin, deadline)
  self.turn = self.turn + 1
  local w <close> = setmetatable({
    pool = self, origin = origin, turn = self.turn,
    event = sync.event("a free connection to " .. origin.name),
  }, waiter)
  push(self.queue, w)
  self.waiting = self.waiting + 1
  origin.waiting = origin.waiting + 1
  if deadline then
    task.timeout(math.max(0, deadline - now()), w.event.wait, w.event)
  else
    w.event:wait()
  end
  if self.closed then return self:closed_error(origin, "wait") end
  if not w.granted then
    return nil, task.err("ETIMEDOUT", "no connection was free in time",
      {op = "wait", target = origin.name, retryable = true})
  end
  w.taken = true
  return true
end

-- Connections -----------------------------------------------------------------------------------

-- A connection in use. Closing it gives its slot back, and closes it unless its exchange is `over`.
local connection = {}

-- A connection is no longer.
local function drop(self, c)
  local origin = c.origin
  stats.add(origin.counters, c)
  c.core:close()
  self.connections[c] = nil
  self.open = self.open - 1
  origin.open = origin.open - 1
end

-- Keep a connection for the next request.
local function keep(self, c)
  if self.closed or not c.core:reusable() then return end
  local idle = c.origin.idle
  c.kept = true
  c.since = c.ended or now()
  idle[#idle + 1] = c
  local timer = self.timer
  if not timer then
    timer = core.idle(self.idle)
    self.timer = timer
  end
  timer:add(c.core)
end

function connection.__close(c)
  if c.lent then return end -- whoever has it gives it back
  if c.over then keep(c.pool, c) end
  if not c.kept then drop(c.pool, c) end
  release(c.pool, c.origin)
end

-- Close the connection that has idled longest, of `origin` or of all; answer whether there was one.
local function evict(self, origin)
  local victim = origin and origin.idle[1]
  if not origin then
    for _, o in pairs(self.origins) do
      local c = o.idle[1]
      if c and (not victim or c.since < victim.since) then victim = c end
    end
  end
  if not victim then return false end
  table.remove(victim.origin.idle, 1)
  drop(self, victim)
  if victim.origin ~= origin then prune(self, victim.origin) end
  return true
end

-- The place of a connection that is being made, with the slot of its request: given back unless
-- made.
local place = {}

function place.__close(p)
  if p.made then return end
  p.pool.open = p.pool.open - 1
  p.origin.open = p.origin.open - 1
  release(p.pool, p.origin)
end

-- Takes its scope out of the set of those that are to be cancelled.
local registered = {__close = function(r) r.scopes[r.scope] = nil end}

---Call a function in a scope that the close of the session cancels; whether that was, self.closed
---tells.
function pool:within(fn)
  return task.scope(function(scope)
    local _ <close> = setmetatable({scopes = self.scopes, scope = scope}, registered)
    self.scopes[scope] = true
    return fn()
  end)
end

local function connect(self, origin, route, timeout)
  while origin.open >= self.per_host and evict(self, origin) do end
  while self.open >= self.limit and evict(self) do end
  self.open = self.open + 1
  origin.open = origin.open + 1
  local p <close> = setmetatable({pool = self, origin = origin}, place)
  local start = now()
  local stream, err, connected = self:within(function() return dial.connect(route, timeout) end)
  if self.closed then
    if stream then stream:close() end
    return self:closed_error(origin, "connect")
  end
  if not stream then return nil, err end
  local c = setmetatable({
    core = core.connection(stream, "response"), origin = origin, pool = self,
    uses = 0, since = 0, kept = false, over = false, lent = false, got = now(), ended = nil,
  }, connection)
  connected = connected or c.got
  c.dialled = {connect = connected - start, tls = c.got - connected}
  self.connections[c] = true
  p.made = true
  return c
end

---Get a connection by a route (http_dial.lua), to be held in a `<close>` variable.
---
---Waits for a slot until the instant `deadline` (nil: for ever), then for `timeout` seconds to
---connect. One that was kept has c.uses > 0; `fresh` asks for a new one. c.got is the instant when
---it was had, nil if that was at once; c.dialled what the time of connecting went to.
---@return table? c
---@return table? err
function pool:checkout(route, deadline, timeout, fresh)
  if self.closed then return self:closed_error(route, "wait") end
  local origin = origin_of(self, route)
  local got
  if self.active < self.limit and origin.active < self.per_host then
    take_slot(self, origin)
  else
    local ok, err = wait_slot(self, origin, deadline)
    if not ok then return nil, err end
    got = now()
  end
  if not fresh then
    local idle = origin.idle
    for i = #idle, 1, -1 do
      local c = idle[i]
      idle[i] = nil
      if c.core:reusable() then
        c.kept, c.over, c.got = false, false, got
        c.uses = c.uses + 1
        return c
      end
      drop(self, c)
    end
  end
  if deadline then timeout = math.max(0, math.min(timeout, deadline - now())) end
  return connect(self, origin, route, timeout)
end

---Take a connection back that was lent beyond the variable it was checked out into.
---@param over boolean? its exchange is over, and it may serve another
function pool.give_back(_, c, over)
  c.lent, c.over, c.ended = false, over, nil
  connection.__close(c)
end

---Sleep, holding no slot, until the session closes at most.
function pool:pause(seconds)
  if self.closed then return end
  self.closing = self.closing or sync.event()
  task.timeout(seconds, self.closing.wait, self.closing)
end

---Close all connections; requests under way and those that wait get ECLOSED.
---@param where string the line that closes them
function pool:close(where)
  if self.closed then return end
  self.closed = where
  for _, origin in pairs(self.origins) do
    for _, c in ipairs(origin.idle) do drop(self, c) end
    origin.idle = {}
  end
  for c in pairs(self.connections) do c.core:close() end
  for s in pairs(self.scopes) do s:cancel("the session was closed") end
  if self.closing then self.closing:set() end
  for _, origin in pairs(self.origins) do
    local w = origin.aside and origin.aside.next
    while w and w ~= origin.aside do
      w.event:set()
      w = w.next
    end
  end
  local w = self.queue.next
  while w ~= self.queue do
    w.event:set()
    w = w.next
  end
  if self.timer then self.timer:close() end
end

return pool
