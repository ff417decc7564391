-- SPDX-License-Identifier: MIT
-- Unix sockets: the stream methods, the socket's file, peers in Python and nginx's absence of TCP.
local corun = require "corun"
local net = require "corun.net"
local eventually = require "tests.spec.support.eventually"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting
local assert_misuse = outcomes.assert_misuse

-- A name for a socket, in a folder that is removed with all that is in it.
local function temporary()
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  local function remove() os.execute("rm -r " .. dir) end
  return dir .. "/s", setmetatable({}, {__close = remove})
end

local function exists(path)
  return (os.execute(("test -S %s"):format(path)))
end

describe("unix sockets", function()
  it("carry the streams that tcp does", function()
    local path, folder = temporary()
    local _ <close> = folder
    local address = "unix:" .. path
    local l <close> = assert(net.listen(address))
    assert.equal(address, l:address())
    assert.equal(("listener (%s, open)"):format(address), tostring(l))
    corun.scope(function(s)
      s:spawn(function()
        local c <close> = assert(l:accept())
        assert.equal(address, c:address())
        for line in c:lines() do assert(c:write(line:upper(), "\n")) end
        assert(c:write("end"))
      end)
      local c <close> = assert(net.connect({path = path}))
      assert.equal(address, c:peer())
      assert.equal(("unix stream (%s, open)"):format(address), tostring(c))
      for i = 1, 3 do
        assert(c:write("line ", tostring(i), "\n"))
        assert.equal("LINE " .. i, c:read())
      end
      assert.is_true(c:shutdown())
      assert.equal("end", c:read("a"))
    end)
  end)

  it("are waited for while the server's queue is full", function()
    local path, folder = temporary()
    local _ <close> = folder
    path = "unix:" .. path
    local l <close> = assert(net.listen(path, {backlog = 1}))
    local a <close> = assert(net.connect(path)) -- Linux takes one more than the backlog
    local b <close> = assert(net.connect(path))
    assert_error("ETIMEDOUT", "connect", net.connect(path, {timeout = 0.05}))
    local _, err = corun.timeout(0.01, net.connect, path)
    assert.equal("timeout", err.op)
    local clients = {}
    for i = 1, 50 do clients[i] = corun.async(net.connect, path) end
    for _ = 1, 52 do
      local c <close> = assert(l:accept())
      assert(c:write("hello"))
    end
    for _, t in ipairs(clients) do
      local c <close> = assert(t:await())
      assert.equal("hello", c:read("a"))
    end
    assert.equal("hellohello", a:read("a") .. b:read("a"))
  end)

  it("whose queue is full and that end are gone", function()
    local path, folder = temporary()
    local _ <close> = folder
    path = "unix:" .. path
    local l <close> = assert(net.listen(path, {backlog = 1}))
    local a <close> = assert(net.connect(path))
    local b <close> = assert(net.connect(path))
    local late = waiting(net.connect, path)
    eventually("it has seen that", function()
      local tasks = table.concat(corun.debug.tasks(), "\n")
      return tasks:find(path .. ", whose queue is full", 1, true)
    end)
    l:close()
    assert_error("ENOENT", "connect", late:await()) -- the server's file has gone with it
    for _, c in ipairs{a, b} do assert_error("ECONNRESET", "recv", c:recv()) end
  end)

  it("are waited for in the world's time, also under a virtual clock", function()
    local path, folder = temporary()
    local _ <close> = folder
    local r = program.sh(([[timeout -s KILL 20 "$CORUN" -e '
      local corun, net = require "corun", require "corun.net"
      local address = "unix:%s"
      local l = assert(net.listen(address, {backlog = 1}))
      corun.debug.virtual(true)
      local start = corun.now()
      corun.scope(function(s)
        s:spawn(function() for _ = 1, 9 do assert(l:accept()):close() end end)
        for _ = 1, 9 do
          s:spawn(function() assert(net.connect(address, {timeout = 1})):close() end)
        end
      end)
      print(corun.now() - start)']]):format(path))
    assert.equal("", r.err)
    assert.equal("0.0\n", r.out)
  end)

  it("move large amounts with backpressure", function()
    local path, folder = temporary()
    local _ <close> = folder
    local l <close> = assert(net.listen("unix:" .. path))
    local big = ("0123456789abcdef"):rep(4096):rep(128)
    corun.scope(function(s)
      s:spawn(function()
        local c <close> = assert(l:accept())
        assert.equal(#big, #c:read("a"))
      end)
      local c <close> = assert(net.connect("unix:" .. path))
      for i = 1, #big, 65536 do assert(c:write(big:sub(i, i + 65535))) end
    end)
  end)

  it("S41 a time limit of 0 gives what is there, and no more #prompt", function()
    local path, folder = temporary()
    local _ <close> = folder
    local l <close> = assert(net.listen("unix:" .. path))
    local a <close> = assert(net.connect("unix:" .. path))
    local b <close> = assert(l:accept())
    local piece, none = ("x"):rep(60000), {timeout = 0}
    assert(a:write("one\ntwo"))
    assert.equal("one", b:read("l", none))
    assert_error("ETIMEDOUT", "read", b:read("l", none))
    assert.equal("two", b:recv(none))
    for _ = 1, 3 do -- large pieces are read another way
      assert(a:write(piece))
      assert.equal(piece, b:read_exactly(60000, none))
      assert(a:write(piece))
      assert.equal(piece, b:recv(none))
    end
    assert_error("ETIMEDOUT", "recv", b:recv(none))
    assert(a:write("end"))
    assert(a:shutdown())
    assert.equal("end", b:recv(none))
    local got
    repeat got = table.pack(b:recv(none)) until not got[2] -- the end comes with a later poll
    assert.same({n = 1}, got)
  end)

  it("serve: a task for each connection", function()
    local path, folder = temporary()
    local _ <close> = folder
    local server <close> = assert(net.serve({path = path}, function(s)
      assert(s:write(s:read("l"), "!\n"))
    end, {limit = 3, mode = "600"}))
    local got = corun.map({1, 2, 3, 4, 5, 6}, function(i)
      local c <close> = assert(net.connect(server:address()))
      c:write(i, "\n")
      return c:read()
    end)
    assert.same({"1!", "2!", "3!", "4!", "5!", "6!", n = 6}, got)
  end)

  it("remove the file of the socket when they are closed, but no other", function()
    local path, folder = temporary()
    local _ <close> = folder
    local l = assert(net.listen("unix:" .. path))
    assert.is_true(exists(path))
    l:close()
    l:close()
    assert.is_nil(exists(path))
    l = assert(net.listen("unix:" .. path))
    os.remove(path)
    local other <close> = assert(net.listen("unix:" .. path))
    l:close()
    assert.is_true(exists(path))
    assert.equal("unix:" .. path, other:address())
  end)

  it("take the place of a socket that nobody listens to, of no other file", function()
    local path, folder = temporary()
    local _ <close> = folder
    assert(os.execute(([[python3 -c '
import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' %s]]):format(path)))
    local l <close> = assert(net.listen("unix:" .. path))
    assert_error("EADDRINUSE", "listen", net.listen("unix:" .. path))
    assert(net.connect(l:address())):close()
    local file = path .. "x"
    assert(io.open(file, "w")):close()
    assert_error("EADDRINUSE", "listen", net.listen("unix:" .. file))
  end)

  it("do not wait for a listener whose queue is full to see that it is there", function()
    local path, folder = temporary()
    local _ <close> = folder
    local r = program.sh(([[timeout -s KILL 20 "$CORUN" -e '
      local net = require "corun.net"
      local address, waiting, full = "unix:%s", {}
      local l = assert(net.listen(address, {backlog = 1}))
      repeat
        waiting[#waiting + 1], full = net.connect(address, {timeout = 0.05})
      until full
      print(full.code, select(2, net.listen(address)).code)']]):format(path))
    assert.equal("", r.err)
    assert.equal("ETIMEDOUT\tEADDRINUSE\n", r.out)
  end)

  it("have the permissions they are given", function()
    local path, folder = temporary()
    local _ <close> = folder
    for _, mode in ipairs{"600", "660", 438} do
      local _ <close> = assert(net.listen("unix:" .. path, {mode = mode}))
      local ls <close> = assert(io.popen("stat -c %a " .. path))
      assert.equal(type(mode) == "string" and mode or "666", ls:read("l"))
    end
  end)

  it("fail as the system says", function()
    local path, folder = temporary()
    local _ <close> = folder
    assert_error("ENOENT", "connect", net.connect("unix:" .. path))
    assert_error("ENOENT", "listen", net.listen("unix:" .. path .. "/nowhere"))
    assert(io.open(path, "w")):close()
    assert_error("ECONNREFUSED", "connect", net.connect("unix:" .. path))
  end)

  it("S16 S20 accept and read end with a close or a cancellation", function()
    local path, folder = temporary()
    local _ <close> = folder
    local l = assert(net.listen("unix:" .. path))
    local _, err = corun.timeout(0.01, l.accept, l)
    assert.equal("ETIMEDOUT", err.code)
    local c <close> = assert(net.connect("unix:" .. path))
    local s <close> = assert(l:accept())
    assert_error("ETIMEDOUT", "recv", s:recv(nil, {timeout = 0.01}))
    local reading = waiting(s.recv, s)
    local accepting = waiting(l.accept, l)
    s:close()
    l:close()
    assert_error("ECLOSED", "recv", reading:await())
    assert_error("ECLOSED", "accept", accepting:await())
    assert.is_nil(c:recv())
  end)

  it("connect to Python and back", function()
    local path, folder = temporary()
    local _ <close> = folder
    local peer <close> = assert(io.popen(([[exec python3 -c '
import socket, sys
l = socket.socket(socket.AF_UNIX)
l.bind(sys.argv[1])
l.listen(1)
print("ready", flush=True)
s = l.accept()[0]
data = b""
while len(data) < 3: data += s.recv(1000)
s.sendall(data[::-1])
s.recv(1000)
' %s]]):format(path)))
    peer:read("l")
    local c <close> = assert(net.connect("unix:" .. path))
    c:write("abc")
    assert.equal("cba", c:read_exactly(3))
    c:shutdown()
    assert.is_nil(c:recv())
  end)

  it("misuse is answered", function()
    assert_misuse("bad address for connect: the path is empty", net.connect,
      "unix:")
    assert_misuse("must be shorter than 108 bytes", net.connect, "unix:" .. ("x"):rep(108))
    assert_misuse("zero byte", net.listen, "unix:a\0b")
    assert_misuse("a path has no host and no port", net.connect, {path = "/x", port = 1})
    assert_misuse("needs host and port, or path", net.connect, {})
    assert_misuse('"bind" for connect is not for Unix sockets', net.connect, "unix:/x",
      {bind = "127.0.0.1:0"})
    assert_misuse('"mode" for listen is for Unix sockets', net.listen, "127.0.0.1:0",
      {mode = "600"})
    assert_misuse('"mode" for listen must be permissions such as "660", got "999"', net.listen,
      "unix:/x", {mode = "999"})
    for _, mode in ipairs{"", "660\0", "66x"} do
      assert_misuse('"mode" for listen must be permissions', net.listen, "unix:/x", {mode = mode})
    end
    assert_misuse('"mode" for serve must be permissions', net.serve, "unix:/x", print,
      {mode = "999"})
    assert_misuse('"mode" for serve is for Unix sockets', net.serve, "127.0.0.1:0", print,
      {mode = "600"})
    assert_misuse("bad address for serve", net.serve, "x", print)
  end)
end)
