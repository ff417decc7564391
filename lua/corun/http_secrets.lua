-- SPDX-License-Identifier: MIT
-- What must not get into a recording: the values of headers, query parameters and fields of bodies
-- that have certain names. Each is replaced by a word, the same when it is recorded and when it is
-- looked for, so that a request with another password finds its recording. Owns nothing, never
-- suspends.
local options = require "corun.options"
local trim = require "corun.http_trim"
local url = require "corun.url"

local secrets = {}

local WORD = "REDACTED"

local USUAL = {
  "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
  "api_key", "apikey", "access_token", "refresh_token", "id_token", "client_secret", "password",
  "passwd",
}

---Read the option: more names, in any case; false: nothing is a secret. Misuse raises.
---@param value string[]|false|nil
---@return table<string, true> names
function secrets.names(value)
  local names = {}
  if value == false then return names end
  for _, name in ipairs(USUAL) do names[name] = true end
  for _, name in ipairs(value or {}) do
    if type(name) ~= "string" then
      options.misuse('option "secrets" for recorder must be a list of names, got a '
        .. type(name), 3)
    end
    names[name:lower()] = true
  end
  return names
end

local function is_secret(names, name)
  return names[(url.decode(name, "form") or name):lower()] ~= nil
end

-- A cookie keeps its name and attributes, so that jars do the same when it is replayed; an empty
-- value, which is how cookies are deleted, tells nothing.
local function cookie(line)
  local pair, attributes = line:match("^([^;]*)(.*)$")
  local name, value = pair:match("^([^=]*=)(.*)$")
  if value and trim(value) == "" then return line end
  return (name or "") .. WORD .. attributes
end

---A text with URLs in it, such as the header Location. A user stands there with a password.
function secrets.urls(names, text)
  if next(names) then text = text:gsub("(//)[^/?#%s@]+@", "%1" .. WORD .. "@") end
  return (text:gsub("([?&])([^?=&#%s]+)=([^&#%s<>\"]+)", function(mark, name)
    if is_secret(names, name) then return ("%s%s=%s"):format(mark, name, WORD) end
  end))
end

---The value of a header, whose name is in lower case.
function secrets.header(names, name, value)
  if not names[name] then return secrets.urls(names, value) end
  if name == "set-cookie" then return cookie(value) end
  return WORD
end

---A body as forms have it.
function secrets.form(names, text)
  return secrets.urls(names, "&" .. text):sub(2)
end

---A decoded JSON value, which is changed.
function secrets.json(names, value)
  if type(value) ~= "table" then return value end
  for k, v in next, value do
    if type(k) == "string" and names[k:lower()] then
      value[k] = WORD
    else
      secrets.json(names, v)
    end
  end
  return value
end

return secrets
