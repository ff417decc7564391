-- SPDX-License-Identifier: MIT
-- Combinators: gather, map, each, race, any. Policy over scopes: each runs its functions as the
-- children of a scope of its own, so that failures, cancellation and the wait for all need no code
-- here.
local task = require "corun.task"
local inside = require "corun.inside"
local options = require "corun.options"
local source = require "corun.source"

local scope, await, try, shield, daemon = task.scope, task.await, task.try, task.shield, task.daemon
local pack, unpack = table.pack, table.unpack
local is_callable = source.is_callable

local DEFAULT_LIMIT = 16

local combine = {}

local task_class -- set at first use: the metatable of a task handle

local function is_task(value)
  return type(value) == "userdata" and getmetatable(value) == task_class
end

local function check_functions(list, operation)
  task_class = task_class or getmetatable(task.current())
  for key, f in pairs(list) do
    if not (is_task(f) or is_callable(f)) then
      options.misuse(("%s needs functions or tasks, got %s for %s")
        :format(operation, type(f), tostring(key)), 3)
    elseif is_task(f) and inside.is_inside(f) then
      options.misuse(("%s cannot wait for %s, which it runs in"):format(operation, tostring(f)), 3)
    end
  end
end

-- Tasks handed over -----------------------------------------------------------------------------

-- The tasks among the arguments, which are treated like the functions' tasks (S9): closing this
-- cancels those whose outcome nobody has got yet, waits for them and raises what they raised.
local adopted = {__name = "adopted tasks"}
adopted.__index = adopted

local function adopt(list)
  local self = setmetatable({open = {}}, adopted)
  for _, f in pairs(list) do
    if is_task(f) then self.open[f] = true end
  end
  return self
end

local function is_cancelled_wait(t, err)
  return task.is_cancelled(err) and not rawequal(err, inside.failure(t))
end

-- Call a function, or give the outcome of a task.
function adopted:call(f)
  if not is_task(f) then return f() end
  local r = pack(pcall(await, f))
  if r[1] or not is_cancelled_wait(f, r[2]) then
    self.open[f] = nil
  else
    f:cancel()
  end
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

