-- SPDX-License-Identifier: MIT
-- HTTP messages as scripts see them: header tables that ignore case, responses. Owns nothing.
local core = require "corun.httpcore"
local options = require "corun.options"

local decode = require("corun.json").decode

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
  return setmetatable(core.headers(block), any_case)
end

local function header_line(name, value)
  local kind = type(value)
  if kind == "number" then
    value = tostring(value)
  elseif kind ~= "string" then
    options.misuse(("the value of header %q must be a string or a number, got %s"):format(name,
      kind))
  end
  if not core.is_value(value) then
    options.misuse(("the value of header %q has a control character"):format(name))
  end
  return name .. ": " .. value .. "\r\n"
end

---Append the lines of a header table to `out`; a list gives a line each. `except` is a set of names
---in lower case to leave out. Misuse raises.
function message.add_headers(out, headers, except)
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not core.is_token(name) then
      options.misuse(("bad header name %q"):format(tostring(name)))
    end
    if except and except[name:lower()] then
      goto continue
    elseif type(value) == "table" then
      for _, v in ipairs(value) do out[#out + 1] = header_line(name, v) end
    else
      out[#out + 1] = header_line(name, value)
    end
    ::continue::
  end
end

---Find a header of a table that a script made, whose names are in any case.
function message.find(headers, lower)
  if not headers then return nil end
  for name, value in pairs(headers) do
    if type(name) == "string" and name:lower() == lower then return value end
  end
end

---Decode the body as JSON.
local function json(self, o)
  local value, err = decode(self.body, o)
  if value == nil and err then err.target = self.url or self.path end
  return value, err
end
message.json = json

local response = {__name = "http response"}

function response.__index(self, key)
  if key == "json" then return json end
  if key == "headers" then
    local headers = message.headers(self.block)
    rawset(self, "headers", headers)
    return headers
  end
end

function response:__tostring()
  return ("http response (%d, %d bytes, %s)"):format(self.status, #self.body, self.url)
end

function message.response(status, block, body, url)
  return setmetatable({status = status, ok = status >= 200 and status < 300, url = url,
                       body = body, block = block}, response)
end

return message
