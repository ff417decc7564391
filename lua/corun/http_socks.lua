-- SPDX-License-Identifier: MIT
-- SOCKS5 (RFC 1928) with user and password (RFC 1929), the side of the client. Owns nothing.
local proxy_env = require "corun.http_proxy_env"

local VERSION = 5
local OPEN, PASSWORD, NONE = 0, 2, 0xff -- ways of authentication
local CONNECT = 1
local IPV4, NAME, IPV6 = 1, 3, 4
local REFUSALS = {
  "the proxy failed", "the proxy's rules forbid the connection", "the network is unreachable",
  "the host is unreachable", "the connection was refused", "the time to live expired",
  "the proxy knows no CONNECT", "the proxy does not know this kind of address",
}
local PASSING = {[1] = true, [3] = true, [4] = true, [5] = true, [6] = true}
local OF_ADDRESS = {[3] = true, [4] = true, [5] = true, [6] = true, [8] = true}

local function wrong(talk, what)
  return talk:fail("EPROTO", ("the proxy's answer is not one of SOCKS5: %s"):format(what))
end

-- RFC 1929.
local function log_in(talk)
  local p = talk.proxy
  local ok, err = talk:say(("Bs1s1"):pack(1, p.user, p.password))
  if not ok then return nil, err end
  local answer
  answer, err = talk:take(2)
  if not answer then return nil, err end
  local version, status = answer:byte(1, 2)
  if version ~= 1 then return wrong(talk, ("version %d of the login"):format(version)) end
  if status == 0 then return true end
  return talk:fail("EPROXY", "the proxy does not accept the user and password")
end

-- Agree on a way of authentication, and go it.
local function greet(talk)
  local user = talk.proxy.user
  local ok, err = talk:say(user and ("BBBB"):pack(VERSION, 2, OPEN, PASSWORD)
    or ("BBB"):pack(VERSION, 1, OPEN))
  if not ok then return nil, err end
  local answer
  answer, err = talk:take(2)
  if not answer then return nil, err end
  local version, way = answer:byte(1, 2)
  if version ~= VERSION then return wrong(talk, ("version %d"):format(version)) end
  if way == OPEN then return true end
  if way == PASSWORD and user then return log_in(talk) end
  if way ~= NONE then return wrong(talk, ("authentication %d"):format(way)) end
  return talk:fail("EPROXY", user and "the proxy takes no user and password"
    or "the proxy wants a user and password")
end

local function destination(host, port)
  local bytes = proxy_env.address(host)
  if not bytes then return ("Bs1>I2"):pack(NAME, host, port) end
  return string.char(#bytes == 4 and IPV4 or IPV6) .. bytes .. (">I2"):pack(port)
end

-- Hear the address that the proxy is bound to, which nobody needs.
local function skip_address(talk, kind)
  local n = kind == IPV4 and 4 or kind == IPV6 and 16
  if kind == NAME then
    local length, err = talk:take(1)
    if not length then return nil, err end
    n = length:byte()
  end
  if not n then return wrong(talk, ("an address of kind %d"):format(kind)) end
  return talk:take(n + 2)
end

---Have a proxy lead to a host.
---@param talk table of http_proxy
---@param host string an address, or a name for the proxy to resolve
---@param port integer
---@return true? ok
---@return table? err
---@return boolean? elsewhere whether another address of the host may do
return function(talk, host, port)
  local ok, err = greet(talk)
  if not ok then return nil, err end
  ok, err = talk:say(("BBB"):pack(VERSION, CONNECT, 0) .. destination(host, port))
  if not ok then return nil, err end
  local answer
  answer, err = talk:take(4)
  if not answer then return nil, err end
  local version, reply, reserved, kind = answer:byte(1, 4)
  if version ~= VERSION then return wrong(talk, ("version %d"):format(version)) end
  if reply ~= 0 then
    ok, err = talk:fail("EPROXY", REFUSALS[reply] or ("the proxy refused for reason %d")
      :format(reply), nil, PASSING[reply])
    return ok, err, OF_ADDRESS[reply]
  end
  if reserved ~= 0 then return wrong(talk, "a reserved byte that is not 0") end
  ok, err = skip_address(talk, kind)
  return ok and true, err
end
