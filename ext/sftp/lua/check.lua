-- SPDX-License-Identifier: MIT
-- Misuse: raised at the line of the script that called into this module.
local corun = require "corun"

local check = {}

local OWN = debug.getinfo(1, "S").source:match("^=%[corun sftp/")

---The line of the script that called, as FILE:LINE; nil when there is none.
function check.here()
  for level = 2, math.maxinteger do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil end
    if info.currentline > 0 and info.source:sub(1, #OWN) ~= OWN then
      return ("%s:%d"):format(info.short_src, info.currentline)
    end
  end
end

function check.misuse(message, ...)
  local where = check.here()
  error((where and where .. ": " or "") .. message:format(...), 0)
end

---Raise an error object, as for what is closed.
function check.raise(code, op, target, message)
  local where = check.here()
  error(corun.err(code, message, {op = op, target = target, where = where and where .. ": "}), 0)
end

local function fits(v, want)
  if want == "seconds" then return math.type(v) ~= nil and v >= 0 end
  if want == "count" then return math.type(v) == "integer" and v > 0 end
  if want == "mode" then return check.mode(v) ~= nil end
  return type(v) == want
end

---Check options against `spec`: name -> types joined by "|".
function check.options(o, op, spec)
  if o == nil then return {} end
  if type(o) ~= "table" then check.misuse("options of %s must be a table, got %s", op, type(o)) end
  for k, v in pairs(o) do
    local want = spec[k]
    if not want then
      local names = {}
      for name in pairs(spec) do names[#names + 1] = name end
      table.sort(names)
      check.misuse('unknown option "%s" for %s; it has: %s', tostring(k), op,
        table.concat(names, ", "))
    end
    local ok = false
    for one in want:gmatch("[^|]+") do ok = ok or fits(v, one) end
    if not ok then
      check.misuse('option "%s" for %s must be a %s, got %s', k, op, want:gsub("|", " or a "),
        math.type(v) and tostring(v) or type(v))
    end
  end
  return o
end

---Permission bits: an integer, or octal digits; nil for what is none.
function check.mode(v)
  if type(v) == "string" and v:find("^[0-7]+$") then v = tonumber(v, 8) end
  return math.type(v) == "integer" and v >= 0 and v <= 4095 and v or nil -- 07777
end

function check.path(v, op)
  if type(v) ~= "string" or v == "" then
    check.misuse("%s needs a path, got %s", op, v == "" and "an empty string" or type(v))
  end
  if v:find("\0", 1, true) then check.misuse("the path for %s has a zero byte", op) end
  return v
end

return check
