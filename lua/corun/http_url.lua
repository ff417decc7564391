-- SPDX-License-Identifier: MIT
-- URLs of requests: what a request needs of one, more strictly than corun.urlcore parses it. Owns
-- nothing.
local core = require "corun.urlcore"
local query = require("corun.url").query
local options = require "corun.options"

local url = {encode = core.encode}

local LONGEST_HOST = 253 -- RFC 1035
local PORTS = {http = 80, https = 443}

---What a message may show of a text that should be a URL: no user and no password.
function url.without_login(text)
  return (text:gsub("^([^/?#]*//)[^/?#]*@", "%1"):gsub("^[^/?#]*@", ""))
end

---Answer nil and EURL, which shows no user and no password.
local function refuse(text, why)
  text = url.without_login(text)
  text = text:gsub("[%z\1-\31\127]", function(c) return ("\\x%02X"):format(c:byte()) end)
  return nil, require("corun.task").err("EURL", why, {op = "parse URL", target = text})
end

-- Why such a text is no URL of a request; nil when it may be one.
local function fault(text)
  if text:find("[%z\1-\31\127]") then return "a control character in the URL" end
  local scheme, authority = text:match("^(%a[%w+.-]*)://([^/?#]*)")
  if not scheme then return "not an absolute URL such as http://host/path" end
  if not PORTS[scheme:lower()] then return "the scheme is not http or https" end
  if authority:find("@", 1, true) then return "user and password do not belong into this URL" end
  if authority == "" then return "the host is missing" end
  if authority:find("[ \\]") then return "the host has a character that is not allowed" end
end

url.refuse = refuse

---Take user and password out of a URL that a script gives, so that nothing shows them.
---@param text string
---@return string text without them
---@return string[]? login {user, password}, nil when there are none
function url.split_login(text)
  local scheme, userinfo, rest = text:match("^(%a[%w+.-]*://)([^/?#]*)@(.*)$")
  if not userinfo then return text end
  local user, password = userinfo:match("^([^:]*):?(.*)$")
  return scheme .. rest, userinfo ~= "" and {core.decode(user), core.decode(password)} or nil
end

---Say whether a text begins with a scheme, so that it is not relative to a base.
function url.is_absolute(text)
  return text:find("^%a[%w+.-]*://") ~= nil
end

-- The parts of a URL over a Unix socket, whose path stands in place of the host: the socket's path,
-- and the URL as it is sent over it; nil when it is another URL.
local function split_unix(text)
  local scheme, layer, path, rest = text:match("^(%a+)%+(%a+)://([^/?#]*)(.*)$")
  if not scheme or layer:lower() ~= "unix" then return nil end
  return core.decode(path), scheme .. "://localhost" .. rest
end

---Parse an absolute URL.
---
---The path stays as it is; characters that may not stand in a request line are percent-encoded,
---control characters are refused. The fragment is dropped.
---@param text string
---@return table? u {scheme=, origin=, host=, port=, name=, target=, socket=}
---@return table? err with code EURL
function url.parse(text)
  local socket, plain = split_unix(text)
  if socket and (socket == "" or socket:find("[%z\1-\31\127]")) then
    return refuse(text, "the path of the socket is missing or has a control character")
  end
  plain = plain or text
  local why = fault(plain)
  if why then return refuse(text, why) end
  local u, err = core.request(plain)
  if not u then return nil, err end
  local host, usual = u.host, PORTS[u.scheme]
  local port = u.port or usual
  if host == "*" then return refuse(text, "the host is missing") end
  if #host > LONGEST_HOST then return refuse(text, "the host is too long") end
  if port == 0 then return refuse(text, "the port is not in range") end
  local name = host:find(":", 1, true) and "[" .. host .. "]" or host
  if port ~= usual then name = name .. ":" .. port end
  return {
    scheme = u.scheme, origin = u.scheme .. "://" .. name, host = host, port = port, name = name,
    target = u.query and u.path .. "?" .. u.query or u.path, socket = socket,
  }
end

---Why a server must not lead from one URL to another: off TLS, or onto a Unix socket; from behind
---one it may lead on over that. Nil when it may.
---@param from table parsed, as is `to`
---@param to table
---@param may_downgrade boolean? from https to http
---@return string? why what the server does
function url.refusal(from, to, may_downgrade)
  if to.socket and to.socket ~= from.socket then return "leads to a Unix socket" end
  if from.scheme == "https" and to.scheme == "http" and not may_downgrade then
    return ("leads from https to %s%s, where all could read along"):format(to.origin, to.target)
  end
end

---Put a relative URL behind a base, with one slash between them; a query follows directly.
function url.join(base, text)
  local first = text:sub(1, 1)
  if text == "" or first == "?" or first == "#" then return base .. text end
  if base:sub(-1) == "/" then base = base:sub(1, -2) end
  return base .. (first == "/" and "" or "/") .. text
end

-- A query as a list of {name, value}.
local function pairs_of(q)
  if type(q) == "string" then return (select(2, query(q))) end
  if type(q[1]) == "table" then return q end
  return (select(2, query(query(q))))
end

local function is_map(q)
  return type(q) == "table" and type(q[1]) ~= "table"
end

---A query with the parameters of two, where those of `own` replace those of the same name.
function url.merge_query(common, own)
  local all = {}
  if is_map(common) and is_map(own) then
    for name, value in pairs(common) do all[name] = value end
    for name, value in pairs(own) do all[name] = value end
    return all
  end
  local added, replaced = pairs_of(own), {}
  for _, pair in ipairs(added) do replaced[pair[1]] = true end
  for _, pair in ipairs(pairs_of(common)) do
    if not replaced[pair[1]] then all[#all + 1] = pair end
  end
  return table.move(added, 1, #added, #all + 1, all)
end

---Append a query, a table or a string, to a target. Misuse raises.
function url.add_query(target, q)
  local text
  if type(q) == "table" then
    text = query(q):gsub("%+", "%%20") -- which every server understands
  else
    if q:find("[%z\1-\31\127]") then options.misuse("a control character in the query") end
    text = core.escape(q, "sent")
  end
  if text == "" then return target end
  return target .. (target:find("?", 1, true) and "&" or "?") .. text
end

return url
