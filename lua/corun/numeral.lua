-- SPDX-License-Identifier: MIT
-- Numbers as the text that is sent in queries, forms and headers: as tostring writes them, but
-- always exact. Owns nothing, never suspends.

local EXACT = "%.17g" -- tostring has 14 digits of a float

---The text of a number; nil for infinity and NaN, which have none that others read.
---@param x number
---@return string?
return function(x)
  local text = tostring(x)
  if math.type(x) == "integer" then return text end
  if x ~= x or x - x ~= 0 then return nil end
  return tonumber(text) == x and text or EXACT:format(x)
end
