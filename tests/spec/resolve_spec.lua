-- SPDX-License-Identifier: MIT
-- Host names: net.resolve, the names that connect and listen are given, Happy Eyeballs (RFC 8305).
-- The name server is Python's (tests/fixtures/net/dns_server.py).
local corun = require "corun"
local net = require "corun.net"
local dns = dofile("tests/spec/support/dns.lua")
local programs = dofile("tests/spec/support/programs.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")

local assert_error = outcomes.assert_error

-- Run the code beside the name server; it must print `expected`. Gives the queries, sorted.
local function asked(expected, code, env)
  local out, queries, r = dns.run(code, env)
  assert.equal("", r.err)
  assert.equal(expected, out)
  assert.equal(0, r.status)
  table.sort(queries)
  return queries
end

describe("net.resolve", function()
  it("gives the addresses of a name, of both families or of one", function()
    local queries = asked([[
::1 127.0.0.1 127.0.0.2
127.0.0.1 127.0.0.2
::1
]], [[
      for _, family in ipairs{0, 4, 6} do
        local ips = assert(net.resolve("a2.b1.test", {family = family ~= 0 and family or nil}))
        print(table.concat(ips, " "))
      end]])
    assert.same({"a2.b1.test A", "a2.b1.test AAAA"}, queries)
  end)

  it("gives all addresses, of which connect tries some of both families", function()
    asked("70\t40\t30\t127.0.0.1\n", [[
      local all = assert(net.resolve("a40.b30.test"))
      local four = assert(net.resolve("a40.b30.test", {family = 4}))
      local six = assert(net.resolve("a40.b30.test", {family = 6}))
      local l = assert(net.listen("127.0.0.1:0"))
      local s = assert(net.connect("a40.b30.test:" .. l:address():match("%d+$")))
      print(#all, #four, #six, s:peer():match("^[%d.]+"))
      corun.exit(0)]], "LD_PRELOAD=") -- c-ares gives up a family when its connection is refused
  end)

  it("says what is wrong with CORUN_DNS", function()
    for _, servers in ipairs{"x", "localhost", "127.0.0.1:70000", "127.0.0.1:0", "127.0.0.1,", ",",
      "[::1]", "[127.0.0.1]:1", "::1:x", "127.0.0.1 , ::1"} do
      local out = programs.run([[
        local net = require "corun.net"
        for _ = 1, 2 do print(net.resolve("a.test")) end]],
        {before = ("CORUN_DNS=%q"):format(servers)})
      local line = "nil\tresolve a.test: the environment variable CORUN_DNS must be a list of name "
        .. 'servers such as "10.0.0.1,[::1]:5353", got "' .. servers .. '" (EINVAL)\n'
      assert.equal(line:rep(2), out)
    end
    for _, servers in ipairs{"127.0.0.1", "127.0.0.1:9", "::1", "[::1]:9,127.0.0.1"} do
      assert.equal("nil\tETIMEDOUT\n", (programs.run([[
        local value, err = require("corun.net").resolve("a.test", {timeout = 0})
        print(value, err.code)]], {before = ("CORUN_DNS=%q"):format(servers)})))
    end
  end)

  it("an interface may be given by its number", function()
    for _, zone in ipairs{"lo", "1"} do
      local addresses = assert(net.resolve("fe80::1%" .. zone))
      assert.same({"fe80::1%lo"}, addresses)
    end
    for _, zone in ipairs{"0", "99999", "1x", "4294967297", "-1"} do
      assert_error("ENODEV", "resolve", net.resolve("fe80::1%" .. zone))
    end
  end)

  it("an address of an interface that is not there is a failure that says so", function()
    local address = "fe80::1%nosuch"
    local _, err = net.connect("[" .. address .. "]:1")
    assert.equal("connect [fe80::1%nosuch]:1: this machine has no such network interface (ENODEV)",
      tostring(err))
    assert_error("ENODEV", "listen", net.listen("[" .. address .. "]:1"))
    assert_error("ENODEV", "resolve", net.resolve(address))
    local u <close> = assert(net.udp())
    assert_error("ENODEV", "send", u:send("x", "[" .. address .. "]:1"))
    local ok, message = pcall(net.connect, "127.0.0.1:1", {bind = "[" .. address .. "]:0"})
    assert.is_false(ok)
    assert.matches('option "bind" for connect: this machine has no network interface "nosuch"',
      message, 1, true)
  end)

  it("knows /etc/hosts and numeric addresses", function()
    local ips = assert(net.resolve("localhost"))
    table.sort(ips)
    assert.equal("127.0.0.1", ips[1])
    for _, name in ipairs{"LOCALHOST", "localhost.", "LocalHost."} do
      local same = assert(net.resolve(name))
      table.sort(same)
      assert.same(ips, same)
    end
    assert.same({"10.1.2.3"}, net.resolve("10.1.2.3"))
    assert.same({"::1"}, net.resolve("0:0::1"))
    assert_error("EAI_NONAME", "resolve", net.resolve("::1", {family = 4}))
  end)

  it("asks once, however many want the name, and keeps the answer for its time", function()
    local queries = asked("20\t20\n", [[
      local n, m = 0, 0
      local function count(ips) n = n + (ips and #ips or 0) end
      corun.scope(function(s)
        for i = 1, 20 do
          s:spawn(function() count(net.resolve(i % 2 == 0 and "d50.a1.test" or "D50.A1.test")) end)
        end
      end)
      for _ = 1, 20 do m = m + #net.resolve("d50.a1.test") end
      print(n, m)]])
    assert.equal(2, #queries)
  end)

  it("asks again when the time of an answer is over, and after a failure", function()
    local queries = asked("127.0.0.1\n127.0.0.1\nEAI_NONAME\nEAI_NONAME\n127.0.0.1\n127.0.0.1\n", [[
      for i, name in ipairs{"ttl0.a1.test", "nx.test", "ttl1.a1.test"} do
        for round = 1, 2 do
          if i == 3 and round == 2 then corun.sleep(1.2) end
          local ips, err = net.resolve(name, {family = 4})
          print(ips and ips[1] or err.code)
        end
      end]])
    assert.equal(12, #queries)
  end)

  it("says what went wrong", function()
    asked([[
nil	resolve nx.test: there is no such host name (EAI_NONAME)
nil	resolve fail.test: no name server has given an answer (EAI_AGAIN)
nil	resolve b1.test: the name has no address of this family (EAI_NONAME)
nil	resolve silent.test: no answer in time (ETIMEDOUT)
nil	connect nx.test:80: there is no such host name (EAI_NONAME)
nil	connect silent.test:80: no connection in time (ETIMEDOUT)
nil	listen nx.test:80: there is no such host name (EAI_NONAME)
]], [[
      print(net.resolve("nx.test"))
      print(net.resolve("fail.test"))
      print(net.resolve("b1.test", {family = 4}))
      print(net.resolve("silent.test", {timeout = 0.05}))
      print(net.connect("nx.test:80"))
      print(net.connect("silent.test:80", {timeout = 0.05}))
      print(net.listen("nx.test:80"))]])
  end)

  -- Without a descriptor neither the hosts file nor the name servers' addresses can be read: the
  -- name is not unknown, and when there are descriptors again all is well.
  it("says that descriptors have run out, and goes on when there are some", function()
    for _, first in ipairs{"", "net.resolve('localhost')"} do
      local out, status = programs.run(([[
        local net, held = require("corun.net"), {}
        %s
        repeat held[#held + 1] = io.open("/dev/null") or false until not held[#held]
        print(net.resolve("localhost"))
        print(net.resolve("nx.test"))
        print(net.connect("localhost:1"))
        print(net.listen("localhost:0"))
        for _, file in ipairs(held) do if file then file:close() end end
        print(#net.resolve("localhost") > 0)]]):format(first), {before = "ulimit -n 40;"})
      assert.equal([[
nil	resolve localhost: too many open files (EMFILE)
nil	resolve nx.test: too many open files (EMFILE)
nil	connect localhost:1: too many open files (EMFILE)
nil	listen localhost:0: too many open files (EMFILE)
true
]], out)
      assert.equal(0, status)
    end
  end)

  it("of names that are not ASCII asks for the ASCII form", function()
    assert.same({"xn--bcher-kva.a1.test A", "xn--bcher-kva.a1.test AAAA"}, asked("127.0.0.1\n", [[
      print(net.resolve("b\u{FC}cher.a1.test")[1])]]))
  end)

  it("S16 a cancelled lookup leaves nothing, and does not keep the others from theirs", function()
    asked("127.0.0.1\tcancelled\n0\t0\ndone\n", [[
      local debug_ = require "corun.debug"
      local kept = corun.async(net.resolve, "d200.a1.test")
      local given_up = corun.async(net.resolve, "d200.a1.test")
      local silent = corun.async(net.resolve, "silent.test")
      corun.sleep(0.05)
      given_up:cancel()
      silent:cancel()
      corun.try(corun.await, given_up)
      print(kept:await()[1], given_up:status())
      local stats = debug_.stats()
      print(stats.jobs, stats.handles)
      corun.timeout(0.02, net.resolve, "silent.test")
      print("done")]])
  end)

  it("a lookup that was given up does not keep the program from its end", function()
    local start = corun.now()
    asked("ETIMEDOUT\n", [[print(select(2, net.connect("silent.test:80", {timeout = 0.05})).code)]])
    assert.is_true(corun.now() - start < 10) -- less than the resolver's own patience

  end)

  it("is not disturbed by a server that talks nonsense", function()
    asked("nil\tETIMEDOUT\n127.0.0.1\n", [[
      local _, err = net.resolve("junk.test", {timeout = 0.2})
      print(nil, err.code)
      print(net.resolve("a1.test")[1])]])
  end)

  it("asks for a thousand names at once #heavy", function()
    local queries = asked("1000\ttrue\n", [[
      local names, n, start = {}, 0, corun.now()
      for i = 1, 1000 do names[i] = ("n%d.d100.a1.test"):format(i) end
      for _, ips in corun.each(names, net.resolve, {limit = 1000}) do n = n + #ips end
      print(n, corun.now() - start < 10)]])
    assert.is_true(#queries >= 2000)
  end)

  it("misuse is answered", function()
    assert.error_matches(function() net.resolve() end, "string expected")
    assert.error_matches(function() net.resolve("") end, "bad name for resolve: the name is empty")
    assert.error_matches(function() net.resolve("a", {family = 5}) end,
      'option "family" for resolve must be 4 or 6, got 5')
    assert.error_matches(function() net.resolve("a", {famly = 4}) end, 'did you mean "family"')
    local raised = false
    corun.scope(function(s)
      s:cancel()
      local ok, err = pcall(net.resolve, "127.0.0.1")
      raised = not ok and corun.is_cancelled(err) -- S13
    end)
    assert.is_true(raised)
  end)
end)

describe("Happy Eyeballs (RFC 8305)", function()
  -- A port where nobody ever answers on [::1], and `answers` does on 127.0.0.1.
  local STALLED = [[
    local six = net.listen("[::1]:0", {backlog = 1})
    local port = six:address():match("%d+$")
    local fill = {}
    repeat fill[#fill + 1] = net.connect("[::1]:" .. port, {timeout = 0.05}) or false
    until not fill[#fill]
    local four = net.listen("127.0.0.1:" .. port)
  ]]

  it("does not wait for an address that does not answer", function()
    asked("127.0.0.1\ttrue\n", STALLED .. [[
      local start = corun.now()
      local s = assert(net.connect("a1.b1.test:" .. port))
      local took = corun.now() - start
      print(s:peer():match("^[%d.]+"), took > 0.2 and took < 2)
      corun.exit(0)]])
  end)

  it("goes on at once after a refusal", function()
    asked("127.0.0.1\ttrue\n", [[
      local four = net.listen("127.0.0.1:0")
      local start = corun.now()
      local s = assert(net.connect("a1.b1.test:" .. four:address():match("%d+$")))
      print(s:peer():match("^[%d.]+"), corun.now() - start < 0.2)
      s:close() four:close()]])
  end)

  it("waits 50 ms for the answer of the other family, not longer", function()
    asked("127.0.0.1\ttrue\n", [[
      local four = net.listen("127.0.0.1:0")
      local start = corun.now()
      local s = assert(net.connect("d6x2000.a1.b1.test:" .. four:address():match("%d+$")))
      print(s:peer():match("^[%d.]+"), corun.now() - start < 1)
      corun.exit(0)]])
  end)

  it("S16 leaves no descriptor of the attempts when it is cancelled or has won", function()
    asked("0\n", STALLED .. [[
      local function descriptors()
        assert(os.execute("ls /proc/$PPID/fd | wc -l >count")) -- a pipe of popen might count
        for line in io.lines("count") do return tonumber(line) end
      end
      net.resolve("a1.b1.test")
      local before = descriptors()
      for _, after in ipairs{0.05, 0.3} do
        corun.timeout(after, function()
          local s <close> = assert(net.connect("a1.b1.test:" .. port))
        end)
      end
      four:close()
      local _, err = net.connect("a1.b1.test:" .. port, {timeout = 0.4})
      assert(err.code == "ETIMEDOUT")
      corun.sleep(0)
      print(descriptors() - before + 1) -- the listener
      corun.exit(0)]])
  end)
end)
