-- SPDX-License-Identifier: MIT
-- How a connection to an origin is made: over TCP, through a proxy (http_proxy.lua) or a Unix
-- socket, with or without TLS. Owns nothing; what it has opened belongs to the caller.
local task = require "corun.task"
local netcore = require "corun.netcore"
local options = require "corun.options"
local proxy_env = require "corun.http_proxy_env"

local now = task.now

local dial = {}

local PROTOCOL = "http/1.1"

-- TLS is loaded when it is first used.
local function tls()
  return require "corun.tls"
end

-- So are proxies.
local function proxies()
  return require "corun.http_proxy"
end

---Read the option `tls`, for any number of connections. Misuse raises.
function dial.client(o)
  if o == false then
    options.misuse('option "tls" must not be false: the URL says whether there is TLS')
  end
  return tls().client(o, "tls", PROTOCOL)
end

---Check the option `unix`. Misuse raises.
function dial.check_socket(path)
  if path == "" or path:find("[%z\1-\31\127]") then
    options.misuse('option "unix" must be the path of a socket')
  end
  return path
end

---Read the option `proxy`. Misuse raises.
function dial.proxy(value)
  return proxies().read(value)
end

-- The proxy that the environment has for a URL; nil alone: none; nil and an error.
local function find_proxy(u)
  local parsed, err = proxy_env.find(u.scheme, u.host, u.port)
  if not parsed then return nil, err end
  return proxies().make(parsed)
end

-- Lead a route through a proxy. What is wrong with that of the environment is said when a
-- connection is wanted.
local function lead_through(route, u, proxy)
  local fault
  if proxy == nil then proxy, fault = find_proxy(u) end
  if not proxy and not fault then return end
  route.proxy, route.fault = proxy, fault
  route.key = ("%s proxy %s"):format(route.key, proxy and proxy.key or "?")
  if not proxy then return end
  if proxy.scheme == "https" then proxy.client = proxy.client or dial.client(true) end
  if u.scheme == "http" and not proxy.is_socks and not u.tunnel then
    route.prefix, route.authorization = u.origin, proxy.authorization
  end
end

---The way to where a parsed URL points: `key` is the same for those who may share connections.
---With a `prefix` requests are sent to a proxy as they are, with that before their target and with
---`authorization` among their header lines.
---@param u table of http_url; with `tunnel` proxies must not read along
---@param client table? of dial.client, for https
---@param socket string? the path of a Unix socket to go through, without a proxy
---@param proxy table|false|nil of dial.proxy; nil: that of the environment
---@return table route
function dial.route(u, client, socket, proxy)
  socket = socket or u.socket
  local key = u.origin
  local address = {host = u.host, port = u.port}
  if socket then
    key = key .. " unix:" .. socket
    address = {path = socket}
  end
  local route = {key = key, name = u.name, address = address}
  if u.scheme == "https" then
    client = client or dial.client(true)
    route.key, route.client = key .. " " .. client.key, client
    route.host = u.host:gsub("%.$", "") -- a certificate names no root
  end
  if not socket and proxy ~= false then lead_through(route, u, proxy) end
  return route
end

-- A name that could not be resolved is a phase of its own.
local function connect(route, timeout)
  if route.fault then
    return nil, task.err(route.fault.code, route.fault.message,
      {op = "proxy", target = route.fault.target})
  end
  if route.proxy then return proxies().open(route, timeout, dial.connect) end
  local stream, err = netcore.connect(route.address, {timeout = timeout})
  if not stream and err.code:find("^EAI_") then err.op = "resolve" end
  return stream, err
end

-- The server may have picked another protocol only where a context of the script's offers it.
local function check_protocol(stream, client, route)
  if not client.own.context then return stream end
  local alpn = stream:tls().alpn
  if alpn == nil or alpn == PROTOCOL then return stream end
  stream:close()
  return nil, task.err("EPROTO", ("the server speaks %s, not %s"):format(alpn, PROTOCOL),
    {op = "handshake", target = route.name})
end

-- With TLS; the time limit is for both.
local function connect_secure(route, timeout)
  local client, start = route.client, now()
  local ok, err = tls().prepare(client, "connect")
  if not ok then return nil, err end
  local stream
  stream, err = connect(route, timeout)
  if not stream then return nil, err end
  local connected = now()
  local left = math.max(0, timeout - (connected - start))
  local secure
  local within = route.proxy and route.proxy.client ~= nil
  secure, err = tls().handshake(stream, client, route.host, route.name, left, within)
  if not secure then return nil, err end
  secure, err = check_protocol(secure, client, route)
  return secure, err, connected
end

---Connect within so many seconds.
---@return userdata? stream
---@return table? err
---@return number? connected the instant at which the handshake began, where there is one
function dial.connect(route, timeout)
  if route.client then return connect_secure(route, timeout) end
  return connect(route, timeout)
end

return dial
