-- SPDX-License-Identifier: MIT
-- What requests and responses have in common: header tables that ignore case, header lines, JSON
-- bodies. Owns nothing.
local core = require "corun.httpcore"
local numeral = require "corun.numeral"
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
  if kind == "number" then value = numeral(value) or value end
  if type(value) ~= "string" then
    options.misuse(("the value of header %q must be a string or a finite number, got %s"):format(
      name, kind == "number" and options.show(value) or kind))
  end
  if not core.is_value(value) then
    options.misuse(("the value of header %q has a control character"):format(name))
  end
  return name .. ": " .. value .. "\r\n"
end

---Raise unless this can be sent as the name of a header.
function message.check_name(name)
  if type(name) ~= "string" or not core.is_token(name) then
    options.misuse(("bad header name %q"):format(tostring(name)))
  end
end

---The line of a header; a list of values gives a line each. Misuse raises.
function message.header_lines(name, value)
  if type(value) ~= "table" then return header_line(name, value) end
  options.check_list(value, ("the value of header %q"):format(name))
  local out = {}
  for i, v in ipairs(value) do out[i] = header_line(name, v) end
  return table.concat(out)
end

---Append the lines of a header table to `out`. `except` is a set of names in lower case to leave
---out. Misuse raises.
function message.add_headers(out, headers, except)
  for name, value in pairs(headers) do
    message.check_name(name)
    if not (except and except[name:lower()]) then
      out[#out + 1] = message.header_lines(name, value)
    end
  end
end

local METHODS = {}
for _, method in ipairs {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} do
  METHODS[method:lower()] = method
end

---A method as it is sent: those that everybody has are written in capitals, others have their own
---spelling.
function message.method(name)
  return METHODS[name:lower()] or name
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
  if type(self) ~= "table" then
    options.misuse("calling 'json' on bad self (http message expected, got " .. type(self) .. ")")
  end
  local value, err = decode(self.body, o)
  if value == nil and err then err.target = self.url or self.path end
  return value, err
end
message.json = json

return message
