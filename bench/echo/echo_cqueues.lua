-- SPDX-License-Identifier: MIT
-- TCP echo server on cqueues: a coroutine for each connection. Usage: echo_cqueues.lua PORT
local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local cq = cqueues.new()
local server = assert(socket.listen { host = "127.0.0.1", port = tonumber(arg[1]) })
assert(server:listen())

local function serve(c)
  c:setmode("bn", "bn")
  c:onerror(function(_, _, code) return code end) -- end of file for a reset, not a raise
  while true do
    local data = c:read(-65536)
    if not data then break end
    c:write(data)
  end
  c:close()
end

cq:wrap(function()
  while true do
    local c = server:accept { nodelay = true }
    if c then cq:wrap(serve, c) end
  end
end)
io.stdout:write("ready\n")
io.stdout:flush()
assert(cq:loop())
