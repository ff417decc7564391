-- SPDX-License-Identifier: MIT
-- Which TCP ports of a host answer, and what they say first: many connections at once, each with a
-- time limit. Only for machines that are yours: without --host it scans this one, and without ports
-- it opens three of its own among those it scans.
local corun = require "corun"
local net = require "corun.net"

local opt = corun.args{
  host = "127.0.0.1", limit = {256, min = 1}, timeout = {0.5, min = 0}, "[PORTS]",
  help = {"Scan TCP ports.", host = "the machine", limit = "connections at once",
    timeout = "seconds for each", PORTS = "such as 1-1024 (default: around three of our own)"},
}

-- The first line that whoever listens there says by himself, "" if he is silent; nil, err.
local function knock(port)
  local stream <close>, err = net.connect({host = opt.host, port = port}, {timeout = opt.timeout})
  if not stream then return nil, err end
  local line = stream:read("l", {timeout = opt.timeout, max = 200})
  return ((line or ""):gsub("%s+$", ""):gsub("[^ -~]", "?")) -- it must not command the terminal
end

local function refuse(message)
  io.stderr:write("port_scan.lua: ", message, " (--help tells more)\n")
  corun.exit(2)
end

local own = {}
local _ <close> = corun.defer(function() for _, s in ipairs(own) do s:close() end end)
local first, last
if not opt.ports then
  if opt.host ~= "127.0.0.1" then refuse("which ports of " .. opt.host .. "?") end
  for i, greeting in ipairs{"220 mail is here", "SSH-2.0-none", ""} do
    own[i] = assert(net.serve("127.0.0.1:0", function(s)
      if greeting ~= "" then s:write(greeting, "\r\n") else s:recv() end
    end))
    local port = tonumber(own[i]:address():match("%d+$"))
    first, last = math.min(first or port, port), math.max(last or port, port)
  end
  first, last = math.max(1, first - 50), math.min(65535, last + 50)
else
  local low, high = opt.ports:match("^(%d+)%-?(%d*)$")
  first = tonumber(low)
  last = tonumber(high) or first
  if not first or first < 1 or last < first or last > 65535 then
    refuse(("PORTS is one of 1 to 65535, or a range such as 1-1024, got '%s'"):format(opt.ports))
  end
end

local ports, open, refused, silent, failed, why = {}, {}, 0, 0, 0, nil
for port = first, last do ports[#ports + 1] = port end
local start = corun.now()
local results = corun.each(ports, knock, {limit = opt.limit})
for port, banner, err in corun.progress(results, {total = #ports, label = "ports"}) do
  if banner then
    open[#open + 1] = {port, banner}
  elseif err.code == "ECONNREFUSED" then
    refused = refused + 1
  elseif err.code == "ETIMEDOUT" then
    silent = silent + 1
  else
    failed, why = failed + 1, why or tostring(err)
  end
end
table.sort(open, function(a, b) return a[1] < b[1] end)
for _, found in ipairs(open) do
  print((("%5d open  %s"):format(found[1], found[2]):gsub("%s+$", "")))
end
print(("%d open, %d refused, %d without an answer, in %.2f s"):format(#open, refused, silent,
  corun.now() - start))
if failed > 0 then
  io.stderr:write(("port_scan.lua: %d could not be tried: %s\n"):format(failed, why))
  corun.exit(1)
end
