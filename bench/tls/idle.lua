-- SPDX-License-Identifier: MIT
-- What an idle TLS connection with its task costs: one process serves, a child connects, all stay.
-- Usage: idle.lua CERT KEY CONNECTIONS [clients PORT]. Prints "server BYTES client BYTES", each the
-- growth of the resident memory for one connection.
local corun = require "corun"
local net = corun.net

local cert, key, count = arg[1], arg[2], tonumber(arg[3])

local function resident()
  collectgarbage()
  collectgarbage()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmRSS:%s+(%d+)")
    if kb then return tonumber(kb) * 1024 end
  end
end

local function connect(port)
  local own = {ca = cert, server_name = "localhost"}
  local s = assert(net.connect("127.0.0.1:" .. port, {tls = own}))
  assert(s:write("x"))
  assert(s:recv() == "x")
  return s
end

local function clients(port)
  local all, list = {}, {}
  for _ = 1, 20 do all[#all + 1] = connect(port) end
  local before = resident()
  for i = 1, count do list[i] = i end
  corun.map(list, function()
    local s = connect(port)
    all[#all + 1] = s
  end, {limit = 16})
  print((resident() - before) // count)
  io.stdout:flush()
  for _, s in ipairs(all) do s:close() end
end

local function serve()
  local open, done, before = 0, corun.event(), nil
  local server = assert(net.serve("127.0.0.1:0", function(s)
    s:write(assert(s:recv()))
    open = open + 1
    if open == 20 then before = resident() end
    if open == 20 + count then done:set((resident() - before) // count) end
    s:recv()
  end, {tls = {cert = cert, key = key}}))
  local out = os.tmpname()
  local exe = io.popen("readlink /proc/$PPID/exe"):read("l")
  os.execute(("%s %s %s %s %d clients %s >%s &"):format(exe, arg[0], cert, key, count,
    server:address():match("%d+$"), out))
  local own = done:wait()
  local text
  repeat
    corun.sleep(0.05)
    local f <close> = assert(io.open(out))
    text = f:read("a")
  until text:find("\n")
  os.remove(out)
  server:close{drain = 5}
  print(("server %d client %d"):format(own, tonumber(text)))
end

if arg[4] == "clients" then clients(arg[5]) else serve() end
