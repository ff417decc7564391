-- SPDX-License-Identifier: MIT
-- 64 workers get and decode one JSON resource with lua-http on cqueues, each over a connection that
-- it keeps: the library has no pool, and its "http.request" connects anew for each request.
-- Usage: lua_http.lua URL N WARM
local cjson = require "cjson"
local cqueues = require "cqueues"
local client = require "http.client"
local headers = require "http.headers"

local url, n, warm = arg[1], tonumber(arg[2]), tonumber(arg[3])
local scheme, host, port, path = url:match("^(%a+)://([%d.]+):(%d+)(/.*)$")

local function connect()
  return assert(client.connect({host = host, port = tonumber(port), tls = scheme == "https",
    version = 1.1}))
end

local function get(connection)
  local h = headers.new()
  h:append(":method", "GET")
  h:append(":scheme", scheme)
  h:append(":authority", host .. ":" .. port)
  h:append(":path", path)
  h:append("accept", "*/*")
  local stream = assert(connection:new_stream())
  assert(stream:write_headers(h, true))
  local answer = assert(stream:get_headers())
  assert(answer:get(":status") == "200")
  return cjson.decode(assert(stream:get_body_as_string())).id
end

local connections, loop = {}, cqueues.new()

local function run(count)
  local left, sum = count, 0
  for i = 1, 64 do
    loop:wrap(function()
      connections[i] = connections[i] or connect()
      while left > 0 do
        left = left - 1
        local id = get(connections[i]) -- meanwhile the others add to the sum
        sum = sum + id
      end
    end)
  end
  assert(loop:loop())
  return sum
end

local function mark(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

run(warm)
mark("begin")
local sum = run(n)
mark("end")
assert(sum == 20413186 * n)
