-- SPDX-License-Identifier: MIT
-- Parallel Lua: pools of workers that run functions on other cores. Policy over corun.poolcore:
-- the default pool, how a map is cut into jobs, closing.
local core = require "corun.poolcore"
local combine = require "corun.combine"
local options = require "corun.options"
local share = require "corun.sharecore"
local source = require "corun.source"
local task = require "corun.task"

local scope, shield, yield = task.scope, task.shield, task.yield
local pack, unpack = table.pack, table.unpack
local is_callable = source.is_callable

-- A part of a map should take about this long: a hundred times what handing it over costs.
local PART_SECONDS = 0.002
local MOST_ITEMS = 4096 -- of a part
local MOST_CHUNK = 100000 -- whatever is asked for: a function has not room for a million arguments
local GROWTH = 8 -- a part has at most so many times the items of those before

local pool = {channel = share.channel, buffer = share.buffer, counter = share.counter}

local methods = {}
local class = {__name = "pool", __index = methods}

-- A pool has what does its work (`by`: corun.poolcore or corun.process_pool) and what that knows it
-- by (`core`); those that were made are in `pools`.
local pools = setmetatable({}, {__mode = "k"})

local function check(self, method)
  if not pools[self] then options.self(self, class, method) end
  return self.by, self.core
end

local function add(self)
  pools[self] = true
  return setmetatable(self, class)
end

local function check_function(fn, operation)
  if not is_callable(fn) then
    options.misuse(("%s needs a function, got %s"):format(operation, type(fn)), 3)
  end
end

-- run -------------------------------------------------------------------------------------------

---Call `fn(...)` in a worker and return what it returns.
function methods:run(fn, ...)
  if not pools[self] then check(self, "run") end
  return self.by.run(self.core, fn, ...)
end

-- map -------------------------------------------------------------------------------------------

local MAP = {limit = "count", chunk = "count"}

