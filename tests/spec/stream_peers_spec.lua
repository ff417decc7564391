-- SPDX-License-Identifier: MIT
-- Streams against peers that behave badly: they cut, reset, stall and flood (S41), in Python; and
-- against socat, over TCP, Unix sockets and UDP, at either end.
local corun = require "corun"
local fs = require "corun.fs"
local net = require "corun.net"
local process = require "corun.process"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local programs = dofile("tests/spec/support/programs.lua")

local assert_error = outcomes.assert_error

local BIG = ("0123456789abcdef"):rep(64):rep(16 * 1024) -- 16 MiB: more than the system takes

-- What Python runs: `s` is the accepted socket.
local PEER = [[
import signal, socket, struct, sys, time
signal.alarm(60)
l = socket.socket()
l.bind(("127.0.0.1", 0))
l.listen(1)
print(l.getsockname()[1], flush=True)
s = l.accept()[0]
]]

local has_python = os.execute("python3 -c '' 2>/dev/null")

-- Connect to a peer that runs `code`; call `fn(stream, peer)`; wait for the peer, which must have
-- ended by itself. `peer` is the file of what it prints.
local function with_peer(code, fn)
  if not has_python then return pending("python3 is not installed") end
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(PEER, code)
  file:close()
  local peer <close> = io.popen("exec python3 " .. path)
  local port = peer:read("l")
  os.remove(path)
  local stream <close> = assert(net.connect("127.0.0.1:" .. port))
  fn(stream, peer)
end

describe("peers that behave badly", function()
  it("one that sends byte by byte", function()
    with_peer([[
for c in b"one\ntwo\nthree": s.send(bytes([c])); time.sleep(0.002)
s.close()]], function(s)
      assert.equal("one", s:read("l"))
      assert.equal("two\n", s:read_until("\n"))
      assert.equal("three", s:read("l"))
      assert.is_nil(s:read("l"))
    end)
  end)

  it("one that resets the connection #prompt", function()
    with_peer([[
s.send(b"before\n")
time.sleep(0.05)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()]], function(s)
      assert.equal("before", s:read("l"))
      assert_error("ECONNRESET", "recv", s:recv())
      assert_error("ECONNRESET", "read", s:read("a"))
      assert_error("EPIPE", "write", s:write("x"))
      assert_error("EPIPE", "write", s:write("x"))
    end)
  end)

  it("one that resets while a write waits", function()
    with_peer([[
time.sleep(0.5)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()]], function(s)
      assert(s:write(BIG))
      local value, err = s:write("more")
      assert.is_nil(value)
      assert.is_true(err.code == "ECONNRESET" or err.code == "EPIPE")
      value, err = s:close()
      assert.is_nil(value)
      assert.equal("close", err.op)
    end)
  end)

  it("one that ends its side and goes on reading", function()
    with_peer([[
s.send(b"request")
s.shutdown(socket.SHUT_WR)
n = 0
while True:
  d = s.recv(65536)
  if not d: break
  n += len(d)
print(n)]], function(s, peer)
      assert.equal("request", s:read("a"))
      for _ = 1, 10 do assert(s:write(("x"):rep(100000))) end
      s:close()
      assert.equal("1000000", peer:read("l"))
    end)
  end)

  it("one that sends a line without end", function()
    with_peer([[
block = b"x" * 1048576
n = 0
try:
  while n < 1024:
    s.sendall(block)
    n += 1
except OSError:
  pass
print(n)]], function(s, peer)
      assert_error("EMSGSIZE", "read", s:read("l"))
      assert_error("EMSGSIZE", "read", s:read("l"))
      assert_error("ETIMEDOUT", "read_until", s:read_until("y", {max = 1 << 40, timeout = 0.02}))
      assert.equal(("x"):rep(100), s:read(100) or "nothing")
      s:close()
      assert.is_true(tonumber(peer:read("l")) < 1024)
    end)
  end)

  it("one that never reads: close gives up and says so", function()
    with_peer([[
time.sleep(0.5)
s.close()]], function(s)
      assert(s:write(BIG))
      local value, err = s:close()
      assert.is_nil(value)
      assert.is_string(err.code)
    end)
  end)
end)

