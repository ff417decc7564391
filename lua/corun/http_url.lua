-- SPDX-License-Identifier: MIT
-- URLs of requests (RFC 3986): what a request needs of one, strictly. Owns nothing.
local core = require "corun.httpcore"
local options = require "corun.options"

local url = {}

local LONGEST_HOST = 253 -- RFC 1035
local UNSENDABLE = "[^%w%-._~:/?@!$&'()*+,;=%%%[%]|]"

local function percent(c) return ("%%%02X"):format(c:byte()) end

---Percent-encode all but the unreserved characters (RFC 3986, section 2.3).
function url.encode(text)
  return (text:gsub("[^%w%-._~]", percent))
end

local function bad(text, why)
  text = text:gsub("[%z\1-\31\127]", function(c) return ("\\x%02X"):format(c:byte()) end)
  return nil, require("corun.task").err("EURL", why, {op = "parse URL", target = text})
end

-- host, port, the value for Host; nil and why not.
local function authority(text)
  if text:find("@", 1, true) then return nil, "user and password do not belong into a URL" end
  local host, rest = text:match("^%[([%x:.]+)%](.*)$")
  if not host then host, rest = text:match("^([^:%[%]]+)(.*)$") end
  if not host then return nil, "the host is missing or malformed" end
  if #host > LONGEST_HOST then return nil, "the host is too long" end
  local digits = rest:match("^:(%d*)$")
  local port = (rest == "" or digits == "") and 80 or tonumber(digits)
  if not port or port < 1 or port > 65535 then return nil, "the port is not a number in range" end
  if not core.is_host(text) then return nil, "the host has a character that is not allowed" end
  return host, port
end

---Say whether a text begins with a scheme, so that it is not relative to a base.
function url.is_absolute(text)
  return text:find("^%a[%w+.-]*://") ~= nil
end

---Parse an absolute URL.
---
---Characters that may not stand in a request line are percent-encoded; control characters are
---refused. The fragment is dropped.
---@param text string
---@return table? u {origin=, host=, port=, name=, target=}; nil and an error with code EURL
function url.parse(text)
  if text:find("[%z\1-\31\127]") then return bad(text, "a control character in the URL") end
  local scheme, auth, rest = text:match("^(%a[%w+.-]*)://([^/?#]*)([^#]*)")
  if not scheme then return bad(text, "not an absolute URL such as http://host/path") end
  scheme = scheme:lower()
  if scheme == "https" then return bad(text, "https is not there yet, only http") end
  if scheme ~= "http" then return bad(text, "the scheme is not http") end
  local host, port = authority(auth)
  if not host then return bad(text, port) end
  if rest:sub(1, 1) ~= "/" then rest = "/" .. rest end
  local target = rest:gsub(UNSENDABLE, percent)
  local name = auth:gsub(":%d*$", "")
  local shown = host:find(":", 1, true) and "[" .. host .. "]" or host
  return {
    origin = ("%s:%d"):format(shown, port):lower(), host = host, port = port,
    name = port == 80 and name or ("%s:%d"):format(name, port), target = target,
  }
end

---Put a relative URL behind a base, with one slash between them; a query follows directly.
function url.join(base, text)
  local first = text:sub(1, 1)
  if text == "" or first == "?" or first == "#" then return base .. text end
  if base:sub(-1) == "/" then base = base:sub(1, -2) end
  return base .. (first == "/" and "" or "/") .. text
end

-- Query strings ---------------------------------------------------------------------------------

local function value_text(key, v)
  local kind = type(v)
  if kind == "string" then return url.encode(v) end
  if kind == "number" or kind == "boolean" then return url.encode(tostring(v)) end
  return options.misuse(("query value %q must be a string, a number, a boolean or a list of these, "
    .. "got %s"):format(tostring(key), kind))
end

---Build a query string of a table; keys sorted, a list gives the key several times.
local function build(t)
  local keys = {}
  for k in pairs(t) do
    if type(k) ~= "string" then
      options.misuse("the names in a query must be strings, got " .. type(k))
    end
    keys[#keys + 1] = k
  end
  table.sort(keys)
  local out = {}
  for _, k in ipairs(keys) do
    local v, name = t[k], url.encode(k)
    if type(v) == "table" then
      for _, item in ipairs(v) do out[#out + 1] = name .. "=" .. value_text(k, item) end
    else
      out[#out + 1] = name .. "=" .. value_text(k, v)
    end
  end
  return table.concat(out, "&")
end

---Append a query, a table or a string, to a target. Misuse raises.
function url.add_query(target, query)
  local text
  if type(query) == "table" then
    text = build(query)
  else
    if query:find("[%z\1-\31\127]") then options.misuse("a control character in the query") end
    text = query:gsub(UNSENDABLE, percent)
  end
  if text == "" then return target end
  return target .. (target:find("?", 1, true) and "&" or "?") .. text
end

return url
