-- SPDX-License-Identifier: MIT
-- What runs in a worker of a pool: a server takes a job, runs it, takes the next, until it has to
-- end. The first server runs the pool's init before. Loaded by the worker's thread (pool/worker.c),
-- which starts further servers by calling this function without arguments.
local core = require "corun.poolcore"
local task = require "corun.task"

local now = task.now

require "corun.sharecore" -- what comes in messages may be of its types
rawset(_G, "require", require "corun.require")
package.loaded["corun.require"] = nil
rawset(os, "exit", task.exit) -- which raises here (S33)

local take, perform, fail, decode = core.take, core.perform, core.fail, core.decode
local pack, unpack = table.pack, table.unpack
local error, ipairs, pcall, require = error, ipairs, pcall, require -- jobs may change the globals

-- The function of jobs that are parts of a map: seconds that it took, then the results.
local function map(fn, ...)
  local began, items = now(), pack(...)
  for i = 1, items.n do
    local result, err = fn(items[i])
    if result == nil and err ~= nil then error(err, 0) end
    items[i] = result
  end
  return now() - began, unpack(items, 1, items.n)
end

local function call(fn, ...) return fn(...) end

-- What a job is that names modules which are not loaded yet: they may suspend.
local function late(names, to_map, job)
  for _, name in ipairs(names) do require(name) end
  if to_map then return to_map(decode(job)) end
  return call(decode(job))
end

local function prepare()
  for _, name in ipairs(core.missing() or {}) do require(name) end
  local init = core.init()
  if type(init) == "string" then
    require(init)
  elseif init then
    init()
  end
end

-- A server that its own job has cancelled does not come for another.
local service = setmetatable({}, {__close = function(_, err)
  if err ~= nil then core.lose() end
end})

return function(is_first)
  if is_first then prepare() end
  local _ <close> = service
  for job in take do
    local ok, err = pcall(perform, job, map, late)
    if not ok then fail(job, err) end
  end
end
