-- SPDX-License-Identifier: MIT
-- UDP sockets: datagrams with corun and with Python, groups, limits.
local corun = require "corun"
local net = require "corun.net"
local outcomes = dofile("tests/spec/support/outcomes.lua")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting
local assert_raises, assert_misuse = outcomes.assert_raises, outcomes.assert_misuse

local function socket(o)
  return assert(net.udp("127.0.0.1:0", o))
end

-- The error of IPv6 sockets where the machine has none.
local has_ipv6 = (function()
  local u = net.udp("[::1]:0")
  if u then u:close() end
  return u ~= nil
end)()

describe("udp", function()
  it("keeps the bounds of datagrams, and says who sent them", function()
    local a <close> = socket()
    local b <close> = socket()
    for _, text in ipairs{"one", "", ("x"):rep(60000), "\0\255"} do
      assert.is_true(b:send(text, a:address()))
    end
    for _, text in ipairs{"one", "", ("x"):rep(60000), "\0\255"} do
      local data, from, cut = a:recv()
      assert.equal(text, data)
      assert.equal(b:address(), from)
      assert.is_nil(cut)
    end
  end)

  it("reports a datagram that was cut off", function()
    local a <close> = socket()
    local b <close> = socket()
    b:send("abcdef", a:address())
    b:send("abc", a:address())
    assert.same({"abc", b:address(), true, n = 3}, table.pack(a:recv(3)))
    assert.same({"abc", b:address(), n = 2}, table.pack(a:recv(3)))
  end)

  it("connected, takes datagrams of its peer alone", function()
    local a <close> = socket()
    local b <close> = socket()
    local c <close> = socket()
    assert.is_nil(b:peer())
    assert.is_true(b:connect(a:address()))
    assert.equal(a:address(), b:peer())
    assert.is_true(c:send("stranger", b:address()))
    assert.is_true(a:send("friend", b:address()))
    assert.same({"friend", a:address(), n = 2}, table.pack(b:recv()))
    assert.is_true(b:send("back"))
    assert.equal("back", a:recv())
    assert_misuse("send takes no address: the socket is connected", b.send, b,
      "x", a:address())
    assert_misuse("send needs an address: the socket is not connected", a.send, a, "x")
  end)

  it("connected, is told that nobody is there", function()
    local gone = socket()
    local b <close> = socket()
    assert(b:connect(gone:address()))
    gone:close()
    assert(b:send("x"))
    local data, err = b:recv({timeout = 5})
    assert_error("ECONNREFUSED", "recv", data, err)
    assert.equal(b:peer(), err.target)
  end)

  it("sends to names, and from an IPv6 socket to IPv4", function()
    local a <close> = assert(net.udp("*:0"))
    local port = a:address():match("%d+$")
    local b <close> = socket()
    assert.is_true(b:send("by name", "localhost:" .. port))
    assert.is_true(b:send("by table", {host = "127.0.0.1", port = math.tointeger(port)}))
    assert.same({"by name", b:address(), n = 2}, table.pack(a:recv()))
    assert.equal("by table", a:recv())
    assert.is_true(a:send("back", b:address()))
    assert.equal("back", b:recv())
    assert_error("EAI_NONAME", "send", b:send("x", "nobody.invalid:1"))
    if not has_ipv6 then return pending("there is no IPv6") end
    local six <close> = assert(net.udp("[::1]:0"))
    assert.matches("^%[::1%]:%d+$", six:address())
    assert.is_true(six:send("self", six:address()))
    assert.equal("self", six:recv())
    assert_misuse("is of IPv6, the socket of IPv4", b.send, b, "x", six:address())
  end)

  it("gives errors of the system as values", function()
    local a <close> = socket()
    assert_error("EMSGSIZE", "send", a:send(("x"):rep(70000), a:address()))
    assert_error("EACCES", "send", a:send("x", "255.255.255.255:9"))
    assert_error("EADDRINUSE", "udp", net.udp(a:address()))
    assert_error("EADDRNOTAVAIL", "udp", net.udp("192.0.2.1:0"))
    assert_error("ENODEV", "join", a:join("239.1.2.3", "nosuch0"))
  end)

  it("broadcasts when asked to", function()
    local a <close> = socket({broadcast = true, ttl = 3})
    local sent, err = a:send("x", "127.255.255.255:9")
    assert(sent or err.code ~= "EACCES", err)
  end)

  it("receives what is sent to a group while it is a member", function()
    local a <close> = assert(net.udp("0.0.0.0:0", {reuse = true}))
    local b <close> = socket({multicast_loop = true, multicast_ttl = 0})
    local group = "239.255.77.77"
    if not a:join(group, "127.0.0.1") then return pending("there is no multicast") end
    local to = ("%s:%s"):format(group, a:address():match("%d+$"))
    local sent, err = b:send("to all", to)
    if not sent then return pending("there is no multicast: " .. err.message) end
    assert.equal("to all", (a:recv({timeout = 5})))
    assert.is_true(a:leave(group, "127.0.0.1"))
    assert(b:send("gone", to))
    assert_error("ETIMEDOUT", "recv", a:recv({timeout = 0.05}))
    assert_misuse("numeric address of the socket's family", a.join, a, "nowhere")
  end)

  it("S20 a second receiver gets EBUSY; closing ends a call that waits", function()
    local a = socket()
    local receiving = waiting(a.recv, a)
    assert_raises("EBUSY", a.recv, a)
    a:close()
    a:close()
    assert_error("ECLOSED", "recv", receiving:await())
    for _, name in ipairs{"recv", "address", "peer"} do assert_raises("ECLOSED", a[name], a) end
    assert_raises("ECLOSED", a.send, a, "x", "127.0.0.1:9")
    assert.matches("^udp socket %(127%.0%.0%.1:%d+, closed%)$", tostring(a))
    local text
    do
      local b <close> = socket()
      text = tostring(b)
      assert.matches("^udp socket %(127%.0%.0%.1:%d+, open%)$", text)
    end
  end)

  it("S19 a receive that timed out or was cancelled loses no datagram", function()
    local a <close> = socket()
    local b <close> = socket()
    for i = 1, 50 do
      local _, err = a:recv({timeout = 0})
      assert.equal("ETIMEDOUT", err.code)
      local task = waiting(a.recv, a)
      assert(b:send(tostring(i), a:address()))
      task:cancel()
      local got = corun.try(task.await, task) or a:recv({timeout = 5})
      assert.equal(tostring(i), got)
    end
  end)

  it("waits without a limit where its options name none", function()
    local a <close> = socket()
    local b <close> = socket()
    for _, args in ipairs{{{}}, {nil, {}}, {100, {}}} do
      local task = waiting(a.recv, a, table.unpack(args, 1, 2))
      assert(b:send("x", a:address()))
      assert.equal("x", (task:await()))
    end
  end)

  it("S20 nobody takes a datagram before the task that waits for it", function()
    local a <close> = socket()
    local b <close> = socket()
    local first = waiting(a.recv, a)
    assert(b:send("1", a:address()))
    local second
    repeat
      local ok, err = pcall(a.recv, a, {timeout = 0})
      second = not ok and err.code
      corun.yield()
    until first:done()
    assert.equal("1", (first:await()))
    assert(second == "EBUSY" or second == false)
  end)

  it("S13 checks for cancellation before any effect", function()
    local a <close> = socket()
    local b <close> = socket()
    local raised = 0
    corun.scope(function(s)
      s:cancel()
      for _, call in ipairs{{b.send, b, "x", a:address()}, {a.recv, a},
        {b.connect, b, a:address()}} do
        local ok, err = pcall(table.unpack(call))
        if not ok and corun.is_cancelled(err) then raised = raised + 1 end
      end
    end)
    assert.equal(3, raised)
    assert_error("ETIMEDOUT", "recv", a:recv({timeout = 0.01}))
    assert.is_nil(b:peer())
  end)

  it("waits for room instead of failing, and loses no order", function()
    local a <close> = socket()
    local b <close> = socket()
    assert(b:connect(a:address()))
    local n, got = 3000, 0
    corun.scope(function(s)
      s:daemon(function() -- the system drops what it has no room for
        while a:recv() do got = got + 1 end
      end)
      for _ = 1, n do assert(b:send(("x"):rep(1000))) end
      corun.sleep(0.01)
    end)
    assert.is_true(got > 0 and got <= n)
  end)

  it("sends without end, and others still run", function()
    local a <close> = socket()
    local b <close> = socket()
    local turns = 0
    corun.scope(function(s)
      s:daemon(function()
        while true do
          turns = turns + 1
          corun.yield()
        end
      end)
      for _ = 1, 5000 do assert(b:send("x", a:address())) end
    end)
    assert.is_true(turns > 20)
  end)

  it("talks with Python", function()
    local peer <close> = assert(io.popen([[exec python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
for _ in range(100):
    data, peer = s.recvfrom(2000)
    s.sendto(data.upper(), peer)
']]))
    local u <close> = socket()
    assert(u:connect("127.0.0.1:" .. peer:read("l")))
    for i = 1, 100 do
      assert(u:send("message " .. i))
      assert.equal("MESSAGE " .. i, (u:recv({timeout = 20})))
    end
  end)

  it("misuse is answered", function()
    local a <close> = socket()
    assert_misuse("bad address for udp: it must be", net.udp, "x")
    assert_misuse("a Unix socket has no datagrams", net.udp, "unix:/tmp/x")
    assert_misuse("must be numeric, got localhost", net.udp, "localhost:1")
    assert_misuse('unknown option "brodcast" for udp %(did you mean "broadcast"', net.udp, nil,
      {brodcast = true})
    assert_misuse("needs a host", a.send, a, "x", ":1")
    assert_misuse("needs a host", a.send, a, "x", "unix:/tmp/x")
    assert_misuse('unknown option "timout" for recv', a.recv, a, {timout = 1})
    for name, least in pairs{ttl = 1, multicast_ttl = 0} do
      for _, value in ipairs{least - 1, 256, 1.5, math.huge, "64"} do
        assert_misuse(('option "%s" for udp must be %d to 255, got '):format(name, least), net.udp,
          "127.0.0.1:0", {[name] = value})
      end
      for _, value in ipairs{least, 255} do
        assert(net.udp("127.0.0.1:0", {[name] = value})):close()
      end
    end
  end)
end)
