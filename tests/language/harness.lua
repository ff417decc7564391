-- SPDX-License-Identifier: MIT
--- The harness of the language spec: runs checks and writes one line for each.
-- A topic file is called with the suite as its argument and calls `check(name, fn, ...)`: the check
-- holds when `fn()` returns exactly the values that follow. The line shows them, so that the runs
-- of two interpreters can be compared as text. The invariant: nothing that is printed depends on
-- an address, on the time, on where the tree lies or on the order in which a table is walked.

local harness = {}

--- The topic files, in the order in which they run.
harness.topics = {
  "01_coroutine", "02_coroutine_error", "03_coroutine_close", "04_coroutine_yield",
  "05_goto_const_close", "06_metamethods", "07_varargs", "08_string", "09_pattern", "10_pack_utf8",
  "11_table", "12_math", "13_number", "14_io", "15_os", "16_error", "17_load", "18_require",
  "19_gc", "20_debug", "21_limits", "22_process",
}

--- The topics to leave out where each allocation collects and moves the stack: those of large
--- heaps, which take minutes there, and two with a __concat, after which luaV_concat of Lua 5.4.4
--- itself uses the address that the stack had before.
harness.heavy = {
  ["06_metamethods"] = true, ["20_debug"] = true,
  ["07_varargs"] = true, ["08_string"] = true, ["09_pattern"] = true, ["11_table"] = true,
  ["14_io"] = true, ["17_load"] = true, ["19_gc"] = true, ["21_limits"] = true,
}

local MAX_SHOWN = 160

local function show_string(s)
  if #s > MAX_SHOWN then
    local sum = 0
    for i = 1, #s do sum = (sum * 31 + s:byte(i)) % 1000000007 end
    return string.format("<%d bytes, sum %d>", #s, sum)
  end
  s = s:gsub('[%c"\\\128-\255]', function(c)
    if c == "\n" then return "\\n" end
    if c == '"' or c == "\\" then return "\\" .. c end
    return string.format("\\x%02X", c:byte())
  end)
  return '"' .. s .. '"'
end

local function show_number(v)
  if math.type(v) == "integer" then return string.format("%d", v) end
  if v ~= v then return "nan" end
  if v == math.huge then return "inf" end
  if v == -math.huge then return "-inf" end
  local s = string.format("%.17g", v)
  return s:find("[.e]") and s or s .. ".0"
end

local show

local function show_table(t, seen)
  if seen[t] then return "<cycle>" end
  seen[t] = true
  local n = rawlen(t)
  local parts, keyed = {}, {}
  for i = 1, n do parts[i] = show(rawget(t, i), seen) end
  for k, v in next, t do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then
      local name = type(k) == "string" and k:find("^[%a_][%w_]*$") and k or "[" .. show(k, seen)
        .. "]"
      keyed[#keyed + 1] = name .. " = " .. show(v, seen)
    end
  end
  table.sort(keyed)
  table.move(keyed, 1, #keyed, n + 1, parts)
  seen[t] = nil
  return "{" .. table.concat(parts, ", ") .. "}"
end

function show(v, seen)
  local t = type(v)
  if t == "string" then return show_string(v) end
  if t == "number" then return show_number(v) end
  if t == "table" then return show_table(v, seen or {}) end
  if t == "nil" or t == "boolean" then return tostring(v) end
  return t
end

local function show_list(list, from)
  local parts = {}
  for i = from, list.n do parts[#parts + 1] = show(list[i]) end
  return table.concat(parts, ", ")
end

--- Shows a value as text that is the same in every run.
---@param v any
---@return string
function harness.show(v) return show(v) end

--- Runs source text as a chunk named "chunk", so that positions in messages are known.
---@param source string
---@param ... any the chunk's arguments
---@return any ... what the chunk returns
function harness.chunk(source, ...)
  return assert(load(source, "=chunk"))(...)
end

--- Runs one check; gives its line and whether it holds.
---@param name string
---@param fn function
---@param want table the expected results, packed
---@return boolean held
---@return string line
function harness.verdict(name, fn, want)
  local got = table.pack(pcall(fn))
  if not got[1] then
    return false, "not ok " .. name .. ": raised " .. show(got[2])
  end
  local seen, wanted = show_list(got, 2), show_list(want, 1)
  if seen ~= wanted then
    return false, "not ok " .. name .. ": want " .. wanted .. ", got " .. seen
  end
  return true, "ok " .. name .. (seen == "" and "" or " = " .. seen)
end

--- Makes a suite. `mode` is "main", "task" or "coroutine"; `dir` ends in a slash; `report` is
--- called with each check as (name, fn, want).
---@param o {dir: string, mode: string, interpreter: string?, report: function}
---@return table suite what a topic file gets: check, outside, chunk, show, mode, interpreter
function harness.suite(o)
  local suite = {
    chunk = harness.chunk, show = harness.show, mode = o.mode, interpreter = o.interpreter,
  }
  local used = {}
  local topic

  function suite.check(name, fn, ...)
    name = topic .. ": " .. name
    if name:find("[=\n]") then error("a name has no = and no newline: " .. name, 2) end
    if used[name] then error("two checks are named " .. name, 2) end
    used[name] = true
    o.report(name, fn, table.pack(...))
  end

  --- A check of what only holds outside user coroutines.
  function suite.outside(name, fn, ...)
    if o.mode ~= "coroutine" then suite.check(name, fn, ...) end
  end

  --- Runs one topic file.
  function suite.run(name)
    topic = name:gsub("^%d+_", "")
    if name == "22_process" and not o.interpreter then return end
    assert(loadfile(o.dir .. name .. ".lua"))(suite)
  end

  return suite
end

return harness
