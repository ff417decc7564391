-- SPDX-License-Identifier: MIT
-- The rules of the house that no ready-made linter knows: `lua5.4 tools/checks.lua FILE...` prints
-- a line for each breach and last "N passed, N failed", counting rules. Part of tools/lint.

local MAX_FILE, MAX_TEST_FILE, MAX_FUNCTION = 650, 1000, 75

-- A layer may include itself and what is named here; main.c may include all.
local LAYERS = {
  base = "", core = "base", io = "core base", net = "io core base", sys = "io core base",
  data = "io core base", http = "net sys data io core base", pool = "net sys data io core base",
  embed = "http pool net sys data io core base",
}

local rules = {}
local function rule(name, pattern, check)
  rules[#rules + 1] = {name = name, pattern = pattern, check = check, breaches = {}}
end

local function each_line(text)
  local n = 0
  return function(next_line)
    n = n + 1
    local line = next_line()
    if line then return n, line end
  end, text:gmatch("([^\n]*)\n")
end

local C = "%.[ch]p?p?$"

rule("includes go downwards only", "^src/", function(path, text, breach)
  local layer = path:match("^src/(%w+)/")
  if not layer then return end
  local allowed = LAYERS[layer]
  if not allowed then return breach(1, "unknown layer " .. layer) end
  for n, line in each_line(text) do
    local target = line:match('^%s*#%s*include%s+"(.-)"')
    if target and target ~= "corun.h" then
      local to = target:match("^(%w+)/")
      if not to then
        breach(n, 'include "' .. target .. '" by its path below src/')
      elseif to ~= layer and not (" " .. allowed .. " "):find(" " .. to .. " ", 1, true) then
        breach(n, layer .. " may not include " .. target)
      end
    end
  end
end)

rule("luaopen_ is in files named mod_", "^src/%w+/", function(path, text, breach)
  if path:find("/mod_[%w_]+%.c$") or not path:find("%.c$") then return end
  for n, line in each_line(text) do
    if line:find("^[%a].*%f[%w]luaopen_corun[%w_]*%s*%(") and not line:find(";%s*$") then
      breach(n, "luaopen_ outside a file named mod_")
    end
  end
end)

local yields
rule("one file suspends", "^src/.*%.c$", function(path, text, breach)
  for n, line in each_line(text) do
    if line:gsub("//.*", ""):find("lua_yieldk?%s*%(") then
      yields = yields or path
      if path ~= yields then breach(n, "lua_yield outside " .. yields) end
    end
  end
end)

-- The functions of Lua that corun replaces speak as Lua's own do.
rule("arguments are checked by core/args.h", "^src/.*%.c$", function(path, text, breach)
  if path == "src/core/coroutine.c" then return end
  for n, line in each_line(text) do
    local name = line:match("luaL_check%a+") or line:match("luaL_opt%a+") or
      line:match("luaL_arg%a+") or line:match("luaL_typeerror")
    if name and name ~= "luaL_checkstack" then
      breach(n, name .. " names neither the method nor the script's line")
    end
  end
end)

rule("no exit below main", "^src/%w+/.*%.c", function(_, text, breach)
  for n, line in each_line(text) do
    if line:gsub("//.*", ""):gsub('".-"', ""):find("%f[%w_]exit%s*%(") then
      breach(n, "only main may leave the process")
    end
  end
end)

rule("extension tests see corun.h alone", "^tests/ext/.*%.c$", function(_, text, breach)
  for n, line in each_line(text) do
    local target = line:match('^%s*#%s*include%s+"(.-)"')
    if target and target ~= "corun.h" then breach(n, "includes " .. target) end
  end
end)

rule("files are not too long", "", function(path, text, breach)
  if not (path:find(C) or path:find("%.lua$") or path:find("%.py$")) then return end
  local _, lines = text:gsub("\n", "")
  local max = path:find("^tests/") and MAX_TEST_FILE or MAX_FILE
  if lines > max then breach(lines, lines .. " lines, at most " .. max) end
end)

rule("functions are not too long", C, function(_, text, breach)
  local start
  for n, line in each_line(text) do
    if line:find("^[%a_].*%)%s*{$") or (line:find("^%s+.*%)%s*{$") and not start) then
      start = start or n
    elseif line == "}" and start then
      if n - start > MAX_FUNCTION then
        breach(start, (n - start) .. " lines, at most " .. MAX_FUNCTION)
      end
      start = nil
    end
  end
end)

rule("files name their licence first", "", function(path, text, breach)
  if not (path:find(C) or path:find("%.lua$") or path:find("%.cmake$") or path:find("%.py$")
    or path:find("^tools/") or path:find("%.sh$")) then return end
  local first, second = text:match("^([^\n]*)\n([^\n]*)")
  if not ((first or "") .. (second or "")):find("SPDX-License-Identifier: MIT", 1, true) then
    breach(1, "no SPDX line")
  end
end)

-- Spelt in two halves, so that this file obeys its own rule.
local NOTES = {"TO" .. "DO", "FIX" .. "ME", "XX" .. "X"}
rule("nothing is left for later", "", function(_, text, breach)
  for n, line in each_line(text) do
    for _, note in ipairs(NOTES) do
      if line:find("%f[%w]" .. note .. "%f[%W]") then breach(n, note) end
    end
  end
end)

rule("no path of one machine", "", function(_, text, breach)
  for n, line in each_line(text) do
    for _, top in ipairs{"work", "root", "home"} do
      local path = line:match("%f[%w/]/" .. top .. "/[%w._/-]+")
      if path then breach(n, path) end
    end
  end
end)

rule("text is clean", "", function(path, text, breach)
  for n, line in each_line(text) do
    if line:find("[ \t]$") then breach(n, "white space at the end") end
    if line:find("\r", 1, true) then breach(n, "carriage return") end
  end
  if text ~= "" and not text:find("\n$") and not path:find("%.json$") then
    breach(1, "no newline at the end of the file")
  end
end)

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("a")
  if file then file:close() end
  return text
end

local BINARY = "^tests/fuzz/corpus/"
for _, path in ipairs(arg) do
  local text = not path:find(BINARY) and read(path)
  if text and not text:find("\0", 1, true) then
    for _, r in ipairs(rules) do
      if path:find(r.pattern) then
        r.check(path, text, function(line, message)
          r.breaches[#r.breaches + 1] = ("%s:%d: %s"):format(path, line, message)
        end)
      end
    end
  end
end

local passed, failed = 0, 0
for _, r in ipairs(rules) do
  if #r.breaches == 0 then passed = passed + 1 else failed = failed + 1 end
  for _, breach in ipairs(r.breaches) do print(breach .. " (" .. r.name .. ")") end
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
