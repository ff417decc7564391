-- SPDX-License-Identifier: MIT
-- Cookies of servers (RFC 6265bis): those of a request, and the header that sets one. Owns nothing.
local core = require "corun.httpcore"
local date = require "corun.http_date"
local options = require "corun.options"
local trim = require "corun.http_trim"

local cookie = {}

local misuse = options.misuse

local OPTIONS = {
  path = "string", domain = "string", max_age = "number", expires = "number", secure = "boolean",
  http_only = "boolean", same_site = "string", partitioned = "boolean",
}
local SAME_SITE = {strict = "Strict", lax = "Lax", none = "None"}
local LAST = 253402300799 -- the last second of the year 9999
local MOST = 4096 -- bytes of name and value that browsers keep
local NO_VALUE = '[%c%s",;\\\127-\255]'

---The cookies of the header Cookie; of several with one name the first, which is the nearest.
---@param header string?
---@return table<string, string>
function cookie.parse(header)
  local cookies = {}
  for pair in (header or ""):gmatch("[^;]+") do
    local name, value = pair:match("^([^=]*)=(.*)$")
    name = trim(name or "")
    if name ~= "" and not name:find("[ \t]") and cookies[name] == nil then
      value = trim(value)
      cookies[name] = value:match('^"(.*)"$') or value
    end
  end
  return cookies
end

local function check_value(name, value)
  if type(name) ~= "string" or not core.is_token(name) then
    misuse("bad name of a cookie: " .. options.show(name), 3)
  end
  if type(value) ~= "string" or value:find(NO_VALUE) then
    misuse(("the value of the cookie %q must be a string of visible ASCII without blanks, quotes, "
      .. "commas, semicolons and backslashes (url.encode makes one)"):format(name), 3)
  end
  if #name + #value > MOST then
    misuse(("the cookie %q is longer than the %d bytes that browsers keep"):format(name, MOST), 3)
  end
end

-- What browsers would refuse, so that nobody has to look for it there.
local function check_rules(name, o, path)
  local lower = name:lower()
  local is_host = lower:sub(1, 7) == "__host-"
  if is_host and (o.domain or path ~= "/") then
    misuse(('the cookie %q must have the path "/" and no domain'):format(name), 3)
  end
  local reason = (is_host or lower:sub(1, 9) == "__secure-") and "its name"
    or o.same_site and o.same_site:lower() == "none" and 'same_site = "none"'
    or o.partitioned and "partitioned"
  if reason and not o.secure then
    misuse(("the cookie %q must be secure: %s demands it"):format(name, reason), 3)
  end
end

-- Append an attribute of a text.
local function add_text(out, name, value, pattern)
  if not value then return end
  if not value:find(pattern) then misuse(("bad %s of a cookie: %q"):format(name, value), 3) end
  out[#out + 1] = ("%s=%s"):format(name, value)
end

---Make the value of a header Set-Cookie; see lua/meta/http_kit.lua.
function cookie.set_cookie(name, value, o)
  o = options.check(o, "set_cookie", OPTIONS)
  check_value(name, value)
  local path = o.path or "/"
  check_rules(name, o, path)
  local out = {name .. "=" .. value}
  add_text(out, "Path", path, "^/[ -:<-~]*$")
  add_text(out, "Domain", o.domain, "^%.?[%w][%w.-]*$")
  if o.max_age then
    local seconds = math.tointeger(o.max_age)
    if not seconds then misuse("max_age of a cookie must be an integer of seconds") end
    out[#out + 1] = ("Max-Age=%d"):format(seconds)
  end
  if o.expires then
    if not (o.expires >= 0 and o.expires <= LAST) then
      misuse(("expires of a cookie must be seconds since 1970, got %s"):format(
        options.show(o.expires)))
    end
    out[#out + 1] = "Expires=" .. date.format(o.expires)
  end
  if o.same_site then
    local site = SAME_SITE[o.same_site:lower()]
    if not site then misuse('same_site of a cookie must be "strict", "lax" or "none"') end
    out[#out + 1] = "SameSite=" .. site
  end
  if o.secure then out[#out + 1] = "Secure" end
  if o.http_only then out[#out + 1] = "HttpOnly" end
  if o.partitioned then out[#out + 1] = "Partitioned" end
  return table.concat(out, "; ")
end

return cookie
