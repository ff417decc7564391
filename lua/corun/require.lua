-- SPDX-License-Identifier: MIT
-- The `require` of corun (S31): that of Lua 5.4 (manual, section 6.3), but a module may suspend at
-- its top level, two tasks that need one module load it once, and a circle is an error instead of
-- an overflow. Owns the table of loads under way.
local task = require "corun.task"

local package, type, error, concat = package, type, error, table.concat
local loaded = debug.getregistry()._LOADED
local current, misuse = task.current, task.misuse

local loading = {} -- name -> load under way
local waiting = setmetatable({}, {__mode = "k"}) -- task -> the load it waits for
local innermost = setmetatable({}, {__mode = "k"}) -- task -> the load it runs

local function find(name)
  local tried = {}
  local searchers = package.searchers
  if type(searchers) ~= "table" then error("'package.searchers' must be a table", 4) end
  for i = 1, math.huge do
    local searcher = searchers[i]
    if searcher == nil then
      error(("module '%s' not found:%s"):format(name, concat(tried)), 4)
    end
    local ok, loader, extra = pcall(searcher, name) -- so that its errors get no position of ours
    if not ok then error(loader, 0) end
    if type(loader) == "function" then return loader, extra end
    if type(loader) == "string" then tried[#tried + 1] = "\n\t" .. loader:gsub("^\n\t", "") end
  end
end

local function run(load, name)
  local loader, extra = find(name)
  local value = loader(name, extra)
  if value ~= nil then loaded[name] = value end
  if loaded[name] == nil then loaded[name] = true end
  load.value, load.extra, load.done = loaded[name], extra, true
  return load.value, extra
end

-- Raise when waiting for `load` would wait for the running task itself.
local function refuse_circle(me, load)
  local names, l = {load.name}, load
  while l do
    local owner = l.owner
    if owner == me then
      local back = innermost[me]
      local path = {}
      while back and back ~= l do
        table.insert(path, 1, back.name)
        back = back.outer
      end
      table.insert(path, 1, l.name)
      for i = 1, #names do path[#path + 1] = names[i] end
      misuse("require loop: " .. concat(path, " -> "))
    end
    l = waiting[owner]
    if l then table.insert(names, l.name) end
  end
end

local function wait_for(me, load)
  refuse_circle(me, load)
  load.event = load.event or require("corun.sync").event()
  waiting[me] = load
  local _ <close> = task.defer(function() waiting[me] = nil end)
  load.event:wait()
end

local function load_now(me, name)
  local load = {name = name, owner = me, outer = innermost[me]}
  loading[name], innermost[me] = load, load
  local _ <close> = setmetatable({}, {__close = function(_, err)
    loading[name], innermost[me] = nil, load.outer
    if err ~= nil and not task.is_cancelled(err) then load.failed, load.err = true, err end
    if load.event then load.event:set() end
  end})
  return run(load, name)
end

return function(...)
  local name = ...
  if type(name) == "number" then name = tostring(name) end
  if type(name) ~= "string" then
    error(("bad argument #1 to 'require' (string expected, got %s)")
      :format(select("#", ...) == 0 and "no value" or type(name)), 2)
  end
  local value = loaded[name]
  if value then return value end
  local me = current()
  while true do
    local load = loading[name]
    if not load then return load_now(me, name) end
    wait_for(me, load)
    if load.done then return load.value, load.extra end
    if load.failed then error(load.err, 0) end
  end
end
