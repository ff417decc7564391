-- SPDX-License-Identifier: MIT
-- The standard streams, opened when first used: corun.stdin, corun.stdout, corun.stderr. One stream
-- for each, kept to the end of the program.
local core = require "corun.ttycore"

local NAMES = {stdin = true, stdout = true, stderr = true}

return setmetatable({}, {__index = function(streams, name)
  if not NAMES[name] then return nil end
  local stream, err = core.open(name)
  if not stream then error(err, 0) end
  rawset(streams, name, stream)
  return stream
end})
