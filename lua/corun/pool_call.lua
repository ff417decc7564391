-- SPDX-License-Identifier: MIT
-- Blocking libraries: functions of ordinary modules, called in workers that keep what they return.
-- A keeper is a pool of one worker. One keeps the values of one call, and what their methods
-- return, so that nothing else waits for them; once all are closed or forgotten it is free for
-- another call. Values that cannot cross are proxies here (pool/proxy.h).
local callee = require "corun.pool_callee"
local core = require "corun.poolcore"
local options = require "corun.options"
local sync = require "corun.sync"
local task = require "corun.task"

local shield = task.shield

local MOST_CALLS = 16 -- of functions at once; methods of what they returned are not counted
local MOST_KEEPERS = 256

-- The position in it is that of the line here that called.
local function translate(err)
  if type(err) ~= "string" then return err end
  local message = err:match("^%[corun pool_callee%.lua%]:%d+: (.*)$")
  local where = message and options.here(3)
  return where and where .. ": " .. message or err
end

local function finish(ok, ...)
  if not ok then error(translate(...), 0) end
  return select(2, ...)
end

-- Call a function of callee in the worker of a keeper. `hidden` values are none of the caller's.
local function call(keeper, hidden, fn, ...)
  return finish(pcall(core.call, keeper, hidden, fn, ...))
end

-- Proxies ---------------------------------------------------------------------------------------

local proxy = {} -- the metatable

local methods = {} -- name -> the function that calls the method of that name, once it was wanted

local function check(self, name)
  if getmetatable(self) ~= proxy then
    options.misuse(("calling '%s' on bad self (pool proxy expected, got %s)")
      :format(name, type(self)), 3)
  end
  return core.keeper(self)
end

function proxy:__index(name)
  local method = methods[name]
  if method then return method end
  if type(name) ~= "string" then
    options.misuse(("a proxy of a %s has only methods, no %s")
      :format(core.proxy_name(self), options.show(name)))
  end
  function method(this, ...)
    return call(check(this, name), 3, callee.method, this, name, ...)
  end
  methods[name] = method
  return method
end

function proxy:__call(...)
  return call(core.keeper(self), 2, callee.value, self, ...)
end

-- It was closed, unless the results say otherwise.
local function shut(self, ...)
  if select("#", ...) == 0 or ... then core.shut(self) end
  return ...
end

function methods.close(self, ...)
  local keeper = check(self, "close")
  return shut(self, shield(call, keeper, 3, callee.method, self, "close", ...))
end

function proxy:__close()
  local ok, err = pcall(shield, call, core.keeper(self), 2, callee.leave, self, core.is_open(self))
  -- When its pool was closed the value was, too.
  if not ok and not (type(err) == "table" and err.code == "ECLOSED") then error(err, 0) end
  core.shut(self)
end

function proxy:__tostring()
  return ("pool proxy of a %s (%p)"):format(core.proxy_name(self), self)
end

core.proxy_class(proxy)

-- Keepers ---------------------------------------------------------------------------------------

local calls = {}
calls.__index = calls

---Make what a pool needs for calls.
function calls.new(pool)
  return setmetatable({pool = pool, keepers = {}, turns = sync.semaphore(MOST_CALLS)}, calls)
end

local function find_free(keepers)
  for _, keeper in ipairs(keepers) do
    local jobs, open = core.load(keeper.core)
    if jobs == 0 and open == 0 then return keeper.core end
  end
end

-- A keeper that is free, made if need be.
local function find(self)
  local keepers, pool = self.keepers, self.pool
  if pool.closed then
    error(task.err("ECLOSED", "the pool was closed", {op = "call", target = pool.name}), 0)
  end
  local free = find_free(keepers)
  if free then return free end
  if #keepers >= MOST_KEEPERS then
    collectgarbage() -- some may be bound by what was forgotten
    return find_free(keepers) or error(task.err("EAGAIN", ("%d workers keep values that are open")
      :format(#keepers), {op = "call", target = pool.name}), 0)
  end
  local o = {size = 1, keeps = true}
  for k, v in pairs(pool.made_with) do o[k] = o[k] or v end
  free = core.new(o)
  keepers[#keepers + 1] = {by = core, core = free}
  return free
end

---Call a function of a module in a worker.
function calls:call(module_name, function_name, ...)
  for i, name in ipairs{module_name or false, function_name or false} do
    if type(name) ~= "string" then
      options.misuse(("call needs the name of a %s, got %s")
        :format(i == 1 and "module" or "function", options.show(name or nil)), 3)
    end
  end
  local _ <close> = self.turns:acquire()
  return call(find(self), 1, callee.call, module_name, function_name, ...)
end

return calls
