-- SPDX-License-Identifier: MIT
-- WebSocket echo server. Usage: corun echo.lua PORT
local http = require "corun.http"

http.serve("127.0.0.1:" .. arg[1], function(req)
  local ws = req:upgrade()
  for message, kind in ws do ws:send(message, kind) end
end)
print "ready"
