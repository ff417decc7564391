-- SPDX-License-Identifier: MIT
-- corun.net: connecting, listening, accepting, servers (S38, S41, S42).
local corun = require "corun"
local net = require "corun.net"
local free_port = dofile("tests/spec/support/free_port.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting
local assert_raises, assert_misuse = outcomes.assert_raises, outcomes.assert_misuse
local captured = outcomes.captured

local MIB = 1024 * 1024

local function listen()
  return assert(net.listen("127.0.0.1:0"))
end

local has_ipv6 = (function()
  local l = net.listen("[::1]:0")
  if l then l:close() end
  return l ~= nil
end)()

-- Run `script` in a corun of its own, with `limits` for the shell before it: what it printed, its
-- exit status.
local function run_apart(script, limits)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(script)
  file:close()
  local out <close> = io.popen(("%s exec \"$(readlink /proc/$PPID/exe)\" %s 2>&1"):format(
    limits and limits .. ";" or "", path))
  local text = out:read("a")
  local _, _, status = out:close()
  os.remove(path)
  return text, status
end

local has_proc = os.execute("test -e /proc/self/exe")

describe("connect and listen", function()
  it("give the addresses of both ends", function()
    local l <close> = listen()
    local c <close> = assert(net.connect(l:address()))
    local s <close> = assert(l:accept())
    assert.equal(l:address(), c:peer())
    assert.equal(l:address(), s:address())
    assert.equal(c:address(), s:peer())
    assert.matches("^127%.0%.0%.1:%d+$", c:address())
  end)

  it("take a table", function()
    local l <close> = assert(net.listen{host = "127.0.0.1", port = 0})
    local port = math.tointeger(l:address():match("%d+$"))
    local c <close> = assert(net.connect{host = "127.0.0.1", port = port})
    local s <close> = assert(l:accept())
    c:write("x")
    assert.equal("x", s:recv())
  end)

  it("speak IPv6", function()
    if not has_ipv6 then return pending("no IPv6 here") end
    local l <close> = assert(net.listen("[::1]:0"))
    assert.matches("^%[::1%]:%d+$", l:address())
    local c <close> = assert(net.connect(l:address()))
    local s <close> = assert(l:accept())
    assert.matches("^%[::1%]:%d+$", s:peer())
    s:write("six")
    assert.equal("six", c:read_exactly(3))
    assert_error("ECONNREFUSED", "connect", net.connect("[::1]:" .. free_port()))
  end)

  it("an empty host listens on all interfaces, IPv4 and IPv6", function()
    for _, host in ipairs{"", "*"} do
      local l <close> = assert(net.listen(host .. ":0"))
      local port = l:address():match("%d+$")
      local c <close> = assert(net.connect("127.0.0.1:" .. port))
      local s <close> = assert(l:accept())
      assert.matches("^127%.0%.0%.1:%d+$", s:peer())
      assert(c)
      if has_ipv6 then
        local c6 <close> = assert(net.connect("[::1]:" .. port))
        local s6 <close> = assert(l:accept())
        assert(c6 and s6)
      end
    end
  end)

  it("resolve names, off the loop", function()
    local l <close> = assert(net.listen("localhost:0"))
    local port = l:address():match("%d+$")
    local c <close> = assert(net.connect("localhost:" .. port))
    local s <close> = assert(l:accept())
    assert(c and s)
    assert_error("EAI_NONAME", "connect", net.connect("nobody.invalid:80", {timeout = 20}))
    local _, err = net.connect("localhost:" .. free_port())
    assert.equal("ECONNREFUSED", err.code)
    assert.matches("^connect localhost:%d+: connection refused %(ECONNREFUSED%)$", tostring(err))
  end)

  it("connect fails as a value", function()
    local target = "127.0.0.1:" .. free_port()
    local c, err = net.connect(target)
    assert.is_nil(c)
    assert.same({"ECONNREFUSED", "connect", target, true},
      {err.code, err.op, err.target, err.retryable})
  end)

  it("listen fails as a value", function()
    local l <close> = listen()
    assert_error("EADDRINUSE", "listen", net.listen(l:address()))
    assert_error("EADDRNOTAVAIL", "listen", net.listen("192.0.2.1:0"))
    assert_error("EAI_NONAME", "listen", net.listen("nobody.invalid:0"))
  end)

  it("bind chooses the local address", function()
    local l <close> = listen()
    local c <close> = assert(net.connect(l:address(), {bind = "127.0.0.2:0", nodelay = false}))
    local s <close> = assert(l:accept())
    assert.matches("^127%.0%.0%.2:", s:peer())
    assert.equal(s:peer(), c:address())
    assert_error("EADDRNOTAVAIL", "connect", net.connect(l:address(), {bind = "192.0.2.1:0"}))
    local _, err = net.connect(l:address(), {bind = "[::1]:0"})
    assert.same({"EAFNOSUPPORT", 'the option "bind" is an address of IPv6, the host has none'},
      {err.code, err.message})
  end)

  it("reuse_port shares the connections of one port out", function()
    local a <close> = assert(net.listen("127.0.0.1:0", {reuse_port = true}))
    local b <close> = assert(net.listen(a:address(), {reuse_port = true}))
    assert_error("EADDRINUSE", "listen", net.listen(a:address()))
    local taken = {[a] = 0, [b] = 0}
    corun.scope(function(s)
      for _, l in ipairs{a, b} do
        s:daemon(function()
          while true do
            assert(l:accept()):close()
            taken[l] = taken[l] + 1
          end
        end)
      end
      for _ = 1, 100 do assert(net.connect(a:address())):close() end
      while taken[a] + taken[b] < 100 do corun.sleep(0.001) end
    end)
    assert.is_true(taken[a] > 0 and taken[b] > 0)
  end)

  it("addresses name the interface where they have to", function()
    if not has_ipv6 then return pending("there is no IPv6") end
    local list <close> = io.popen("cat /proc/net/if_inet6 2>/dev/null")
    local hex, name
    for line in list:lines() do
      local h, scope, n = line:match("^(fe80%x+) %x+ %x+ (%x+) %x+ +(%S+)")
      if scope == "20" then hex, name = h, n end
    end
    local address = hex and ("[%s%%%s]:0"):format(hex:gsub("%x%x%x%x", "%0:"):sub(1, -2), name)
      or "[::1%lo]:0"
    local l <close> = assert(net.listen(address))
    if hex then assert.matches("^%[fe80:[%x:]+%%" .. name .. "%]:%d+$", l:address()) end
    local c <close> = assert(net.connect(l:address()))
    assert.equal(l:address(), c:peer())
  end)

  it("misuse is answered", function()
    assert_misuse('unknown option "timout" for connect %(did you mean "timeout"%?%)', net.connect,
      "127.0.0.1:1", {timout = 1})
    assert_misuse('bad address for connect: it must be "host:port"', net.connect, "127.0.0.1")
    assert_misuse('bad address for connect: it must be "host:port"', net.connect, "127.0.0.1:")
    assert_misuse('bad address for connect: it must be "host:port"', net.connect, "127.0.0.1:1x")
    assert_misuse("must be in brackets", net.connect, "::1:80")
    assert_misuse("the port must be 0 to 65535, got 127.0.0.1:65536", net.connect,
      "127.0.0.1:65536")
    assert_misuse("must be a string or a table, got no value", net.connect)
    assert_misuse("needs a host", net.connect, ":80")
    assert_misuse("needs host and port", net.connect, {host = "a"})
    assert_misuse('unknown option "prt" for connect %(did you mean "port"%?%)', net.connect,
      {host = "a", prt = 1})
    assert_misuse("host name is too long", net.connect, ("x"):rep(300) .. ":1")
    assert_misuse("zero byte", net.connect, "a\0b:1")
    assert_misuse('"keepalive" for connect must be', net.connect, "127.0.0.1:1", {keepalive = "x"})
    assert_misuse('"queue" for connect must be a positive', net.connect, "127.0.0.1:1", {queue = 0})
    assert_misuse("must be a numeric address", net.connect, "127.0.0.1:1", {bind = "localhost:0"})
    assert_misuse("number of seconds", net.connect, "127.0.0.1:1", {timeout = -1})
    assert_misuse("bad address for listen", net.listen, "x")
    assert_misuse('"backlog" for listen must be a positive', net.listen, "127.0.0.1:0",
      {backlog = 0})
    assert_misuse("needs a function for the connections, got nil", net.serve, "127.0.0.1:0")
    assert_misuse('unknown option "limits" for serve %(did you mean "limit"%?%)', net.serve,
      "127.0.0.1:0", print, {limits = 1})
  end)
end)

describe("connecting", function()
  -- Call fn with the address of a listener whose queue is full: connecting to it takes long.
  local function with_full_backlog(fn)
    local l <close> = assert(net.listen("127.0.0.1:0", {backlog = 1}))
    local fill = {}
    repeat
      local c = net.connect(l:address(), {timeout = 0.05})
      fill[#fill + 1] = c
    until not c
    local _ <close> = corun.defer(function() for _, c in ipairs(fill) do c:close() end end)
    fn(l:address(), l)
  end

  it("S41 timeout is for connecting", function()
    with_full_backlog(function(address)
      local start = corun.now()
      local c, err = net.connect(address, {timeout = 0.05})
      assert_error("ETIMEDOUT", "connect", c, err)
      assert.equal(address, err.target)
      assert.is_true(corun.now() - start < 1)
      assert_error("ETIMEDOUT", "connect", net.connect(address, {timeout = 0}))
    end)
  end)

  it("S16 a cancelled connect stops at once and leaves nothing", function()
    with_full_backlog(function(address)
      local start = corun.now()
      local _, err = corun.timeout(0.02, net.connect, address)
      assert.equal("ETIMEDOUT", err.code)
      assert.equal("timeout", err.op)
      assert.is_true(corun.now() - start < 1)
    end)
  end)

  it("S16 a cancelled name resolution is abandoned", function()
    local _, err = corun.timeout(0, net.connect, "nobody.invalid:1")
    assert.equal("ETIMEDOUT", err.code)
    local task = waiting(net.connect, "nobody.invalid:1")
    task:cancel()
    _, err = task:await()
    assert.equal("ECANCELED", err.code)
    assert_error("ETIMEDOUT", "connect", net.connect("nobody.invalid:1", {timeout = 0}))
  end)

  it("S13 connect, listen and accept check for cancellation first", function()
    local l <close> = listen()
    local raised = 0
    corun.scope(function(s)
      s:cancel()
      for _, call in ipairs{{net.connect, l:address()}, {net.listen, "127.0.0.1:0"}, {l.accept, l},
        {net.serve, "127.0.0.1:0", print}} do
        local ok, err = pcall(table.unpack(call))
        if not ok and corun.is_cancelled(err) then raised = raised + 1 end
      end
    end)
    assert.equal(4, raised)
  end)
end)

describe("accepting", function()
  it("S20 a closed listener raises; an accept that waits gives nil, ECLOSED", function()
    local l = listen()
    local accepting = waiting(l.accept, l)
    l:close()
    l:close()
    assert_error("ECLOSED", "accept", accepting:await())
    assert_raises("ECLOSED", l.accept, l)
    assert_raises("ECLOSED", l.address, l)
    assert.matches("^listener %(127%.0%.0%.1:%d+, closed%)$", tostring(l))
    assert_misuse("calling 'accept' on bad self %(listener expected, got number%)", l.accept, 1)
  end)

  it("may have a time limit, which loses no connection", function()
    local l <close> = listen()
    assert_error("ETIMEDOUT", "accept", l:accept{timeout = 0.01})
    assert_error("ETIMEDOUT", "accept", l:accept{timeout = 0})
    local others = {}
    for i = 1, 3 do others[i] = waiting(l.accept, l) end
    assert_error("ETIMEDOUT", "accept", l:accept{timeout = 0.01})
    for i = 1, 4 do
      local c <close> = assert(net.connect(l:address()))
      local s <close> = assert(i <= 3 and others[i]:await() or i == 4 and l:accept{timeout = 60})
      assert.equal(c:address(), s:peer())
    end
    assert_misuse('unknown option "timout" for accept %(did you mean "timeout"%?%)', l.accept, l,
      {timout = 1})
  end)

  it("gives what came while the loop was kept from looking, though late #prompt", function()
    local l <close> = listen()
    local accepting = waiting(l.accept, l, {timeout = 1})
    local host, port = l:address():match("^(.*):(%d+)$")
    assert(os.execute(("bash -c 'exec 3<>/dev/tcp/%s/%s && sleep 1.2'"):format(host, port)))
    local s <close> = assert(accepting:await())
    assert.is_nil(s:recv())
  end)

  it("a cancelled accept loses no connection", function()
    local l <close> = listen()
    for _ = 1, 20 do
      local c
      corun.scope(function(s)
        local task = s:async(l.accept, l)
        while task:status() ~= "waiting" do corun.yield() end
        c = assert(net.connect(l:address()))
        task:cancel()
        local stream = corun.try(task.await, task)
        if not stream then stream = assert(l:accept()) end
        c:write("x")
        assert.equal("x", stream:recv())
        stream:close()
      end)
      c:close()
    end
  end)

  it("serves those who wait in order", function()
    local l <close> = listen()
    local order = {}
    corun.scope(function(s)
      for i = 1, 5 do
        local t = s:spawn(function()
          local stream <close> = assert(l:accept())
          order[#order + 1] = i .. stream:read("l")
        end)
        while t:status() ~= "waiting" do corun.yield() end
      end
      for i = 1, 5 do
        local c <close> = assert(net.connect(l:address()))
        c:write(i, "\n")
        c:shutdown()
        c:recv()
      end
    end)
    assert.same({"11", "22", "33", "44", "55"}, order)
  end)

  it("1,000 connections at once", function()
    local l <close> = listen()
    local n = 1000
    local sum = 0
    corun.scope(function(s)
      s:spawn(function()
        for _ = 1, n do
          local stream = assert(l:accept())
          s:spawn(function()
            local _ <close> = stream
            for line in stream:lines() do stream:write(2 * line, "\n") end
          end)
        end
      end)
      for i = 1, n do
        s:spawn(function()
          local c <close> = assert(net.connect(l:address()))
          for k = 1, 3 do
            c:write(i * k, "\n")
            assert.equal(2 * i * k, tonumber(c:read("l")))
          end
          sum = sum + 1
        end)
      end
    end)
    assert.equal(n, sum)
  end)

  it("running out of descriptors is an error, does not spin, and passes", function()
    if not has_proc then return pending("no /proc here") end
    local text, status = run_apart([[
      local corun, net = require "corun", require "corun.net"
      local l = assert(net.listen("127.0.0.1:0"))
      local clients, streams = {}, {}
      local err
      while not err do -- two descriptors for each connection
        local c, e = net.connect(l:address())
        if c then clients[#clients + 1] = c end
        if not c then err = e break end
        local s, e2 = l:accept()
        if s then streams[#streams + 1] = s else err = e2 end
      end
      print(err.code)
      if #clients == #streams then -- the last descriptor shall be that of a client
        streams[#streams]:close()
        streams[#streams] = nil
        clients[#clients + 1] = assert(net.connect(l:address()))
      end
      local before = corun.debug.stats().polls
      local _, e = l:accept()
      print(e.code, e.op, corun.debug.stats().polls - before < 50)
      local waiting = corun.async(function()
        local s
        repeat s = l:accept() until s
        return s
      end)
      local cpu = os.clock()
      corun.sleep(0.3)
      print(waiting:done(), os.clock() - cpu < 0.1)
      streams[1]:close()
      local start = corun.now()
      local s = waiting:await()
      print(s ~= nil, corun.now() - start < 2)
      clients[#clients]:write("served")
      print(s:read_exactly(6))
    ]], "ulimit -n 40")
    assert.equal("EMFILE\nEMFILE\taccept\ttrue\nfalse\ttrue\ntrue\ttrue\nserved\n", text)
    assert.equal(0, status)
  end)
end)

describe("deadlock (S38)", function()
  it("S38 a stream or a listener that no task waits on keeps nothing alive", function()
    if not has_proc then return pending("no /proc here") end
    local text, status = run_apart([[
      local corun, net = require "corun", require "corun.net"
      local l = net.listen("127.0.0.1:0")
      local c = net.connect(l:address())
      local s = l:accept()
      c:write("x")
      s:recv()
      pcall(s.recv, s, {timeout = 0.01}) -- reading has begun, and goes on
      corun.channel():recv()
    ]])
    assert.matches("deadlock", text)
    assert.equal(13, status)
  end)

  it("S38 a task that waits on a stream or a listener waits for the world", function()
    if not has_proc then return pending("no /proc here") end
    for _, wait in ipairs{"l:accept()", "s:recv()"} do
      local text, status = run_apart(([[
        local corun, net = require "corun", require "corun.net"
        local l = net.listen("127.0.0.1:0")
        local c = net.connect(l:address())
        local s = l:accept()
        corun.timeout(0.1, function() %s end)
        print("over", c ~= nil)
      ]]):format(wait))
      assert.equal("over\ttrue\n", text)
      assert.equal(0, status)
    end
  end)

  it("what is queued when the program ends is still sent", function()
    if not has_proc then return pending("no /proc here") end
    local l <close> = listen()
    local reading = waiting(corun.timeout, 60, function()
      local s <close> = assert(l:accept())
      return #s:read("a")
    end)
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write(([[
      local net = require "corun.net"
      local s = assert(net.connect("%s"))
      s:write(("x"):rep(20 * 1024 * 1024))
    ]]):format(l:address()))
    file:close()
    local out <close> = io.popen(("exec \"$(readlink /proc/$PPID/exe)\" %s 2>&1"):format(path))
    assert.equal(20 * MIB, reading:await())
    assert.equal("", out:read("a"))
    os.remove(path)
  end)
end)

describe("serve (S42)", function()
  local function echo(s)
    for line in s:lines("L") do assert(s:write(line)) end
  end

  local function ask(server, text)
    local c <close> = assert(net.connect(server:address()))
    assert(c:write(text))
    c:shutdown()
    return c:read("a")
  end

  it("S42 serves each connection in a task of its own and closes the stream after it", function()
    local kept = {}
    local server = assert(net.serve("127.0.0.1:0", function(s)
      kept[#kept + 1] = s
      echo(s)
    end))
    assert.matches("^server %(127%.0%.0%.1:%d+, 0 connections%)$", tostring(server))
    local out = corun.map({"a\n", "b\n", "c\n"}, function(text) return ask(server, text) end)
    assert.same({"a\n", "b\n", "c\n", n = 3}, out)
    server:close()
    assert.equal(3, #kept)
    for _, s in ipairs(kept) do assert.matches("closed%)$", tostring(s)) end
    assert.matches(", closed%)$", tostring(server))
    server:close()
    server:wait()
  end)

  it("S42 a failure is logged with its traceback and ends that connection alone", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      local what = s:read("l")
      if what == "raise" then error("on purpose") end
      if what == "nothing" then error(nil) end
      if what == "return" then return nil, corun.err("EOOPS", "returned") end
      if what == "child" then
        corun.spawn(function()
          corun.sleep(0.01)
          error("in a child")
        end)
        return
      end
      if what == "cancel" then corun.current():cancel() corun.yield() end
      s:write("fine")
    end))
    local text = captured(function()
      assert.equal("", ask(server, "raise\n"))
      assert.equal("", ask(server, "nothing\n"))
      assert.equal("", ask(server, "return\n"))
      assert.equal("", ask(server, "child\n"))
      assert.equal("", ask(server, "cancel\n"))
      assert.equal("fine", ask(server, "go on\n"))
    end)
    assert.matches("corun: connection from 127%.0%.0%.1:%d+ to 127%.0%.0%.1:%d+ failed: "
      .. "[^\n]*net_spec.lua:%d+: on purpose\nstack traceback:", text)
    assert.matches("failed: nil\nstack traceback:", text)
    assert.matches("failed: returned %(EOOPS%)\n", text)
    assert.matches("net_spec.lua:%d+: in a child\nstack traceback:", text)
  end)

  it("S42 the server is a child of the scope that started it", function()
    local server, c
    local ended = false
    corun.scope(function(s)
      server = assert(net.serve("127.0.0.1:0", function(stream)
        local _ <close> = corun.defer(function() ended = true end)
        stream:recv()
      end))
      c = assert(net.connect(server:address()))
      corun.sleep(0.01)
      assert.equal(1, s:count())
      s:cancel()
    end)
    assert.is_true(ended)
    assert.is_nil(c:recv())
    c:close()
    assert_error("ECONNREFUSED", "connect", net.connect(server:address()))
  end)

  it("S42 limit: the others wait in the system's queue", function()
    local now_open, most = 0, 0
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      now_open = now_open + 1
      most = math.max(most, now_open)
      s:read("l")
      corun.sleep(0.002)
      s:write("done")
      now_open = now_open - 1
    end, {limit = 3}))
    local out = corun.map(function() return nil end, print)
    assert.equal(0, out.n)
    local list = {}
    for i = 1, 12 do list[i] = i end
    corun.map(list, function() assert.equal("done", ask(server, "x\n")) end)
    assert.equal(3, most)
  end)

  it("S42 close drains for so long, then cancels", function()
    local function server_with(handler)
      local server = assert(net.serve("127.0.0.1:0", handler))
      local c = assert(net.connect(server:address()))
      c:write("x")
      while not tostring(server):find("1 connection)", 1, true) do corun.sleep(0.001) end
      return server, c
    end
    local server, c = server_with(function(s)
      s:recv()
      corun.sleep(0.05)
      s:write("in time")
    end)
    local start = corun.now()
    server:close{drain = 10}
    assert.is_true(corun.now() - start < 5)
    assert.equal("in time", c:read("a"))
    c:close()

    local cut = false
    server, c = server_with(function(s)
      local _ <close> = corun.defer(function() cut = true end)
      s:recv()
      corun.sleep(60)
    end)
    server:close{drain = 0.02}
    assert.is_true(cut)
    c:close()

    server, c = server_with(function() corun.sleep(60) end)
    corun.timeout(0.02, server.close, server, {drain = 60}) -- cancelled: it closes at once
    assert.is_true(server.task:done())
    c:close()

    server, c = server_with(function() corun.sleep(60) end)
    local slow = waiting(server.close, server, {drain = 60})
    server:close()
    slow:await()
    c:close()
  end)

  it("S42 a handler may close its server", function()
    local server
    server = assert(net.serve("127.0.0.1:0", function(s)
      s:read("l")
      server:close{drain = 1}
      s:write("bye")
    end))
    assert.equal("bye", ask(server, "x\n"))
    server:wait()
  end)

  it("S42 errors of listening are values", function()
    local l <close> = listen()
    assert_error("EADDRINUSE", "listen", net.serve(l:address(), print))
  end)

  it("survives clients that come and go", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      while true do
        local d = s:recv()
        if not d then return end
        s:write(d)
      end
    end))
    corun.scope(function(s)
      for i = 1, 200 do
        s:spawn(function()
          local c <close> = assert(net.connect(server:address()))
          if i % 3 == 0 then return end
          c:write(("x"):rep(i * 100))
          if i % 3 == 1 then return end
          assert.equal(i * 100, #c:read_exactly(i * 100))
        end)
      end
    end)
    assert.equal("x\n", ask(server, "x\n"))
  end)
end)
