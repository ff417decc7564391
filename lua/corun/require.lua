-- SPDX-License-Identifier: MIT
-- The `require` of corun (S31): that of Lua 5.4 (manual, section 6.3), but a module may suspend at
-- its top level, two tasks that need one module load it once, and a circle is an error instead of
-- an overflow. Owns the table of loads under way.
local task = require "corun.task"
local inside = require "corun.inside"

local package, type, error, concat = package, type, error, table.concat
local loaded = debug.getregistry()._LOADED
local current, misuse = task.current, inside.misuse
local getinfo = debug.getinfo

-- The parts of corun that scripts do not see stay out of package.loaded, so that messages and
-- tracebacks, which take names from there, call a function by its public name.
local PUBLIC = {corun = true}
for name in ("net fs process tty progress log http json url codec debug pool transfer")
  :gmatch("%a+") do
  PUBLIC["corun." .. name] = true
end
for _, name in ipairs{"corun.task", "corun.inside"} do loaded[name] = nil end

local loading = {} -- name -> load under way
local waiting = setmetatable({}, {__mode = "k"}) -- task -> the load it waits for
local innermost = setmetatable({}, {__mode = "k"}) -- task -> the load it runs

-- Raise with the position of the caller of require, if that is a function of the script, as Lua's
-- own does: fail is 1, find 2, run 3, load_now 4.
local function fail(message)
  local caller = getinfo(5, "S")
  error(message, caller and caller.source:sub(1, 7) ~= "=[corun" and 5 or 0)
end

local function find(name)
  local tried = {}
  local searchers = package.searchers
  if type(searchers) ~= "table" then fail("'package.searchers' must be a table") end
  for i = 1, math.huge do
    local searcher = searchers[i]
    if searcher == nil then
      fail(("module '%s' not found:%s"):format(name, concat(tried)))
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
  if extra == ":corun:" and not PUBLIC[name] then
    load.value, load.extra, load.done = value, extra, true
    return value, extra
  end
  if value ~= nil then loaded[name] = value end
  if loaded[name] == nil then loaded[name] = true end
  load.value, load.extra, load.done = loaded[name], extra, true
  return load.value, extra
end

-- The names of the loads of `owner` under way that began below the depth, the outermost first.
local function names_of(owner, depth)
  local names, load = {}, innermost[owner]
  while load do
    if load.depth < depth then table.insert(names, 1, load.name) end
    load = load.outer
  end
  return names
end

local function raise_loop(names, name)
  local first = 1
  while first < #names and names[first] ~= name do first = first + 1 end
  misuse(("require loop: %s -> %s"):format(concat(names, " -> ", first), name))
end

-- Raise when waiting for `load` would wait for the running task itself. Searches for what cannot go
-- on before that task has ended: those who await it or its loads, altogether; the task that has a
-- scope around it, with its loads that began outside of that scope.
local function refuse_circle(me, load)
  local queue, stuck, path = {me}, {[me] = math.huge}, {[me] = names_of(me, math.huge)}
  local function add(t, behind, depth)
    if depth <= (stuck[t] or -1) then return end
    local names = names_of(t, depth)
    queue[#queue + 1], stuck[t] = t, depth
    path[t] = table.move(path[behind], 1, #path[behind], #names + 1, names)
  end
  for _, t in ipairs(queue) do
    if t == load.owner and load.depth < stuck[t] then raise_loop(path[t], load.name) end
    local joiners, owner, depth = inside.dependents(t)
    for _, joiner in ipairs(joiners) do add(joiner, t, math.huge) end
    if owner then add(owner, t, depth) end
    for waiter, l in pairs(waiting) do
      if l.owner == t and l.depth < stuck[t] then add(waiter, t, math.huge) end
    end
  end
end

local function wait_for(me, load)
  refuse_circle(me, load)
  load.event = load.event or require("corun.sync").event()
  local _ <close> = task.defer(function() waiting[me] = nil end)
  waiting[me] = load
  load.event:wait()
end

-- Where memory ends in the midst of this, the load must not stay under way for ever: so all that is
-- written at its end has its place from the start.
local function load_now(me, name)
  local load = {name = name, owner = me, outer = innermost[me], depth = inside.depth(),
    done = false, value = false, extra = false, failed = false, err = false, event = false}
  local _ <close> = setmetatable({}, {__close = function(_, err)
    loading[name], innermost[me] = nil, load.outer
    if err ~= nil and not task.is_cancelled(err) then load.failed, load.err = true, err end
    if load.event then load.event:set() end
  end})
  loading[name], innermost[me] = load, load
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
