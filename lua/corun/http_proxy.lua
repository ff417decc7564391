-- SPDX-License-Identifier: MIT
-- Proxies: what the option says, and the way through one. A request for http goes to an http proxy
-- as it is, with its whole URL (RFC 9112, 3.2.2); one for https through a tunnel that CONNECT opens
-- (RFC 9110, 9.3.6), and TLS is then spoken with the server itself, within that of a proxy which
-- speaks it too; SOCKS5 (http_socks.lua) opens tunnels for both. Credentials are sent to the proxy
-- alone, and stand in no error. Owns nothing; what it has opened belongs to the caller.
local task = require "corun.task"
local codec = require "corun.codec"
local netcore = require "corun.netcore"
local options = require "corun.options"
local proxy_env = require "corun.http_proxy_env"

local now = task.now

local proxy = {}

local LONGEST_HEAD = 16 << 10
local MOST_INTERIM = 10 -- answers 1xx before the one that counts
local LONGEST_WORD = 255 -- of a user or password, RFC 1929
local AGAIN = {[429] = true, [502] = true, [503] = true, [504] = true}

-- What a proxy is ---------------------------------------------------------------------------------

-- Why such credentials cannot be sent; nil when they can.
local function fault(parsed)
  local user, password = parsed.user, parsed.password or ""
  if not user then return nil end
  if (user .. password):find("%c") then
    return "the user or password of the proxy has a control character"
  end
  if parsed.scheme:find("^socks") then
    if user == "" or #user > LONGEST_WORD or #password > LONGEST_WORD then
      return "the user or password of the proxy is empty or too long for SOCKS5"
    end
  elseif user:find(":", 1, true) then
    return "the user of the proxy has a colon"
  end
end

