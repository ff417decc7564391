-- SPDX-License-Identifier: MIT
-- The option `auth`: basic (RFC 7617) and bearer (RFC 6750) authorization. Owns nothing, never
-- suspends.
local codec = require "corun.codec"
local options = require "corun.options"

local auth = {}

---Basic authorization; or nil and why such a user and password cannot be sent.
---@param user string
---@param password string
---@return string? value of the header Authorization
---@return string? why
function auth.basic(user, password)
  if user:find(":", 1, true) then return nil, "a user has no colon" end
  if user:find("%c") then return nil, "the user has a control character" end
  if password:find("%c") then return nil, "the password has a control character" end
  return "Basic " .. codec.base64.encode(user .. ":" .. password)
end

local function check_part(text, what)
  if type(text) ~= "string" then
    options.misuse(('option "auth" must be {user, password} or a token: the %s is %s'):format(what,
      type(text)))
  end
end

local function check_pair(value)
  for key in next, value do
    if key ~= 1 and key ~= 2 then
      options.misuse('option "auth" must be {user, password} or a token, and no other table')
    end
  end
end

---The value of the header Authorization. Misuse raises.
---@param value string|table
---@return string
function auth.value(value)
  if type(value) == "string" then
    if not value:find("^[\33-\126]+$") then -- there are others than RFC 6750 has
      options.misuse('option "auth": a token is one word, without the scheme in front')
    end
    return "Bearer " .. value
  end
  check_pair(value)
  local user, password = value[1], value[2] or ""
  check_part(user, "user")
  check_part(password, "password")
  local line, why = auth.basic(user, password)
  if not line then options.misuse(('option "auth": %s'):format(why)) end
  return line
end

return auth
