-- SPDX-License-Identifier: MIT
local corun, host = require "corun", require "host"

local greetings = corun.map({...}, function(name)
  corun.sleep(0.1) -- all of them at once
  return host.greet(name)
end)
for _, text in ipairs(greetings) do print(text) end
