-- SPDX-License-Identifier: MIT
-- TCP echo server: a task for each connection. Usage: echo.lua PORT
local net = require "corun.net"

local server = assert(net.serve("127.0.0.1:" .. arg[1], function(s)
  while true do
    local data = s:recv()
    if not data then return end
    s:write(data)
  end
end))
io.stdout:write("ready\n")
io.stdout:flush()
server:wait()
