-- SPDX-License-Identifier: MIT
-- A server of HTTP with fewer descriptors than clients: who has a connection is answered, the
-- others wait in the system's queue, nothing spins, and with the crowd gone all is as before within
-- 2 s.
local corun = require "corun"
local lfs = require "lfs"
local http = require "corun.http"
local net = require "corun.net"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/http.lua")

local CLIENTS, GET = 200, "GET /%d HTTP/1.1\r\nhost: h\r\n\r\n"

local SERVER = [[
  local http = require "corun.http"
  local files = http.static("tests/fixtures/net")
  local server = assert(http.serve("127.0.0.1:0", function(req)
    if req.path == "/crowd.py" then return files(req) end
    return req.path
  end, {idle = tonumber(arg[1])}))
  print(server:address())]]

-- A server whose process may have 64 descriptors.
local function start(idle)
  local path = os.tmpname()
  local f <close> = assert(io.open(path, "w"))
  f:write(SERVER)
  f:close()
  local p = assert(process.spawn{shell = 'ulimit -n 64; exec "$@"', program.path, path, idle,
    stderr = "stdout"})
  local address = p.stdout:read()
  os.remove(path)
  return p, address
end

-- The seconds of processor time that a process has had.
local function cpu(p)
  local f <close> = assert(io.open(("/proc/%d/stat"):format(p.pid)))
  local user, system = f:read("a"):match("%) %S" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
  return (user + system) / 100
end

local function descriptors(p)
  local n = 0
  for _ in lfs.dir(("/proc/%d/fd"):format(p.pid)) do n = n + 1 end
  return n - 2 -- "." and ".."
end

-- Open a crowd of connections with a request on each.
local function crowd(address)
  local clients = {}
  for i = 1, CLIENTS do
    clients[i] = assert(net.connect(address))
    clients[i]:write(GET:format(i))
  end
  return clients
end

describe("http.serve with 64 descriptors and 200 clients #heavy", function()
  it("answers those it has, rests, and is back within 2 s", function()
    local p <close>, address = start(60)
    local _ <close> = corun.defer(p.kill, p, "KILL")
    local clients = crowd(address)
    support.eventually("it has no descriptor left", function() return descriptors(p) >= 64 end)
    for i = 1, 40 do assert.equal("/" .. i, select(3, support.read_response(clients[i]))) end
    assert.equal("ETIMEDOUT", select(2, clients[CLIENTS]:read(1, {timeout = 0.05})).code)
    clients[1]:write("GET /crowd.py HTTP/1.1\r\nhost: h\r\n\r\n") -- a file, which cannot be opened
    local status = support.read_response(clients[1])
    assert.is_true(status == 500 or status == 503, status)
    clients[1]:write(GET:format(7))
    assert.equal("/7", select(3, support.read_response(clients[1])))
    local before = cpu(p)
    corun.sleep(0.5)
    assert.is_true(cpu(p) - before < 0.25, "it spins")

    for _, s in ipairs(clients) do s:close() end
    local start_of_calm = corun.now()
    local s <close> = http.session{base = "http://" .. address}
    for i = 1, 100 do assert.equal("/" .. i, assert(s:get("/" .. i)).body) end
    assert.equal(200, assert(s:get("/crowd.py")).status)
    local took = corun.now() - start_of_calm
    assert.is_true(took < 2, took .. " s")
  end)

  it("answers all of them in the end, as connections idle out", function()
    local p <close>, address = start(0.05)
    local _ <close> = corun.defer(p.kill, p, "KILL")
    local clients = crowd(address)
    for i, s in ipairs(clients) do
      local status, _, body = support.read_response(s)
      assert.same({200, "/" .. i}, {status, body})
      s:close()
    end
  end)
end)
