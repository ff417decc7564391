-- SPDX-License-Identifier: MIT
-- A port of this machine on which nobody listens: for a peer that cannot choose one by itself, or
-- for nobody. Not one of those that the system hands out, which others may get meanwhile; nor one
-- that other specs may be given at the same time (PORTS_OF, see abreast in tools/common.sh), nor
-- one that was given here before all others were: its peer may not listen yet.
local codec = require "corun.codec"
local net = require "corun.net"

local FIRST, SHARES, SHARE = 10000, 64, 355
local KEY = "corun.tests.port" -- the one given last; busted forgets modules from file to file

local share = tonumber(os.getenv("PORTS_OF"))
local first = FIRST + (share or 0) * SHARE
local count = share and SHARE or SHARES * SHARE
local kept = debug.getregistry()

return function()
  while true do
    local at = kept[KEY] and kept[KEY] + 1 or ("I4"):unpack(codec.random(4))
    kept[KEY] = at % count
    local port = first + kept[KEY]
    local listener <close> = net.listen("127.0.0.1:" .. port)
    if listener then return port end
  end
end
