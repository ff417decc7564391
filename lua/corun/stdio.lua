-- SPDX-License-Identifier: MIT
-- The standard streams, opened when first used: corun.stdin, corun.stdout, corun.stderr. One stream
-- for each, kept to the end of the program. What corun itself writes to them goes through `put`,
-- which makes room among the bars of corun.progress.
local core = require "corun.ttycore"

local NAMES = {stdin = true, stdout = true, stderr = true}

local stdio = {}

---Write a text as one piece, now or queued; no checkpoint, never suspends.
---@return true? ok
---@return table? err
function stdio.put(stream, text)
  local bars = rawget(stdio, "bars") -- set by corun.progress while it draws
  if not bars then return core.put(stream, text) end
  return bars(core.put, stream, text)
end

---Give a standard stream, opened now if it is not yet.
---@param name string
---@return table? stream
---@return table? err there was no descriptor for it
function stdio.open(name)
  local known = rawget(stdio, name)
  if known then return known end
  local stream, err = core.open(name)
  if stream then rawset(stdio, name, stream) end
  return stream, err
end

return setmetatable(stdio, {__index = function(_, name)
  if not NAMES[name] then return nil end
  local stream, err = stdio.open(name)
  if not stream then error(err, 0) end
  return stream
end})
