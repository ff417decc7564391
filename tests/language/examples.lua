-- SPDX-License-Identifier: MIT
--- Runs the examples of a document and compares what they print with what the document says.
-- usage: lua5.4 examples.lua FILE     corun examples.lua FILE corun
-- An example is a block fenced as lua. Its expected output stands behind `-->`, in order; a line
-- `--> corun: x` or `--> lua5.4: x` holds for that interpreter alone. Runs of blanks count as one.
-- Under stock Lua the examples that need the module corun are left out. The invariant: nothing that
-- an example sets outlives it.

local harness = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "harness.lua")

local function squeeze(s) return (s:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

-- The examples of a document: {title, source, corun = lines, stock = lines}.
local function parse(name)
  local list, title, block = {}, "", nil
  for line in io.lines(name) do
    if block and line == "```" then
      block.source = table.concat(block.lines, "\n")
      list[#list + 1] = block
      block = nil
    elseif block then
      block.lines[#block.lines + 1] = line
      local text = line:match("%-%->%s?(.*)$")
      if text then
        local who, rest = text:match("^(%l[%w.]*): (.*)$")
        if who ~= "corun" and who ~= "lua5.4" then who, rest = nil, text end
        if who ~= "lua5.4" then table.insert(block.corun, squeeze(rest)) end
        if who ~= "corun" then table.insert(block.stock, squeeze(rest)) end
      end
    elseif line == "```lua" then
      block = {title = title, lines = {}, corun = {}, stock = {}}
    else
      title = line:match("^#+ (.*)$") or title
    end
  end
  return list
end

-- Runs fn; gives the lines that it printed.
local function printed(fn, is_corun)
  local lines = {}
  local original, path = print, package.path
  warn("@off")
  local preload = {}
  for k in pairs(package.preload) do preload[k] = true end
  rawset(_G, "print", function(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    lines[#lines + 1] = squeeze(table.concat(parts, " "))
  end)
  local ok, e = pcall(fn)
  rawset(_G, "print", original)
  package.path = path
  if is_corun then warn("@on") end
  for k in pairs(package.preload) do
    if not preload[k] then package.preload[k], package.loaded[k] = nil, nil end
  end
  if not ok then error(e, 0) end
  return lines
end

-- Calls report(name, fn, want) for each example of a document that this interpreter can run.
local function each(file, is_corun, report)
  for i, example in ipairs(parse(file)) do
    if is_corun or not example.source:find('require "corun"', 1, true) then
      local run = assert(load(example.source, "=example"))
      local body = run
      if is_corun then
        body = function() require("corun").scope(function() run() end) end
      end
      local want = table.pack(is_corun and example.corun or example.stock)
      report(("example %d, %s"):format(i, example.title), function()
        return printed(body, is_corun)
      end, want)
    end
  end
end

local file, who, report = ...
each(file, who == "corun", report or function(name, fn, want)
  print((select(2, harness.verdict(name, fn, want))))
end)