-- How many items the next part gets: as many as take PART_SECONDS by what was measured, and at the
-- end of a list few enough that no worker is left alone with the last.
local function next_count(state)
  if state.chunk then return state.chunk end
  local n = 1
  if state.items > 0 then
    local each = state.seconds / state.items
    n = each > 0 and PART_SECONDS / each or MOST_ITEMS
    n = math.min(n, state.largest * GROWTH, MOST_ITEMS)
  end
  if state.left then n = math.min(n, state.left / (2 * state.size)) end
  n = math.max(1, n // 1)
  state.largest = math.max(state.largest, n)
  return math.tointeger(n)
end

-- The items of the next part and their number; whether there may be more. An item of a channel that
-- is there now does not wait for others, whose sender may want its result first; a sender in this
-- runtime gets its turn.
local function next_part(next_item, take, most)
  local items, count = {}, 0
  while count < most do
    local item
    if take and count > 0 then
      item = take()
      if item == nil then
        yield()
        item = take()
      end
      if item == nil then return items, count, true end
    else
      item = next_item()
      if item == nil then return items, count, false end
    end
    count = count + 1
    items[count] = item
  end
  return items, count, true
end

---Call fn with each item in the workers; results in order.
function methods:map(src, fn, o)
  local by, p = check(self, "map")
  o = options.check(o, "map", MAP)
  check_function(fn, "map")
  local size = by.stats(p).size
  local next_item, closer, take = source.open(src, "map")
  local _ <close> = closer
  local out, n = {}, 0
  local state = {size = size, chunk = o.chunk and math.min(o.chunk, MOST_CHUNK),
    left = source.length(src), items = 0, seconds = 0, largest = 1}
  local function keep(at, count, seconds, ...)
    state.items, state.seconds = state.items + count, state.seconds + seconds
    local results = pack(...)
    for i = 1, count do out[at + i] = results[i] end
  end
  local function run(at, items, count)
    keep(at, count, by.map(p, fn, unpack(items, 1, count)))
  end
  scope(function(s)
    local more = true
    while more do
      local items, count
      items, count, more = next_part(next_item, take, next_count(state))
      if count > 0 then s:spawn(run, n, items, count) end
      n = n + count
      if state.left then state.left = state.left - count end
    end
  end, {limit = o.limit or 2 * size})
  out.n = n
  return out
end

-- each ------------------------------------------------------------------------------------------

local EACH = {limit = "count"}

---Call fn with each item in the workers; iterate over item and results as they come.
function methods:each(src, fn, o)
  local by, p = check(self, "each")
  o = options.check(o, "each", EACH)
  check_function(fn, "each")
  return combine.each(src, function(item) return by.run(p, fn, item) end,
    {limit = o.limit or 2 * by.stats(p).size})
end

-- call ------------------------------------------------------------------------------------------

---Call a function of a module that blocks; what cannot cross stays there and is called by proxies.
function methods:call(module_name, function_name, ...)
  local by = check(self, "call")
  if by ~= core then options.misuse("call needs a pool of threads, this one has processes") end
  if not self.calls then self.calls = require("corun.pool_call").new(self) end
  return self.calls:call(module_name, function_name, ...)
end

-- once ------------------------------------------------------------------------------------------

local running = {} -- name -> the task that runs its function here

-- What fails here, for lack of memory too, does not take the item of the channel along. `nil, err`
-- is a failure, too (S2): the next who asks tries again.
local function run_once(channel, fn, known)
  local results = pack(fn())
  local is_failure = results[1] == nil and results[2] ~= nil
  channel:try_send(is_failure and known or {results = results})
  return results
end

---Run a function once in the whole program, and return its results to all who ask.
function pool.once(name, fn)
  if type(name) ~= "string" then
    options.misuse("once needs a name, got " .. type(name))
  end
  check_function(fn, "once")
  local me = task.current()
  if running[name] == me then
    options.misuse(('once "%s" waits for itself'):format(name))
  end
  -- The channel holds one item, which says what is known; who has it is alone.
  local channel, is_new = share.common(name)
  if is_new then channel:try_send{} end
  local known = channel:recv()
  if known.results then
    channel:try_send(known)
    return unpack(known.results, 1, known.results.n)
  end
  running[name] = me
  local ok, results = pcall(run_once, channel, fn, known)
  running[name] = nil
  if ok then return unpack(results, 1, results.n) end
  channel:try_send(known) -- the next who asks tries again
  error(results, 0)
end

-- Closing ---------------------------------------------------------------------------------------

local CLOSE = {cancel = "boolean"}

local function close(self, cancel)
  self.by.close(self.core, cancel)
  self.closed = true
  if self.ended then
    self.ended:wait()
    return
  end
  self.ended = require("corun.sync").event()
  self.by.join(self.core)
  self.ended:set()
end

-- Close it and the keepers of its calls, all at once: each has to be joined in the step in which it
-- is closed.
local function close_all(self, cancel)
  scope(function(s)
    local keepers = self.calls and self.calls.keepers or {}
    for _, keeper in ipairs(keepers) do s:spawn(close, keeper, cancel) end
    close(self, cancel)
  end)
end

---Take no more jobs, and wait until those under way have ended and the threads too.
function methods:close(o)
  check(self, "close")
  o = options.check(o, "close", CLOSE)
  shield(close_all, self, o.cancel or false)
end

function class:__close(err)
  shield(close_all, self, err ~= nil)
end

---Counts of the pool at this moment.
function methods:stats()
  local by, p = check(self, "stats")
  local counts = by.stats(p)
  counts.name = self.name
  if by ~= core then return counts end
  counts.keepers, counts.kept = 0, 0
  for _, keeper in ipairs(self.calls and self.calls.keepers or {}) do
    local _, open = core.load(keeper.core)
    counts.keepers = counts.keepers + core.stats(keeper.core).workers
    counts.kept = counts.kept + open
  end
  return counts
end

function class:__tostring()
  local c = self.by.stats(self.core)
  return ("pool %s (%d of %d workers, %d jobs run, %d wait)"):format(self.name, c.workers, c.size,
    c.running, c.queued)
end

-- Making ----------------------------------------------------------------------------------------

local NEW = {size = "count", init = "string|function", name = "string", memory = "count",
  idle = "duration", kind = "string"}
local NEW_OF_PROCESSES = {max_jobs = "count", retries = "amount", crash_limit = "count",
  grace = "duration", program = "string"}
for name, kind in pairs(NEW) do NEW_OF_PROCESSES[name] = kind end

local made = 0

-- Raise where the options are those of another kind of pool.
local function check_new(o)
  local kind = type(o) == "table" and o.kind or "thread"
  if kind == "process" then return options.check(o, "pool.new", NEW_OF_PROCESSES, 3) end
  if kind ~= "thread" then
    options.misuse('option "kind" for pool.new must be "thread" or "process", got '
      .. options.show(kind), 3)
  end
  for name in pairs(type(o) == "table" and o or {}) do
    if NEW_OF_PROCESSES[name] and not NEW[name] then
      options.misuse(('option "%s" for pool.new needs kind = "process"'):format(name), 3)
    end
  end
  return options.check(o, "pool.new", NEW, 3)
end

---Make a pool of workers.
function pool.new(o)
  o = check_new(o)
  made = made + 1
  local spec = {size = o.size, init = o.init, name = o.name or tostring(made), memory = o.memory,
    idle = o.idle}
  local by = core
  if o.kind == "process" then
    by = require "corun.process_pool"
    for name in pairs(NEW_OF_PROCESSES) do spec[name] = spec[name] or o[name] end
  end
  return add{by = by, core = by.new(spec), name = spec.name, made_with = spec}
end

-- The default pool; in a worker the one that it works for.
local default

local function get_default()
  if not default then
    local own = core.own()
    local made_with = {name = "default"}
    default = add{by = core, core = own or core.new(made_with), name = "default",
      made_with = made_with}
  end
  return default
end

function pool.run(fn, ...)
  return core.run((default or get_default()).core, fn, ...)
end

function pool.map(src, fn, o)
  return get_default():map(src, fn, o)
end

function pool.each(src, fn, o)
  return get_default():each(src, fn, o)
end

function pool.call(module_name, function_name, ...)
  return get_default():call(module_name, function_name, ...)
end

---Close the default pool; the next job makes a new one.
function pool.close(o)
  if not default and not core.own() then return end
  local closing = get_default()
  closing:close(o)
  if default == closing then default = nil end -- another task may have made a new one meanwhile
end

function pool.stats()
  return get_default():stats()
end

return pool
