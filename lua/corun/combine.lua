-- SPDX-License-Identifier: MIT
-- Combinators: gather, map, each, race, any. Policy over scopes: each runs its functions as children
-- of a scope of its own, so that failures, cancellation and the wait for all need no code here.
local task = require "corun.task"
local options = require "corun.options"
local source = require "corun.source"

local scope, await, try, shield, daemon = task.scope, task.await, task.try, task.shield, task.daemon
local pack, unpack = table.pack, table.unpack
local is_callable = source.is_callable

local DEFAULT_LIMIT = 16

local combine = {}

local function is_task(value)
  return type(value) == "userdata" and getmetatable(value) == combine.task_class
end

combine.task_class = nil -- set at first use: the metatable of a task handle

local function check_functions(list, operation)
  combine.task_class = combine.task_class or getmetatable(task.current())
  for key, f in pairs(list) do
    if not (is_task(f) or is_callable(f)) then
      options.misuse(("%s needs functions or tasks, got %s for %s")
        :format(operation, type(f), tostring(key)), 3)
    end
  end
end

-- Wait for a task that was handed over; cancel it and wait on when this task is cancelled (S9).
local function follow(t)
  local _ <close> = task.defer(function()
    if t:done() then return end
    t:cancel()
    try(await, t)
  end)
  return await(t)
end

local function call(f)
  if is_task(f) then return follow(f) end
  return f()
end

-- gather ----------------------------------------------------------------------------------------

local function gather(list, n)
  local out = {n = n}
  local function run(key, f)
    local r, e = call(f)
    if r == nil and e ~= nil then return nil, e end
    out[key] = r
  end
  scope(function(s)
    for key, f in pairs(list) do
      if key ~= "n" then s:spawn(run, key, f) end
    end
  end)
  return out
end

---Run all at once and return their first results in order, or in a table under their keys.
function combine.gather(...)
  local first = ...
  if select("#", ...) == 1 and type(first) == "table" and not is_callable(first) then
    check_functions(first, "gather")
    local n = 0
    for _ in pairs(first) do n = n + 1 end
    return gather(first, n)
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

function each:__call()
  if self.closed then return nil end
  local r = self.results:recv()
  if r then return unpack(r, 1, r.n) end
  self.closed = true
  if self.failed then error(self.err, 0) end
  return nil
end

function each:close()
  self.closed = true
  if self.driver:done() then return end
  self.driver:cancel("the loop was left")
  shield(try, await, self.driver)
end
each.__close = each.close

function each:__tostring()
  return ("each iterator (%s)"):format(self.closed and "closed" or "open")
end

---Call fn with each item, at most `limit` at once; iterate over item and results as they come.
function combine.each(src, fn, o)
  o = options.check(o, "each", LIMIT)
  if not is_callable(fn) then options.misuse("each needs a function, got " .. type(fn)) end
  local limit = o.limit or DEFAULT_LIMIT
  local next_item, closer = source.open(src, "each")
  local self = setmetatable({results = require("corun.sync").channel(limit)}, each)
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
  local winner
  scope(function(s)
    local function finish(key, ...)
      if winner then return end
      winner = pack(key, ...)
      s:cancel("another one was first")
    end
    for key, f in pairs(cases) do
      s:spawn(function() finish(key, call(f)) end)
    end
  end)
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
  if fn == nil then check_functions(src, "any") end
  local next_item, closer = source.open(src, "any")
  local _ <close> = closer
  local stagger, winner, errors = o.stagger or 0, nil, {}
  scope(function(s)
    local function attempt(item)
      local r
      if fn then r = pack(try(fn, item)) else r = pack(try(call, item)) end
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
  return nil, task.group(errors)
end

return combine
