-- SPDX-License-Identifier: MIT
-- Gets and decodes a JSON resource of many hosts, so many times from each, 100 hosts at once.
-- CORUN_DNS names the name server. Usage: hosts.lua PORT HOSTS TIMES
local corun = require "corun"

local port, hosts, times = arg[1], tonumber(arg[2]), tonumber(arg[3])
local session = corun.http.session()

local function url(i) return ("http://h%d.bench.test:%s/item.json"):format(i, port) end

local function mark(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

assert(session:getjson(url(0))) -- what is loaded at first use is there now
mark("begin")
local urls, sum = {}, 0
for i = 1, hosts do urls[i] = url(i) end
for _, of_host in corun.each(urls, function(u)
  local n = 0
  for _ = 1, times do n = n + assert(session:getjson(u)).id end
  return n
end, {limit = 100}) do
  sum = sum + of_host
end
mark("end")
assert(sum == 20413186 * hosts * times)
session:close()
