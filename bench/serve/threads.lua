-- SPDX-License-Identifier: MIT
-- Answer each request with what a millisecond of arithmetic gives, in workers that share the port.
-- Usage: threads.lua PORT THREADS
local http = require "corun.http"

local server = assert(http.serve("127.0.0.1:" .. arg[1], function()
  local x = 1
  for _ = 1, 100000 do x = (x * 1103515245 + 12345) & 0x7fffffff end
  return {json = {x = x}}
end, {threads = tonumber(arg[2])}))
print("ready")
io.stdout:flush()
server:wait()
