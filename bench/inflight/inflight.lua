-- SPDX-License-Identifier: MIT
-- Many requests in flight at once, each in a task and on a connection of its own.
-- Usage: inflight.lua URL N
local corun = require "corun"

local url, n = arg[1], tonumber(arg[2])
local session = corun.http.session{limit = n}
local answered = 0
corun.scope(function(s)
  for _ = 1, n do
    s:spawn(function()
      local res = assert(session:get(url))
      if res.status == 200 and res.body == "done" then answered = answered + 1 end
    end)
  end
end)
assert(answered == n)
session:close()
