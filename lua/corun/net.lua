-- SPDX-License-Identifier: MIT
-- corun.net: connections, listeners and servers, of TCP and of Unix sockets, which are bound in C
-- (corun.netcore, corun.listen); here is the policy of servers (S42): a task and a scope for each
-- connection, whose failure is logged and ends that connection alone. Loaded at first use.
local corun = require "corun"
local netcore = require "corun.netcore"
local listen = require "corun.listen"
local tlscore = require "corun.tlscore"
local options = require "corun.options"
local handed = require "corun.net_handed"
local debug_ = require "corun.debug"
local inside = require "corun.inside"

local raise = inside.raise

local now, scope, shield, spawn, try = corun.now, corun.scope, corun.shield, corun.spawn, corun.try

local net = {resolve = netcore.resolve, udp = require("corun.udp").udp}

local PAUSE = 0.1 -- seconds until accepting is tried again

-- TLS is loaded when it is first used.
local function tls()
  return require "corun.tls"
end

for _, class in ipairs{"corun.tcp", "corun.unix"} do
  tlscore.extend(class, {
    starttls = function(stream, o) return tls().starttls(stream, o) end,
    tls = tlscore.info,
  })
end

---Connect to `addr`.
---@param addr string|table "host:port", "[v6]:port" or {host=, port=}
---@param o table? timeout, bind, nodelay, tls
---@return userdata? stream
---@return table? err
function net.connect(...)
  local addr, o = ...
  if type(o) == "table" and o.tls then return tls().connect(netcore.connect, addr, o) end
  return netcore.connect(...)
end

---Listen on `addr`.
---@param addr string|table "host:port", "[v6]:port", "unix:/path", {host=, port=}, {path=}, or a
---  socket that was handed over: "systemd", "systemd:NAME", "fd:N"
---@param o table? backlog, reuse, reuse_port, mode
---@return userdata? listener
---@return table? err
function net.listen(...)
  if handed.is(...) then return handed.listen("listen", ...) end
  return listen.listen(...)
end

---A context of TLS that connections can share: the files are read now.
---@param o table
---@return userdata? context
---@return table? err
function net.tls_context(o)
  return tls().context(o)
end

-- Servers ---------------------------------------------------------------------------------------

local methods = {}
local server_mt = {__index = methods, __name = "server"}

-- Closed when the task of a connection ends, however it ends: [1] the server, [2] the stream.
local connection_mt = {
  __close = function(connection)
    local server, stream = connection[1], connection[2]
    server.open[stream] = nil
    server.count = server.count - 1
    server.changed:set()
    stream:close()
  end,
}

local function report(server, peer, err)
  local trace = debug_.traceback(err)
  io.stderr:write(("corun: connection from %s to %s failed: %s\n"):format(peer, server.name,
    inside.text(err)),
    trace and trace .. "\n" or "")
end

-- Shake hands, if whoever owns the server has room for one more that does. Answers false when not.
local function shake(server, stream, peer)
  local room <close> = server.room_for and server.room_for(peer)
  if server.room_for and not room then return false end
  return tls().accept(stream, server.secure)
end

-- The body of a connection's task. Its children end, and fail, inside a scope of its own.
local function attend(server, stream, peer)
  local _ <close> = setmetatable({server, stream}, connection_mt)
  local has_returned = false
  local value, err = try(scope, function()
    if server.secure then
      local ok, err = shake(server, stream, peer)
      if not ok then return ok, err end
    end
    local value, err = server.fn(stream)
    has_returned = true
    return value, err
  end)
  if value == nil and (err ~= nil or not has_returned) then report(server, peer, err) end
end

local function wait_for_change(server)
  server.changed:clear()
  server.changed:wait()
end

-- Accept until the listener is closed.
local function accept_all(server, connections)
  local in_trouble = false
  while true do
    while server.limit and server.count >= server.limit and not server.deadline do
      wait_for_change(server)
    end
    if server.deadline then return end
    local stream, err = server.listener:accept() -- it pauses by itself when descriptors run out
    if stream then
      local peer = stream:peer()
      server.count = server.count + 1
      server.open[stream] = peer
      connections:spawn(attend, server, stream, peer)
    elseif err.code ~= "ECLOSED" then
      if not in_trouble then
        io.stderr:write(("corun: %s cannot accept: %s\n"):format(server.name, err))
      end
      corun.sleep(PAUSE) -- a listener that is broken for good must not spin
    end
    in_trouble = not stream
  end
end