---Make a proxy of a URL that was parsed.
---@param parsed table of http_proxy_env
---@return table? p `key` is equal for those that may share connections, `name` without credentials
---@return table? err EURL
function proxy.make(parsed)
  local host = parsed.host
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  local name = ("%s://%s:%d"):format(parsed.scheme, host, parsed.port)
  local why = fault(parsed)
  if why then return nil, task.err("EURL", why, {op = "parse proxy", target = name}) end
  local pair = parsed.user and parsed.user .. ":" .. (parsed.password or "")
  return {
    scheme = parsed.scheme, name = name, user = parsed.user, password = parsed.password or "",
    is_socks = parsed.scheme:find("^socks") ~= nil,
    key = pair and ("%s %d:%s"):format(name, #parsed.user, pair) or name,
    address = {host = parsed.host, port = parsed.port}, host = parsed.host,
    authorization = pair and
      "proxy-authorization: Basic " .. codec.base64.encode(pair) .. "\r\n" or "",
  }
end

---Read the option `proxy`: a URL, or false for none. Misuse raises.
---@return table|false p
function proxy.read(value)
  if value == false then return false end
  if value == true then
    options.misuse('option "proxy" must be the URL of a proxy, or false for none')
  end
  local parsed, err = proxy_env.parse(value)
  local p
  if parsed then p, err = proxy.make(parsed) end
  if not p then options.misuse(('option "proxy": %s'):format(err.message)) end
  return p
end

-- A talk with a proxy, before it lets anything through --------------------------------------------

-- It has the stream, the proxy, the instant by which all must be said, and what it is about; what
-- goes wrong is an error of the operation "proxy".
local talk = {}
talk.__index = talk

function talk:left()
  return math.max(0, self.deadline - now())
end

---Answer nil and an error.
function talk:fail(code, why, cause, retryable)
  if retryable == nil then retryable = cause and cause.retryable end
  return nil, task.err(code, ("%s: %s"):format(self.about, why),
    {op = "proxy", target = self.proxy.name, cause = cause, retryable = retryable})
end

---Say something; or nil, error.
function talk:say(bytes)
  local ok, err = self.stream:write(bytes)
  if ok then return true end
  return self:fail(err.code, err.message, err)
end

-- What was read; or nil, error.
local function heard(self, data, err)
  if data then return data end
  if not err or err.code == "EOF" then
    return self:fail("EOF", "the proxy closed the connection before it had answered", err, true)
  end
  if err.code == "ETIMEDOUT" then
    return self:fail("ETIMEDOUT", "the proxy did not answer in time", err)
  end
  if err.code == "EMSGSIZE" then
    return self:fail("EMSGSIZE", "the proxy's answer is too long", err)
  end
  return self:fail(err.code, err.message, err)
end

---Hear exactly so many bytes; or nil, error.
function talk:take(n)
  return heard(self, self.stream:read_exactly(n, {timeout = self:left()}))
end

---Hear a head of HTTP; or nil, error.
function talk:head(most)
  return heard(self, self.stream:read_until("\r\n\r\n", {max = most, timeout = self:left()}))
end

-- CONNECT -----------------------------------------------------------------------------------------

-- The status of a head; nil when it is malformed.
local function status_of(head)
  local status = head:match("^HTTP/1%.[01] ([1-5]%d%d)[ \r]")
  local fields = head:match("^[^%z\1-\8\10-\31\127]*\r\n(.*)\r\n$")
  if not status or not fields then return nil end
  for field in fields:gmatch("(.-)\r\n") do
    if not field:find("^[%w!#$%%&'*+%-.^_`|~]+:[^%z\1-\8\10-\31\127]*$") then return nil end
  end
  return tonumber(status)
end

-- No word of the proxy's own is repeated: it may have been told a password.
local function explain(p, status)
  if status ~= 407 then return ("the proxy answered %d"):format(status) end
  return p.user and "the proxy answered 407: it does not accept the user and password"
    or "the proxy answered 407: it wants a user and password"
end

-- Lead to the server; or nil, error. Whatever a 2xx says of a body, the tunnel begins after it.
local function connect(self, host, port)
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  local to = ("%s:%d"):format(host, port)
  local ok, err = self:say(("CONNECT %s HTTP/1.1\r\nhost: %s\r\nuser-agent: corun\r\n%s\r\n")
    :format(to, to, self.proxy.authorization))
  if not ok then return nil, err end
  local most = LONGEST_HEAD
  for _ = 0, MOST_INTERIM do
    local head
    head, err = self:head(most)
    if not head then return nil, err end
    local status = status_of(head)
    if not status or status == 101 then
      return self:fail("EPROTO", "the proxy's answer is not one of HTTP/1.1 to CONNECT")
    end
    if status >= 200 and status < 300 then return true end
    if status >= 200 then
      ok, err = self:fail("EPROXY", explain(self.proxy, status), nil, AGAIN[status])
      err.status = status
      return ok, err
    end
    most = math.max(1, most - #head)
  end
  return self:fail("EPROTO", "the proxy gives interim answers without end")
end

-- The way through ---------------------------------------------------------------------------------

-- Closes the stream that it holds, unless that was taken out.
local holder = {__close = function(h)
  if h.stream then h.stream:close() end
end}

-- Connect to the proxy; or nil, error.
local function reach(p, timeout, dial)
  local stream, err = dial(p, timeout)
  if stream then return stream end
  return nil, task.err(err.code, ("%s: %s"):format(err.op, err.message),
    {op = "proxy", target = p.name, cause = err, retryable = err.retryable})
end

-- A tunnel to a host; or nil, error, and whether it is that host which cannot be reached.
local function tunnel(p, host, route, deadline, dial)
  local stream, err = reach(p, math.max(0, deadline - now()), dial)
  if not stream then return nil, err end
  local held <close> = setmetatable({stream = stream}, holder)
  local open = p.is_socks and require("corun.http_socks") or connect
  local ok, elsewhere
  ok, err, elsewhere = open(setmetatable({
    stream = stream, proxy = p, deadline = deadline,
    about = (p.is_socks and "SOCKS5 to " or "CONNECT ") .. route.name,
  }, talk), host, route.address.port)
  if not ok then return nil, err, elsewhere end
  held.stream = nil
  return stream
end

-- The addresses of a server, of which the proxy is told no name.
local function addresses(host, deadline)
  if proxy_env.address(host) then return {host} end
  local all, err = netcore.resolve(host, {timeout = math.max(0, deadline - now())})
  if not all then return nil, err end
  local known = {}
  for _, address in ipairs(all) do
    local plain = not address:find("%", 1, true) and not address:find(":.*%.")
    if plain then known[#known + 1] = address end
  end
  if known[1] then return known end
  return nil, task.err("EAI_NONAME", "no address that a proxy could be told",
    {op = "resolve", target = host})
end

---Connect through the proxy of a route within so many seconds.
---@param route table of http_dial
---@param timeout number
---@param dial function connects by a route that has no proxy
---@return userdata? stream to the server; to the proxy where the route has a `prefix`
---@return table? err
function proxy.open(route, timeout, dial)
  local p, deadline = route.proxy, now() + timeout
  if route.prefix then return reach(p, timeout, dial) end
  local hosts, err = {route.address.host}, nil
  if p.scheme == "socks5" then hosts, err = addresses(hosts[1], deadline) end
  if not hosts then return nil, err end
  local stream, elsewhere
  for _, host in ipairs(hosts) do
    stream, err, elsewhere = tunnel(p, host, route, deadline, dial)
    if stream or not elsewhere then break end
  end
  return stream, err
end

return proxy
