-- SPDX-License-Identifier: MIT
-- http.serve: clients that pause before they take all of an answer, of a server that closes. A Unix
-- socket holds only a part of an answer of 250,000 bytes; the server has queued the rest by the
-- time that it has answered, if its writes are not cut short. The grace of its program is shorter
-- than any pause here.
local corun = require "corun"
local net = require "corun.net"
local process = require "corun.process"
local support = require "tests.spec.support.http"
local tls_support = require "tests.spec.support.tls"

local SIZE = 250000
local SCRIPT = [[
local corun = require "corun"
local folder, size, stall, drain = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local answered = corun.event()
local server = assert(corun.http.serve("unix:" .. folder .. "socket", function(req)
  local wish = req.path == "/last" and "close" or nil
  return {body = ("x"):rep(size), headers = {connection = wish}}
end, {
  stall = stall, log = function() answered:set() end,
  tls = arg[5] and {cert = folder .. "good.pem", key = folder .. "key.pem"},
}))
io.stdout:setvbuf("line")
print("ready")
answered:wait()
print("answered")
server:close{drain = drain}
print("closed")
]]

describe("http.serve, a client that pauses while the server closes #prompt,", function()
  local folder

  setup(function()
    folder = tls_support.make_certificates()
    assert(corun.fs.write(folder .. "server.lua", SCRIPT))
  end)
  teardown(function() tls_support.remove(folder) end)

  -- The program, and a client to which it has answered `path`.
  local function begin(path, o)
    local program = assert(process.spawn{support.corun(), "--grace=0.1",
      folder .. "server.lua", folder, SIZE, o.stall or 60, o.drain or 60, o.tls and "tls"})
    assert.equal("ready", program.stdout:read("l", {timeout = 10}))
    local client = assert(net.connect("unix:" .. folder .. "socket", {
      tls = o.tls and {ca = folder .. "ca.pem", server_name = "localhost"},
    }))
    client:write(("GET %s HTTP/1.1\r\nhost: h\r\n\r\n"):format(path))
    if o.half_closes then client:shutdown() end
    assert.equal("answered", program.stdout:read("l", {timeout = 10}))
    return program, client
  end

  local function assert_gets_all(path, o)
    local program <close>, client = begin(path, o or {})
    local _ <close> = client
    corun.sleep(0.5) -- the pause
    assert.equal(SIZE, #select(3, support.read_response(client)))
    assert.is_nil(client:read(1, {timeout = 10}))
    assert.equal("closed", program.stdout:read("l", {timeout = 10}))
  end

  it("gets all of the answer", function() assert_gets_all("/") end)

  it("gets all of the last answer", function() assert_gets_all("/last") end)

  it("gets all when it has half-closed the connection", function()
    assert_gets_all("/", {half_closes = true})
  end)

  it("gets all over TLS", function() assert_gets_all("/", {tls = true}) end)

  for what, o in pairs{
    ["is given up when it takes nothing for as long as it may pause"] = {stall = 0.2},
    ["is given up when the time to drain is over"] = {drain = 0.2},
  } do
    it(what, function()
      for _, path in ipairs{"/", "/last"} do
        local program <close>, client = begin(path, o)
        local _ <close> = client
        assert.equal("closed", program.stdout:read("l", {timeout = 10}))
      end
    end)
  end
end)