-- Let the connections end by themselves until the deadline, which may come nearer meanwhile.
local function drain(server)
  while server.count > 0 do
    local left = server.deadline - now()
    if left <= 0 then return end
    corun.timeout(left, wait_for_change, server)
  end
end

local function close_all(server)
  server.listener:close()
  for stream in pairs(server.open) do stream:close() end -- of tasks that never started
end

-- The body of the server's task.
local function run(server)
  local _ <close> = corun.defer(close_all, server)
  scope(function(connections)
    accept_all(server, connections)
    drain(server)
    connections:cancel("the server was closed")
  end)
end

-- Stop accepting; what is still open at the instant `deadline` is cancelled.
local function stop(server, deadline)
  server.closed_at = server.closed_at or options.here() or "?"
  server.deadline = math.min(deadline, server.deadline or deadline)
  server.listener:close()
  server.changed:set()
end

-- From inside a handler this fails at once, rightly: it would wait for itself.
local function wait_end(server)
  try(corun.await, server.task)
end

---The local address.
---@return string address "127.0.0.1:8080"
function methods:address()
  options.self(self, server_mt, "address")
  return self.name
end

---Stop accepting, let the connections end by themselves for `drain` seconds, cancel what is left.
---
---Returns when all has ended, unless it is called from a handler of this very server.
---@param o table? drain (0)
function methods:close(o)
  options.self(self, server_mt, "close")
  o = options.check(o, "close", {drain = "duration"})
  stop(self, now() + (o.drain or 0))
  if pcall(wait_end, self) then return end
  stop(self, now()) -- the caller was cancelled: no time is left for draining
  shield(wait_end, self)
end

---Wait until the server is closed and its connections have ended.
function methods:wait()
  options.self(self, server_mt, "wait")
  corun.await(self.task)
end

---From now on use these options of TLS, or this context, for new connections: certificates are
---renewed without an interruption.
---@param o table|userdata as `tls` for serve
---@return true? ok
---@return table? err
function methods:set_tls(o)
  options.self(self, server_mt, "set_tls")
  if self.deadline then
    raise("ECLOSED", "set_tls", self.name, "the server was closed at " .. self.closed_at)
  elseif not self.secure then
    options.misuse(("set_tls needs a server with TLS: serve at %s was given no option \"tls\"")
      :format(self.name))
  end
  local secure, err = tls().server(o, "set_tls", self.name)
  if not secure then return nil, err end
  if self.deadline then
    return nil, corun.err("ECLOSED", "the server was closed meanwhile at " .. self.closed_at,
      {op = "set_tls", target = self.name})
  end
  self.secure = secure
  return true
end

function server_mt:__close()
  self:close()
end

function server_mt:__tostring()
  return ("server (%s, %s)"):format(self.name,
    self.deadline and "closed" or
      ("%d connection%s"):format(self.count, self.count == 1 and "" or "s"))
end

local function is_callable(fn)
  return type(fn) == "function" or getmetatable(fn) and getmetatable(fn).__call ~= nil
end

---Listen on `addr` and call `fn(stream)` in a task of its own for each connection.
---
---The stream is closed when `fn` returns. The server is a child of the calling scope.
---@param addr string|table as for listen
---@param fn fun(stream: userdata)
---@param o table? limit: so many connections at once, the others wait in the system's queue; tls;
---  backlog, reuse, reuse_port, mode: as for listen
---@return table? server
---@return table? err
function net.serve(addr, fn, o)
  o = options.check(o, "serve", {
    limit = "count", backlog = "count", reuse = "boolean", reuse_port = "boolean", mode = "any",
    tls = "boolean|table|userdata",
  })
  if not is_callable(fn) then
    options.misuse(("serve needs a function for the connections, got %s"):format(type(fn)))
  end
  local secure, listener, err
  if o.tls then
    secure, err = tls().server(o.tls, "serve", select(2, tls().target_of(addr)))
    if not secure then return nil, err end
  end
  local how = {backlog = o.backlog, reuse = o.reuse, reuse_port = o.reuse_port, mode = o.mode}
  if handed.is(addr) then
    listener, err = handed.listen("serve", addr, how)
  else
    listener, err = listen.open(addr, how, "serve")
  end
  if not listener then return nil, err end
  local server = setmetatable({
    listener = listener, name = listener:address(), fn = fn, limit = o.limit, secure = secure,
    count = 0, open = {}, changed = corun.event(),
  }, server_mt)
  server.task = spawn(run, server)
  return server
end

return net
