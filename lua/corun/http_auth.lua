-- SPDX-License-Identifier: MIT
-- The option `auth`: basic (RFC 7617) and bearer (RFC 6750) authorization. Owns nothing, never
-- suspends.
local codec = require "corun.codec"
local options = require "corun.options"

local auth = {}

local function check_part(text, what)
  if type(text) ~= "string" then
    options.misuse(('option "auth" must be {user, password} or a token: the %s is %s'):format(what,
      type(text)))
  end
  if text:find("%c") then
    options.misuse(('option "auth": the %s has a control character'):format(what))
  end
end

---The value of the header Authorization. Misuse raises.
---@param value string|table
---@return string
function auth.value(value)
  if type(value) == "string" then
    if not value:find("^[%w%-._~+/:]+=*$") then
      options.misuse('option "auth": a token is one word, without the scheme in front')
    end
    return "Bearer " .. value
  end
  options.check(value, "auth", {[1] = "any", [2] = "any"})
  local user, password = value[1], value[2] or ""
  check_part(user, "user")
  check_part(password, "password")
  if user:find(":", 1, true) then options.misuse('option "auth": a user has no colon') end
  return "Basic " .. codec.base64.encode(user .. ":" .. password)
end

return auth
