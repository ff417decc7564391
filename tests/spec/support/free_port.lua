-- SPDX-License-Identifier: MIT
-- A port of this machine on which nobody listens: for a peer that cannot choose one by itself, or
-- for nobody. Not one of those that the system hands out, which others may get meanwhile.
local codec = require "corun.codec"
local net = require "corun.net"

local FIRST, LAST = 10000, 32767

return function()
  while true do
    local port = FIRST + ("I4"):unpack(codec.random(4)) % (LAST - FIRST + 1)
    local listener <close> = net.listen("127.0.0.1:" .. port)
    if listener then return port end
  end
end
