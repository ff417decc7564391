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

return setmetatable(stdio, {__index = function(streams, name)
  if not NAMES[name] then return nil end
  local stream, err = core.open(name)
  if not stream then error(err, 0) end
  rawset(streams, name, stream)
  return stream
end})
