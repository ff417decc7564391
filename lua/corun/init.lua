-- SPDX-License-Identifier: MIT
-- The module `corun`: what the C core binds, with the combinators written in Lua and the larger
-- modules loaded when first used. Loaded on the start path: keep it small.
local task = require "corun.task"

local corun = {}
for name, value in pairs(task) do corun[name] = value end

-- Functions that live in a module of their own, loaded on first use.
local lazy = {
  gather = "combine", map = "combine", each = "combine", race = "combine", any = "combine",
  channel = "sync", select = "sync", semaphore = "sync", mutex = "sync", event = "sync",
  signal = "sync",
  stdin = "stdio", stdout = "stdio", stderr = "stdio",
  limiter = "limiter", every = "every", backoff = "backoff", args = "args",
}

-- Modules that are fields of `corun`.
local modules = {
  codec = true, csv = true, debug = true, fs = true, http = true, json = true, log = true,
  net = true, pool = true, process = true, progress = true, transfer = true,
  tty = true, url = true,
}

setmetatable(corun, {
  __index = function(_, name)
    local value
    if lazy[name] then
      value = require("corun." .. lazy[name])
      if type(value) == "table" and value[name] then value = value[name] end
    elseif modules[name] then
      value = require("corun." .. name)
    else
      return nil
    end
    rawset(corun, name, value)
    return value
  end,
})

return corun
