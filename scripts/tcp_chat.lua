-- SPDX-License-Identifier: MIT
-- A chat over TCP: the first line is one's name. `tcp_chat.lua --listen=ADDRESS` is the room,
-- `tcp_chat.lua --join=ADDRESS NAME` a person at the terminal (as `nc HOST PORT`); without either
-- ann hears what two others say, all in one process. Who does not read for 5 s is put out.
local corun = require "corun"
local net = require "corun.net"

local opt = corun.args{
  listen = "", join = "", "[NAME]",
  help = {"Chat over TCP.", listen = "be the room at this address", join = "join the room there",
    NAME = "who you are (guest)"},
}

local members = {} -- stream -> name

-- The result of a call; its error ends the program.
local function must(value, err)
  if value then return value end
  io.stderr:write("tcp_chat.lua: ", tostring(err), "\n")
  corun.exit(1)
end

local function tell_all(...)
  local all = {} -- while a write waits, others may come and go
  for stream in pairs(members) do all[#all + 1] = stream end
  for _, stream in ipairs(all) do
    if members[stream] and not stream:write(...) then -- gone, or the time limit has passed
      members[stream] = nil
      stream:close()
    end
  end
end

-- What others say must not command the terminal of who reads it.
local function read(stream, timeout)
  local line = stream:read("l", {timeout = timeout})
  return line and (line:gsub("%c", ""))
end

local function attend(stream)
  stream:configure{timeout = 5}
  local name = read(stream, 60)
  if not name then return end
  members[stream] = name
  local _ <close> = corun.defer(function() members[stream] = nil end)
  tell_all("* ", name, " is here\n")
  for line in function() return read(stream, math.huge) end do
    tell_all(name, ": ", line, "\n")
  end
  members[stream] = nil
  tell_all("* ", name, " has left\n")
end

local function join(address, name)
  local stream <close> = must(net.connect(address))
  stream:write(name, "\n")
  corun.race{
    room = function() for line in stream:lines() do print(line) end end,
    self = function() for line in corun.stdin:lines() do stream:write(line, "\n") end end,
  }
end

if opt.listen ~= "" then
  local server = must(net.serve(opt.listen, attend))
  print("the room is at " .. server:address())
  return server:wait()
elseif opt.join ~= "" then
  return join(opt.join, opt.name or "guest")
end
local server <close> = must(net.serve("127.0.0.1:0", attend))
local ann <close> = must(net.connect(server:address()))
ann:write("ann\n")
print(ann:read())
for _, name in ipairs{"bob", "cid"} do -- they come, say hello, and go
  local other = must(net.connect(server:address()))
  other:write(name, "\n", "hello from ", name, "\n")
  for _ = 1, 2 do print(ann:read()) end
  other:close()
  print(ann:read())
end