describe("200 clients of a server with 64 descriptors", function()
  it("are served as there are descriptors again, and cost nothing meanwhile", function()
    if not has_python then return pending("python3 is not installed") end
    local stat <close> = io.open("/proc/self/stat")
    if not stat then return pending("no /proc here") end
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write([[
      local corun = require "corun"
      local count, last = 0, corun.event()
      local server = assert(corun.net.serve("127.0.0.1:0", function(s)
        repeat local line = s:read("l") until not line or not s:write(line, "\n")
        count = count + 1 -- also when the client went at the first byte of an answer
        if count == 200 then last:set() end
      end))
      print(server:address():match("%d+$"))
      io.stdout:flush()
      last:wait()
      server:close()]])
    file:close()
    local crowd <close> = io.popen(("python3 tests/fixtures/net/crowd.py '%s' %s 2>&1"):format(
      programs.path(), path))
    local answer = crowd:read("a")
    os.remove(path)
    assert.equal("True 200 True True 0\n", answer)
  end)
end)

local has_socat = os.execute("socat -V >/dev/null 2>&1")

-- Start socat, which listens at `address` and gives what it gets to cat; where that is.
local function echoing(address)
  local p = assert(process.spawn({"socat", "-d", "-d", "-t", "60", address, "EXEC:cat"},
    {stdin = "null"}))
  return p, assert(p.stderr:read_until("\n", {timeout = 60})):match("listening on .- (%S+)\n")
end

describe("socat", function()
  if not has_socat then return pending("socat is not installed") end

  local function assert_echoes(s)
    s:write("line\n")
    assert.equal("line", s:read("l"))
    local writing = corun.spawn(function()
      assert(s:write(BIG))
      assert(s:shutdown())
    end)
    assert.is_true(s:read("a") == BIG)
    writing:await()
  end

  it("sends back over TCP what it gets, and its end after ours", function()
    local p <close>, address = echoing("TCP-LISTEN:0,bind=127.0.0.1")
    local s <close> = assert(net.connect((address:gsub("^AF=2 ", ""))))
    assert_echoes(s)
    assert.is_true(p:wait().ok)
  end)

  it("sends it back over a Unix socket", function()
    local dir <close> = assert(fs.temp{dir = true})
    local path = dir:path() .. "/s"
    local p <close> = echoing("UNIX-LISTEN:" .. path)
    local s <close> = assert(net.connect("unix:" .. path))
    assert_echoes(s)
    assert.is_true(p:wait().ok)
  end)

  it("is served over TCP and Unix sockets", function()
    local dir <close> = assert(fs.temp{dir = true})
    for _, at in ipairs{"127.0.0.1:0", "unix:" .. dir:path() .. "/s"} do
      local server <close> = assert(net.serve(at, function(s)
        s:write(s:read("a"))
      end))
      local address = server:address():gsub("^unix:", "")
      local kind = address:sub(1, 1) == "/" and "UNIX-CONNECT:" or "TCP:"
      local r = assert(process.run({"socat", "-t", "60", "-", kind .. address},
        {input = BIG, max_output = 2 * #BIG}))
      assert.is_true(r.stdout == BIG)
    end
  end)

  it("talks to a UDP socket", function()
    local u <close> = assert(net.udp("127.0.0.1:0"))
    local p <close> = assert(process.spawn{"socat", "-", "UDP:" .. u:address()})
    for _, text in ipairs{"one\n", "two\n"} do
      p.stdin:write(text)
      local data, from = u:recv(nil, {timeout = 60})
      assert.equal(text, data)
      assert(u:send(text:upper(), from))
      assert.equal(text:upper(), p.stdout:read("L", {timeout = 60}))
    end
  end)
end)
