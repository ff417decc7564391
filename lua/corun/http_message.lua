-- SPDX-License-Identifier: MIT
-- HTTP messages as scripts see them: header tables that ignore case, responses. Owns nothing.
local core = require "corun.httpcore"
local options = require "corun.options"

local message = {}

local any_case = {
  __index = function(t, name)
    if type(name) ~= "string" then return nil end
    local lower = name:lower()
    if lower ~= name then return rawget(t, lower) end
  end,
}

---Make the table of a block of header lines: names in lower case, several values joined by ", ",
---those of Set-Cookie a list.
function message.headers(block)
  local t = {}
  for name, value in block:gmatch("([^:\r\n]+):[ \t]*([^\r\n]-)[ \t]*\r\n") do
    name = name:lower()
    local old = t[name]
    if name == "set-cookie" then
      t[name] = old or {}
      table.insert(t[name], value)
    else
      t[name] = old and old .. ", " .. value or value
    end
  end
  return setmetatable(t, any_case)
end

---Append the lines of a header table to `out`; a list gives a line each. Misuse raises.
function message.add_headers(out, headers, except)
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not core.is_token(name) then
      options.misuse(("bad header name %q"):format(tostring(name)))
    end
    if not (except and except[name:lower()]) then
      for _, v in ipairs(type(value) == "table" and value or {value}) do
        v = tostring(v)
        if not core.is_value(v) then
          options.misuse(("the value of header %q has a control character"):format(name))
        end
        out[#out + 1] = name .. ": " .. v .. "\r\n"
      end
    end
  end
end

---Say whether a table has a header, in any case.
function message.has(headers, lower)
  if not headers then return false end
  for name in pairs(headers) do
    if type(name) == "string" and name:lower() == lower then return true end
  end
  return false
end

---Decode the body as JSON.
local function json(self, o)
  local value, err = require("corun.json").decode(self.body, o)
  if value == nil and err then err.target = self.url or self.path end
  return value, err
end
message.json = json

local response = {__name = "http response"}

function response.__index(self, key)
  if key == "headers" then
    local headers = message.headers(self.block)
    rawset(self, "headers", headers)
    return headers
  end
  if key == "json" then return json end
end

function response:__tostring()
  return ("http response (%d, %d bytes, %s)"):format(self.status, #self.body, self.url)
end

function message.response(status, block, body, url)
  return setmetatable({status = status, ok = status >= 200 and status < 300, url = url,
                       body = body, block = block}, response)
end

return message
