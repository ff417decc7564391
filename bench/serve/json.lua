-- SPDX-License-Identifier: MIT
-- Answer each request with a small JSON text, which is encoded for it. Usage: json.lua PORT
local http = require "corun.http"

local count = 0
local server = assert(http.serve("127.0.0.1:" .. arg[1], function()
  count = count + 1
  return {json = {id = count, message = "Hello, World!", ok = true}}
end, {idle = 600}))
print("ready")
io.stdout:flush()
server:wait()
