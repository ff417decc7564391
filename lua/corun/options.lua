-- SPDX-License-Identifier: MIT
-- Checks the options table that a public function takes last, and finds the name that was meant.
-- Embedded as corun.options; owns nothing, runs on any runtime, never suspends. A table without
-- mistakes costs one pass, and allocates only for types joined by "|".

local math_type, tointeger, getinfo = math.type, math.tointeger, debug.getinfo

local SOURCE = getinfo(1, "S").source

local options = {}

-- What a message calls a type, and the test for the types that are not Lua's own.
local TITLE = {
  number = "a number",
  string = "a string",
  boolean = "a boolean",
  table = "a table",
  ["function"] = "a function",
  userdata = "a userdata",
  thread = "a thread",
  any = "any value",
  duration = "a number of seconds (0 or more)",
  count = "a positive integer",
  amount = "a number (0 or more)",
}
local TEST = {
  any = function() return true end,
  duration = function(v) return math_type(v) ~= nil and v >= 0 end, -- false for NaN
  amount = function(v) return math_type(v) ~= nil and v >= 0 end,
  count = function(v) return math_type(v) ~= nil and (tointeger(v) or 0) > 0 end,
}

-- Shared by all calls without options: it must stay empty.
local EMPTY = setmetatable({}, {
  __newindex = function() error("the options table made by options.check is read-only", 2) end,
  __metatable = "options", -- nor can it be given another one
})

---The line of the script that called into corun, as FILE:LINE.
---
---It is the first line from `level` upwards that is in Lua and not in one of corun's own modules,
---so that one level too few does no harm; nor does one too many, as after a tail call: what called
---one of the modules is never passed over.
---@param level integer? as in error(): 2, the default, is the caller of the caller
---@return string? where nil when there is no such line
function options.here(level)
  local first, has_own = (level or 2) + 1, false
  for l = 2, math.maxinteger do
    local info = getinfo(l, "Sl")
    if not info then return nil end
    if info.source:sub(1, 7) == "=[corun" then
      has_own = has_own or info.source ~= SOURCE
    elseif info.currentline > 0 and (has_own or l >= first) then
      return ("%s:%d"):format(info.short_src, info.currentline)
    end
  end
end

---Raise `message` with the position of the script's line that is to blame.
---@param message string
---@param level integer? as in error(): 2, the default, is the caller of the function that raises
function options.misuse(message, level)
  local where = options.here((level or 2) + 1)
  error(where and where .. ": " .. message or message, 0)
end

---Check a path that is passed on to a function of another name.
---@param path any
---@param op string
---@return string path
function options.path(path, op)
  if type(path) == "string" or math.type(path) then return tostring(path) end
  options.misuse(("bad argument #1 to '%s' (string expected, got %s)"):format(op, type(path)), 3)
end

---Check the object of a method: it may have been called without one (`o.method()`).
---@param self any
---@param mt table the metatable that it must have, with __name
---@param method string
function options.self(self, mt, method)
  if getmetatable(self) == mt then return end
  options.misuse(("calling '%s' on bad self (%s expected, got %s)"):format(method, mt.__name,
    type(self)), 3)
end

