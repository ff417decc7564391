-- SPDX-License-Identifier: MIT
-- URLs of requests (RFC 3986): what a request needs of one, strictly. Owns nothing.
local core = require "corun.httpcore"

local url = {}

local function percent(c) return ("%%%02X"):format(c:byte()) end

---Percent-encode all but the unreserved characters (RFC 3986, section 2.3).
function url.encode(text)
  return (text:gsub("[^%w%-._~]", percent))
end

local function bad(text, why)
  return nil, require("corun").err("EURL", why, {op = "parse URL", target = text})
end

-- host, port, the value for Host; nil and why not.
local function authority(text)
  if text:find("@", 1, true) then return nil, "user and password do not belong into a URL" end
  local host, rest = text:match("^%[([%x:.]+)%](.*)$")
  if not host then host, rest = text:match("^([^:%[%]]+)(.*)$") end
  if not host then return nil, "the host is missing or malformed" end
  local port = rest == "" and 80 or tonumber(rest:match("^:(%d+)$"))
  if rest == ":" then port = 80 end
  if not port or port < 1 or port > 65535 then return nil, "the port is not a number in range" end
  if not core.is_host(text) then return nil, "the host has a character that is not allowed" end
  return host, port
end

---Parse an absolute URL.
---
---Characters that may not stand in a request line are percent-encoded; control characters are
---refused. The fragment is dropped.
---@param text string
---@return table? u {origin=, host=, port=, name=, target=}; nil and an error with code EURL
function url.parse(text)
  local scheme, auth, rest = text:match("^(%a[%w+.-]*)://([^/?#]*)([^#]*)")
  if not scheme then return bad(text, "not an absolute URL such as http://host/path") end
  scheme = scheme:lower()
  if scheme == "https" then return bad(text, "https is not there yet, only http") end
  if scheme ~= "http" then return bad(text, "the scheme is not http") end
  if text:find("[%z\1-\31\127]") then return bad(text, "a control character in the URL") end
  local host, port = authority(auth)
  if not host then return bad(text, port) end
  if rest:sub(1, 1) ~= "/" then rest = "/" .. rest end
  local target = rest:gsub("[^%w%-._~:/?@!$&'()*+,;=%%%[%]|]", percent)
  if not core.is_target(target) then return bad(text, "a character in the path is not allowed") end
  return {
    origin = ("%s:%d"):format(host, port):lower(), host = host, port = port,
    name = port == 80 and auth:gsub(":%d*$", "") or auth, target = target,
  }
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

---Build a query string; keys sorted, a list gives the key several times.
function url.query(t)
  local out = {}
  for _, k in ipairs(sorted_keys(t)) do
    local v = t[k]
    for _, item in ipairs(type(v) == "table" and v or {v}) do
      out[#out + 1] = url.encode(tostring(k)) .. "=" .. url.encode(tostring(item))
    end
  end
  return table.concat(out, "&")
end

---Append a query, a table or a string, to a target.
function url.add_query(target, query)
  local text = type(query) == "table" and url.query(query) or query
  if text == "" then return target end
  return target .. (target:find("?", 1, true) and "&" or "?") .. text
end

return url
