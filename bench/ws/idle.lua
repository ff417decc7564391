-- SPDX-License-Identifier: MIT
-- What an idle WebSocket with its task costs, and what a broadcast: one process serves, a child
-- connects, all stay. Compression is agreed on, as browsers do. Usage: idle.lua CONNECTIONS. Prints
-- "server BYTES client BYTES cast NS", the growth of the resident memory for one connection, and
-- the CPU time of the server for one connection that a text of 125 B is sent to.
local corun = require "corun"
local http, process = corun.http, corun.process

local count = tonumber(arg[1])
local FIRST, ROUNDS = 100, 20 -- those that are there before memory is looked at; broadcasts

local function resident()
  collectgarbage()
  collectgarbage()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmRSS:%s+(%d+)")
    if kb then return tonumber(kb) * 1024 end
  end
end

-- Connect, and receive for ever; `told` counts what came.
local function clients(url, told)
  local all = {}
  local function open()
    local ws = assert(http.websocket(url))
    all[#all + 1] = ws
    corun.daemon(function()
      for _ in ws do told.n = told.n + 1 end
    end)
  end
  for _ = 1, FIRST do open() end
  corun.sleep(0.2)
  local before = resident()
  for _ = 1, count do open() end
  corun.sleep(0.2)
  print((resident() - before) // count)
  io.stdout:flush()
  while told.n < ROUNDS * #all do corun.sleep(0.01) end
end

local function serve()
  local open, n = {}, 0
  local all_there = corun.event()
  local server <close> = assert(http.serve("127.0.0.1:0", function(req)
    local ws = req:upgrade()
    open[ws], n = true, n + 1
    if n == FIRST + count then all_there:set() end
    ws:recv() -- nothing, until the child has gone
    open[ws] = nil
  end, {limit = 2 * (FIRST + count)}))
  local child <close> = assert(process.spawn({arg[-1], arg[0], count, "ws://" .. server:address()},
    {stdout = "pipe"}))
  while n < FIRST do corun.sleep(0.001) end
  corun.sleep(0.1)
  local before = resident()
  all_there:wait()
  local own, others = (resident() - before) // count, tonumber(child.stdout:read("l"))
  local text, clock = ("x"):rep(125), os.clock()
  for _ = 1, ROUNDS do http.broadcast(open, text) end
  local each = (os.clock() - clock) * 1e9 // (ROUNDS * n)
  child:wait()
  print(("server %d client %d cast %d"):format(own, others, each))
end

if arg[2] then clients(arg[2], {n = 0}) else serve() end
