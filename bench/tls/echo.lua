-- SPDX-License-Identifier: MIT
-- TLS echo server. Usage: echo.lua PORT CERT KEY
local net = require("corun").net

local server = assert(net.serve("127.0.0.1:" .. arg[1], function(s)
  while true do
    local data = s:recv()
    if not data then return end
    s:write(data)
  end
end, {tls = {cert = arg[2], key = arg[3]}}))
io.stdout:write("ready\n")
io.stdout:flush()
server:wait()
