-- SPDX-License-Identifier: MIT
-- Answers of handlers as middleware changes them: always a table of its own, since a handler may
-- return the same one each time. Owns nothing.
local callable = require("corun.source").is_callable

local answer = {}

---The copy of an answer as a table with headers; nil for what is none, as nil and an error.
---@param given any what a handler returned
---@return table?
function answer.copy(given)
  if type(given) == "string" then
    return {body = given, headers = {["Content-Type"] = "text/plain; charset=utf-8"}}
  end
  if callable(given) then return {stream = given, headers = {}} end
  if type(given) ~= "table" then return nil end
  local copy = {}
  for key, value in pairs(given) do copy[key] = value end
  local headers = given.headers
  if headers ~= nil and type(headers) ~= "table" then return nil end
  copy.headers = {}
  for name, value in pairs(headers or {}) do copy.headers[name] = value end
  return copy
end

-- The name under which a header stands in a table, whatever its case.
local function name_in(headers, name)
  if headers[name] ~= nil then return name end
  local lower = name:lower()
  for other in pairs(headers) do
    if type(other) == "string" and other:lower() == lower then return other end
  end
  return name
end

---The value of a header, a list joined.
function answer.get(headers, name)
  local value = headers[name_in(headers, name)]
  if type(value) == "table" then return table.concat(value, ", ") end
  return value ~= nil and tostring(value) or nil
end

---Set a header in place of one in another case.
function answer.set(headers, name, value)
  headers[name_in(headers, name)] = value
end

---Add a name to the header Vary.
function answer.vary(headers, name)
  local value = answer.get(headers, "Vary")
  if value and (", " .. value:lower() .. ","):find("[ ,]" .. name:lower():gsub("%-", "%%-") .. ",")
  then
    return
  end
  answer.set(headers, "Vary", value and value .. ", " .. name or name)
end

return answer
