-- SPDX-License-Identifier: MIT
-- Which proxy a request goes through by the environment, as curl has it, and what the URL of a
-- proxy says. Owns nothing, never suspends.
--
-- The variables are http_proxy (in small letters only: in a CGI program HTTP_PROXY is what a client
-- sent as its header Proxy), https_proxy or HTTPS_PROXY, else all_proxy or ALL_PROXY; no_proxy or
-- NO_PROXY lists what is reached without. An empty variable is as good as none.
local url = require "corun.url"

local proxy_env = {}

local DEFAULT_PORT = {http = 80, https = 443, socks5 = 1080, socks5h = 1080}

local function bad(text, why)
  local scheme, rest = text:match("^([^:/@]*://)(.*)$")
  rest = (rest or text):gsub("^.*@", "...@") -- no password in a message
  text = ((scheme or "") .. rest):gsub("[%z\1-\31\127]", "?")
  return nil, require("corun.task").err("EURL", why, {op = "parse proxy", target = text})
end

-- The URL of a proxy ------------------------------------------------------------------------------

---Take the URL of a proxy apart; without a scheme it is http.
---@param text string
---@return table? proxy {scheme=, host=, port=, user=, password=}; host of IPv6 without brackets
---@return table? err EURL
function proxy_env.parse(text)
  if text:find("[%z\1-\32\127]") then return bad(text, "a control character or space in it") end
  local scheme, rest = text:match("^([^:/@]*)://(.*)$")
  scheme, rest = (scheme or "http"):lower(), rest or text
  if not DEFAULT_PORT[scheme] then
    return bad(text, ("a proxy is http, https, socks5 or socks5h, not %q"):format(scheme))
  end
  local authority = rest:match("^[^/?#]*")
  local where = authority:match("[^@]*$")
  if where == "" or where:find("^:") then return bad(text, "the host is missing") end
  local u, err = url.parse("http://" .. authority .. "/")
  if not u then return bad(text, err.message) end
  local port = tonumber(where:match(":(%d+)$")) or DEFAULT_PORT[scheme]
  if port == 0 then return bad(text, "the port is not in range") end
  if u.host == "*" then return bad(text, "the host is missing") end
  return {scheme = scheme, host = u.host, port = port, user = u.user and url.decode(u.user),
    password = u.password and url.decode(u.password)}
end

-- no_proxy ----------------------------------------------------------------------------------------

---The bytes of an address, nil for a name. IPv6 is in the form that url.parse answers.
function proxy_env.address(host)
  local a, b, c, d = host:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if a then return string.char(a, b, c, d) end
  if not host:find(":", 1, true) then return nil end
  local function words(text)
    return (text:gsub("(%x+):?", function(word) return string.pack(">I2", tonumber(word, 16)) end))
  end
  local before, after = host:match("^(.-)::(.*)$")
  if not before then return words(host) end
  before, after = words(before), words(after)
  return before .. ("\0"):rep(16 - #before - #after) .. after
end

-- Whether two addresses have their first `n` bits in common.
local function same_net(a, b, n)
  if #a ~= #b or n > 8 * #a then return false end
  local whole, rest = n // 8, n % 8
  if a:sub(1, whole) ~= b:sub(1, whole) then return false end
  return rest == 0 or (a:byte(whole + 1) ~ b:byte(whole + 1)) >> (8 - rest) == 0
end

-- A host of the list as url.parse writes hosts.
local function canonical(host)
  if host:find(":", 1, true) and host:sub(1, 1) ~= "[" then host = "[" .. host .. "]" end
  local u = url.parse("http://" .. host .. "/")
  return u and not u.user and u.path == "/" and u.host or nil
end

local function take_apart(entry)
  local net, bits = entry:match("^(.*)/(%d+)$")
  if net then return canonical(net), nil, tonumber(bits) end
  local host, port = entry:match("^(.*%]):(%d+)$")
  if not host then host, port = entry:match("^([^:]*):(%d+)$") end
  host = (host or entry):gsub("^%*?%.", "")
  return canonical(host), tonumber(port)
end

local function matches(entry, host, port)
  if entry == "*" then return true end
  local name, only, bits = take_apart(entry)
  if not name or only and only ~= port then return false end
  local mine, theirs = proxy_env.address(host), proxy_env.address(name)
  if mine or theirs then
    return mine ~= nil and theirs ~= nil and same_net(mine, theirs, bits or 8 * #theirs)
  end
  name = name:gsub("%.$", "")
  return bits == nil and (host == name or host:sub(-#name - 1) == "." .. name)
end

---Say whether a list such as "localhost, .example.com, 10.0.0.0/8, [::1]:8080" has a host.
---
---A domain stands for what is below it too, with or without a dot before it; an address or a net in
---CIDR form for addresses alone; a port for that port alone; "*" for everything. Commas and spaces
---separate. An entry that is none of this has no host.
---@param list string
---@param host string in small letters, IPv6 without brackets
---@param port integer
---@return boolean
function proxy_env.is_excepted(list, host, port)
  host = host:gsub("%.$", "")
  for entry in list:gmatch("[^,%s]+") do
    if matches(entry, host, port) then return true end
  end
  return false
end

-- The environment ---------------------------------------------------------------------------------

local function first(getenv, ...)
  for _, name in ipairs{...} do
    local value = getenv(name)
    if value and value ~= "" then return value end
  end
end

---The proxy for requests to an origin.
---@param scheme "http"|"https"
---@param host string in small letters, IPv6 without brackets
---@param port integer
---@param getenv? fun(name: string): string? (default: os.getenv)
---@return table? proxy as of `parse`; nil alone: none
---@return table? err EURL
function proxy_env.find(scheme, host, port, getenv)
  getenv = getenv or os.getenv
  local text
  if scheme == "https" then
    text = first(getenv, "https_proxy", "HTTPS_PROXY")
  else
    text = first(getenv, "http_proxy")
  end
  text = text or first(getenv, "all_proxy", "ALL_PROXY")
  if not text then return nil end
  local except = first(getenv, "no_proxy", "NO_PROXY")
  if except and proxy_env.is_excepted(except, host, port) then return nil end
  return proxy_env.parse(text)
end

return proxy_env
