-- SPDX-License-Identifier: MIT
-- A server on several cores: each worker of a pool of its own listens at the same port, and the
-- system spreads the connections (SO_REUSEPORT). The handler travels to the workers as jobs do.
local handed = require "corun.net_handed"
local core = require "corun.poolcore"
local options = require "corun.options"
local pool = require "corun.pool"
local sync = require "corun.sync"
local task = require "corun.task"

local raise = require("corun.inside").raise

local threads = {}

local methods = {}
local class = {__name = "server", __index = methods}

---What runs in each worker, which knows it by its name. It answers each order in `answers`.
function threads.work(addr, handler, o, orders, answers)
  core.apart() -- what a handler gives to the pool must not hold up this loop
  local server, err = require("corun.http").serve(addr, handler, o)
  answers:send{err = err, address = server and server:address()}
  if not server then return end
  for order in orders do
    if not order.tls then return server:close(order) end
    local ok, why = server:set_tls(order.tls)
    answers:send{err = not ok and why or nil}
  end
end

-- Start the workers one after another: the first finds the port, if that was left open.
local function start(self, s, addr, handler, o)
  for i = 1, #self.orders do
    s:spawn(self.pool.run, self.pool, threads.work, self.name or addr, handler, o, self.orders[i],
      self.answers)
    local answer = self.answers:recv()
    if answer.err then return answer.err end
    self.name = answer.address
  end
end

-- The task of the server. What goes wrong before it listens is for the one who has called serve.
local function run(self, addr, handler, o)
  local _ <close> = task.defer(self.answers.close, self.answers) -- for who still waits for one
  local _ <close> = self.pool
  local ok, err = pcall(task.scope, function(s)
    self.err = start(self, s, addr, handler, o)
    if self.err then s:cancel("a worker cannot listen") end
    self.listens:set()
  end)
  if ok then return end
  if task.is_cancelled(err) or self.listens:is_set() then error(err, 0) end
  self.raised = err
  self.listens:set()
end

---The address that it listens at.
function methods:address()
  options.self(self, class, "address")
  return self.name
end

---Wait until it has ended.
function methods:wait()
  options.self(self, class, "wait")
  return task.await(self.task)
end

-- Let all workers have the certificate at once, and hear of each. A worker has room for this order
-- and for that to close: one task at a time gives orders, and stays until it has the answers.
local function renew(self, o)
  local _ <close> = self.renewing:acquire()
  local asked, err = 0, nil
  for _, orders in ipairs(self.orders) do
    if not self.closed and orders:try_send{tls = o} then asked = asked + 1 end
  end
  for _ = 1, asked do
    local answer = self.answers:recv()
    err = err or answer and answer.err
  end
  if err then return nil, err end
  if self.closed or self.task:done() then
    return nil, task.err("ECLOSED", "the server was closed meanwhile",
      {op = "set_tls", target = self.name})
  end
  return true
end

---Serve new connections with another certificate; see `set_tls` of the server of corun.net.
function methods:set_tls(o)
  options.self(self, class, "set_tls")
  if self.closed then
    raise("ECLOSED", "set_tls", self.name, "the server was closed at " .. self.closed)
  elseif not self.is_secure then
    options.misuse(("set_tls needs a server with TLS: serve at %s was given no option \"tls\"")
      :format(self.name))
  elseif type(o) == "userdata" then
    options.misuse("set_tls of a server with threads needs a table: a context is one thread's own")
  end
  local ok, err = require("corun.tls").server(o, "set_tls", self.name) -- before any has taken it
  if not ok then return nil, err end
  return task.shield(renew, self, o)
end

---Accept no more; see `close` of the server of corun.net.
function methods:close(o)
  options.self(self, class, "close")
  o = options.check(o, "close", {drain = "duration"})
  if not self.closed then
    self.closed = options.here() or "?"
    for _, orders in ipairs(self.orders) do orders:try_send{drain = o.drain} end
  end
  task.shield(task.await, self.task)
end

function class:__close()
  self:close()
end

function class:__tostring()
  return ("server (%s, %d threads)"):format(self.name, #self.orders)
end

-- Whether an address is of a socket at which several cannot listen: a Unix socket, or one that
-- exists already.
local function is_single(addr)
  if type(addr) == "table" then return addr.path ~= nil end
  return handed.is(addr) or type(addr) == "string" and addr:match("^unix:") ~= nil
end

---Serve HTTP from `o.threads` workers; called by corun.http_server.
---@return table? server
---@return table? err
function threads.serve(addr, handler, o)
  if is_single(addr) then
    return nil, task.err("ENOTSUP", "a Unix socket, or one that was handed over, is served by one"
      .. " thread",
      {op = "serve", target = type(addr) == "table" and addr.path or addr})
  end
  local given = {}
  for name, value in pairs(o) do given[name] = value end
  given.threads, given.reuse_port = nil, true
  local n = o.threads == true and pool.stats().size or o.threads
  local self = setmetatable({pool = pool.new{size = n, name = "serve"}, orders = {},
    answers = pool.channel(n), listens = sync.event(), renewing = sync.mutex(),
    is_secure = o.tls ~= nil and o.tls ~= false}, class)
  for i = 1, n do self.orders[i] = pool.channel(2) end
  self.task = task.spawn(run, self, addr, handler, given)
  self.listens:wait()
  if self.raised == nil and not self.err then return self end
  task.shield(task.await, self.task)
  if self.raised ~= nil then error(self.raised, 0) end
  return nil, self.err
end

return threads