function adopted:__close(err)
  if next(self.open) == nil then return end
  local errors = {}
  if err ~= nil and not task.is_cancelled(err) then errors[1] = err end
  for t in pairs(self.open) do t:cancel() end
  shield(function()
    for t in pairs(self.open) do
      try(await, t)
      errors[#errors + 1] = inside.failure(t)
    end
  end)
  if errors[1] ~= nil and not rawequal(errors[1], err) or errors[2] ~= nil then
    error(inside.group(errors), 0)
  end
end

-- gather ----------------------------------------------------------------------------------------

local function gather(list, n)
  local out = {n = n}
  local tasks <close> = adopt(list)
  local function run(key, f)
    local r, e = tasks:call(f)
    if r == nil and e ~= nil then return nil, e end
    out[key] = r
  end
  scope(function(s)
    for key, f in pairs(list) do s:spawn(run, key, f) end
  end)
  return out
end

---Run all at once and return their first results in order, or in a table under their keys.
function combine.gather(...)
  local first = ...
  if select("#", ...) == 1 and type(first) == "table" and not is_callable(first) then
    local list, n = {}, 0
    for key, f in pairs(first) do
      if key ~= "n" then list[key], n = f, n + 1 end
    end
    if is_callable(first.n) then options.misuse("gather returns the number of results as n") end
    check_functions(list, "gather")
    return gather(list, n)
  end
  local list = pack(...)
  list.n = nil
  check_functions(list, "gather")
  local out = gather(list, select("#", ...))
  return unpack(out, 1, out.n)
end

-- map -------------------------------------------------------------------------------------------

local LIMIT = {limit = "count"}

---Call fn with each item, at most `limit` at once; results in order.
function combine.map(src, fn, o)
  o = options.check(o, "map", LIMIT)
  if not is_callable(fn) then options.misuse("map needs a function, got " .. type(fn)) end
  local next_item, closer = source.open(src, "map")
  local _ <close> = closer
  local out, n = {}, 0
  local function run(i, item)
    local r, e = fn(item)
    if r == nil and e ~= nil then return nil, e end
    out[i] = r
  end
  scope(function(s)
    for item in next_item do
      n = n + 1
      s:spawn(run, n, item)
    end
  end, {limit = o.limit or DEFAULT_LIMIT})
  out.n = n
  return out
end

-- each ------------------------------------------------------------------------------------------

local each = {__name = "each iterator"}
each.__index = each

-- Raise what the calls raised, unless that was done; `err` is what ended the loop, if it was that.
local function raise_failure(self, err)
  if not self.failed then return end
  self.failed = false
  if err == nil or task.is_cancelled(err) then error(self.err, 0) end
  error(inside.group {err, self.err}, 0)
end

function each:__call()
  if self.closed then return nil end
  local r = self.results:recv()
  if r then return unpack(r, 1, r.n) end
  self.closed = true
  raise_failure(self)
  return nil
end

function each:__close(err)
  self.closed = true
  if not self.driver:done() then
    self.driver:cancel("the loop was left")
    shield(try, await, self.driver)
  end
  raise_failure(self, err)
end

function each:close()
  each.__close(self)
end

function each:__items()
  return self.length
end

function each:__tostring()
  return ("each iterator (%s)"):format(self.closed and "closed" or "open")
end

---Call fn with each item, at most `limit` at once; iterate over item and results as they come.
function combine.each(src, fn, o)
  o = options.check(o, "each", LIMIT)
  if not is_callable(fn) then options.misuse("each needs a function, got " .. type(fn)) end
  local limit = o.limit or DEFAULT_LIMIT
  local next_item, closer = source.open(src, "each")
  local self = setmetatable({results = require("corun.sync").channel(limit),
    length = source.length(src)}, each)
  local function run(item)
    self.results:send(pack(item, fn(item)))
  end
  local function work(s)
    local _ <close> = closer
    for item in next_item do s:spawn(run, item) end
  end
  self.driver = daemon(function()
    local _ <close> = self.results
    local ok, err = pcall(scope, work, {limit = limit})
    if ok then return end
    if task.is_cancelled(err) then error(err, 0) end
    self.failed, self.err = true, err
  end)
  return self, nil, nil, self
end

-- race ------------------------------------------------------------------------------------------

---Run all at once; return the key and results of the first to end.
function combine.race(cases)
  if type(cases) ~= "table" or next(cases) == nil then
    options.misuse("race needs a table of functions or tasks")
  end
  check_functions(cases, "race")
  local tasks <close> = adopt(cases)
  local winner
  scope(function(s)
    local function finish(key, ...)
      if winner then return end
      winner = pack(key, ...)
      s:cancel("another one was first")
    end
    for key, f in pairs(cases) do
      s:spawn(function() finish(key, tasks:call(f)) end)
    end
  end)
  if not winner then error(task.err("ECANCELED", "all were cancelled", {op = "race"}), 0) end
  return unpack(winner, 1, winner.n)
end

-- any -------------------------------------------------------------------------------------------

local STAGGER = {stagger = "duration"}

---Return the results of the first success; nil and the first error when all fail.
function combine.any(src, fn, o)
  o = options.check(o, "any", STAGGER)
  if fn ~= nil and not is_callable(fn) then
    options.misuse("any needs a function, got " .. type(fn))
  end
  if fn == nil then
    if type(src) ~= "table" then
      options.misuse("any needs a list of functions, or a source and a function, got " .. type(src))
    end
    check_functions(src, "any")
  end
  local tasks <close> = adopt(fn == nil and src or {})
  local next_item, closer = source.open(src, "any")
  local _ <close> = closer
  local stagger, winner, errors = o.stagger or 0, nil, {}
  local function run(item)
    if fn then return fn(item) end
    return tasks:call(item)
  end
  scope(function(s)
    local function attempt(item)
      local r = pack(try(run, item))
      if winner then return end
      if r[1] == nil and r[2] ~= nil then
        errors[#errors + 1] = r[2]
      else
        winner = r
        s:cancel("another one has succeeded")
      end
    end
    for item in next_item do
      local t = s:spawn(attempt, item)
      if stagger > 0 then task.timeout(stagger, await, t) end
    end
  end)
  if winner then return unpack(winner, 1, winner.n) end
  if #errors == 0 then
    return nil, task.err("EINVAL", "there was nothing to try", {op = "any"})
  end
  return nil, inside.group(errors)
end

return combine