-- Optimal string alignment distance (insert, delete, replace, swap neighbours) of two strings.
local function distance(a, b)
  local before, last = nil, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = {[0] = i}
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local d = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, before[j - 2] + 1)
      end
      row[j] = d
    end
    before, last = last, row
  end
  return last[#b]
end

---Find the name that was meant by `word`.
---
---At most two edits away, upper and lower case alike; one edit if `word` has three letters or
---fewer. Of equally near names the first in alphabetical order.
---@param word string
---@param names table a set: the names are its string keys
---@return string? name nil when nothing is near
function options.nearest(word, names)
  if #word > 64 then return nil end
  local lower = word:lower()
  local limit = #word <= 3 and 1 or 2
  local best, best_d
  for name in pairs(names) do
    if type(name) == "string" and #word > 2 and name:sub(1, #word) == lower and
      (not best or name < best) then
      best, best_d = name, 1 -- it was cut short
    end
  end
  for name in pairs(names) do
    if type(name) == "string" and math.abs(#name - #word) <= limit then
      local d = distance(lower, name:lower())
      if d <= limit and (not best or d < best_d or (d == best_d and name < best)) then
        best, best_d = name, d
      end
    end
  end
  return best
end

---Raise unless a table is a list without holes: what it has besides its items would be dropped.
---@param list table
---@param what string what it is, for the message
function options.check_list(list, what)
  local count = 0
  for i in next, list do
    count = count + 1
    if math_type(i) ~= "integer" or i < 1 or i > #list then
      options.misuse(("%s must be a list, got the key %s"):format(what, tostring(i)))
    end
  end
  if count < #list then options.misuse(what .. " must be a list without holes") end
end

-- Of several unknown keys always report the same, whatever the order of the table.
local function unknown(o, op, spec, level)
  local word, other
  for k in pairs(o) do
    local known = spec[k] ~= nil
    if not known and type(k) ~= "string" then
      other = type(k)
    elseif not known and (not word or k < word) then
      word = k
    end
  end
  if not word then
    options.misuse(("option names of %s must be strings, got %s"):format(op, other), level + 1)
  end
  local near = options.nearest(word, spec)
  local hint = near and (' (did you mean "%s"?)'):format(near) or ""
  options.misuse(('unknown option "%s" for %s%s'):format(word, op, hint), level + 1)
end

-- Whether `v` is one of the types in `want` ("number|string").
local function fits(v, want)
  local test = TEST[want]
  if test then return test(v) end
  for name in want:gmatch("[^|]+") do
    assert(TITLE[name], name)
    if type(v) == name or TEST[name] and TEST[name](v) then return true end
  end
  return false
end

---What a message shows of a value: a number as it is, a string in quotes, of all else the type.
---@param v any
---@return string
function options.show(v)
  if type(v) == "string" then return ('"%s"'):format(v) end
  if not math_type(v) then return type(v) end
  return v ~= v and "NaN" or tostring(v) -- tostring writes "-nan" or "nan", as it happens
end

-- `v` as a message shows it: its type, or its value where the type alone is right.
local function shown(v, want)
  local is_number = TEST[want] or want:find("duration", 1, true) or want:find("count", 1, true)
  return is_number and options.show(v) or type(v)
end

local function mismatch(k, v, op, want, level)
  local titles = want:gsub("[^|]+", TITLE):gsub("|", " or ")
  local message = 'option "%s" for %s must be %s, got %s'
  options.misuse(message:format(k, op, titles, shown(v, want)), level + 1)
end

---The permission bits that a mode stands for: an integer, or octal digits as chmod(1) takes them.
---@param mode any nil: none is given
---@param op string the function that it was given to
---@return integer? bits
function options.mode(mode, op)
  if mode == nil then return nil end
  local n
  if type(mode) == "string" then
    n = mode:find("^[0-7]+$") and tonumber(mode, 8)
  else
    n = math.tointeger(mode)
  end
  if n and n >= 0 and n <= 4095 then return n end
  options.misuse(('mode for %s must be octal digits such as "644" or an integer up to 4095, got %s')
    :format(op, options.show(mode)), 3)
end

---Check the options table of a public function.
---
---`spec` maps each option to a type: "number", "string", "boolean", "table", "function",
---"userdata", "any", "duration" and "amount" (a number, 0 or more), "count" (a positive integer),
---or several of them joined by "|".
---@param o table? the options that the caller gave
---@param op string the function's name, for the message
---@param spec table<string, string>
---@param level integer? as in error(): 2, the default, is the caller of the function that checks
---@return table o itself; a shared empty table, which is read-only, for nil
function options.check(o, op, spec, level)
  if o == nil then return EMPTY end
  level = (level or 2) + 1
  if type(o) ~= "table" then
    options.misuse(("options of %s must be a table, got %s"):format(op, type(o)), level)
  end
  for k, v in next, o do
    local want = spec[k]
    if want == nil then unknown(o, op, spec, level) end
    if type(v) ~= want and not fits(v, want) then mismatch(k, v, op, want, level) end
  end
  return o
end

return options
