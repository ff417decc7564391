-- SPDX-License-Identifier: MIT
-- How a connection to an origin is made. Owns nothing; what it has opened belongs to the caller.
local netcore = require "corun.netcore"

local dial = {}

---Where the requests for a parsed URL go: what `connect` needs to know, under `key`, which is the
---same for those that may share connections.
function dial.origin(u)
  return {key = u.origin, address = {host = u.host, port = u.port}}
end

---Connect to an origin within so many seconds.
---@return userdata? stream
---@return table? err
function dial.connect(origin, timeout)
  return netcore.connect(origin.address, {timeout = timeout})
end

return dial
