-- SPDX-License-Identifier: MIT
-- TLS against peers and networks that behave badly: they cut, stall, dribble, damage, inject, or
-- speak something else. What is told apart, and that servers go on.
local corun = require "corun"
local net = require "corun.net"
local program = dofile("tests/fixtures/cli/program.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")
local support = dofile("tests/spec/support/tls.lua")

local assert_error, waiting, port = outcomes.assert_error, outcomes.waiting, support.port
local with = support.with

local folder, good, trust

local function prepare()
  folder = support.make_certificates()
  good = {cert = folder .. "good.pem", key = folder .. "key.pem", server = true}
  trust = {ca = folder .. "ca.pem", server_name = "localhost"}
end

-- Call fn with both ends of a plain connection.
local function with_plain(fn)
  local l <close> = assert(net.listen("127.0.0.1:0"))
  local c <close> = assert(net.connect(l:address()))
  local s <close> = assert(l:accept())
  return fn(c, s)
end

-- Call fn with both ends of one with TLS on top of it.
local function with_pair(fn, client_o)
  return with_plain(function(c, s)
    local shaken = corun.async(s.starttls, s, good)
    assert(c:starttls(with(trust, client_o or {})))
    assert(shaken:await())
    return fn(c, s)
  end)
end

-- A function that damages the first byte in each record of what it is given piece by piece,
-- once `is_armed()`.
local function damager(is_armed)
  local head, left, first = "", 0, false
  return function(data)
    return (data:gsub(".", function(c)
      if left == 0 then
        head = head .. c
        if #head == 5 then head, left, first = "", (">I2"):unpack(head, 4), true end
        return nil
      end
      local hurt = first and is_armed()
      left, first = left - 1, false
      return hurt and string.char(c:byte() ~ 1) or nil
    end))
  end
end

-- The client's end of a connection through a relay, and the server's.
local function with_relay(o, fn, client_o)
  local accepted = corun.channel(1)
  local server <close> = support.echo(with(good, {server = true}), function(s)
    accepted:send(s)
    corun.sleep(60)
  end)
  local relay <close> = support.relay(server:address(), o)
  local c <close> = assert(net.connect(relay:address(), {tls = with(trust, client_o)}))
  return fn(c, accepted:recv())
end

describe("tls that is cut", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("the end with close_notify is the end, the end without it an error", function()
    for _, o in ipairs{{max = "1.2"}, {min = "1.3"}} do
      with_pair(function(c, s)
        s:write("all of it")
        s:close()
        assert.equal("all of it", c:read("a"))
        assert.is_nil(c:recv())
        assert.equal(0, select("#", select(3, c:recv())))
      end, o)
    end
    local cut = false
    with_relay({seen = function(data, from)
      if cut and from == "server" then return "" end
      return data
    end}, function(c, s)
      s:write("part of it")
      assert.equal("part of it", c:read_exactly(10))
      cut = true -- from now on the relay swallows what the server says, close_notify too
      s:close()
      local data, err = c:read("a")
      assert_error("ETLS", "read", data, err)
      assert.equal("the connection was cut without close_notify", err.message)
      assert.is_true(err.retryable)
      assert_error("ETLS", "recv", c:recv())
    end)
  end)

  it("at every byte, no cut is taken for the end", function()
    local text = ("0123456789"):rep(30)
    local server <close> = support.echo(good, function(s)
      s:write(text)
    end)
    local o, passed = {}, 0
    o.seen = function(data, from)
      if from == "server" then passed = passed + #data end
    end
    local relay <close> = support.relay(server:address(), o)
    local own = with(trust, {session = false})
    -- What a client gets when so much comes through.
    local function visit()
      local c, err = net.connect(relay:address(), {tls = own, timeout = 10})
      if not c then return nil, err end
      local _ <close> = c
      return c:read("a", {timeout = 10})
    end
    assert.equal(text, visit())
    local all = passed -- signatures differ in length by a few bytes
    local tries, ended = 0, 0
    outcomes.captured(function()
      for cut = 0, all - 40, 3 do
        o.cut = cut
        local data, err = visit()
        tries = tries + 1
        assert.is_nil(data)
        if err.code == "ETLS" then ended = ended + 1 else assert.equal("ECONNRESET", err.code) end
        assert.is_true(err.retryable, tostring(err))
      end
    end)
    assert.is_true(ended > tries * 0.9, ("%d of %d"):format(ended, tries))
  end)

  it("a peer that resets the connection", function()
    with_plain(function(c, s)
      local shaking = waiting(c.starttls, c, trust)
      s:close()
      local _, err = shaking:await()
      assert.is_true(err.code == "ETLS" or err.code == "ECONNRESET")
      assert.equal("starttls", err.op)
    end)
  end)

  it("a peer that says during the handshake that it closes", function()
    with_plain(function(c, s)
      local shaking = waiting(c.starttls, c, trust)
      support.read_record(s)
      s:write("\x15\x03\x03\0\2\1\0")
      local value, err = shaking:await()
      assert_error("ETLS", "starttls", value, err)
      assert.equal("the peer closed the connection during the handshake", err.message)
    end)
  end)

  it("a peer that closes during the handshake", function()
    with_plain(function(c, s)
      local shaking = waiting(c.starttls, c, trust)
      support.read_record(s)
      s:close()
      local value, err = shaking:await()
      assert_error("ETLS", "starttls", value, err)
      assert.equal("the peer closed the connection during the handshake", err.message)
      assert.is_true(err.retryable)
      assert.matches("closed", tostring(c))
    end)
  end)
end)

describe("tls that is slow", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("byte by byte is as good as at once", function()
    local server <close> = support.echo(good)
    local relay <close> = support.relay(server:address(), {chunk = 1})
    for _, version in ipairs{"1.2", "1.3"} do
      local c <close> = assert(net.connect(relay:address(), {tls = with(trust, {max = version})}))
      local text = ("slow"):rep(200) .. "\n"
      c:write(text)
      assert.equal(text, c:read("L"))
    end
  end)

  it("S41 the time limit of connect is for the handshake too", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local start = corun.now()
    local c, err = net.connect(l:address(), {tls = trust, timeout = 0.05})
    assert_error("ETIMEDOUT", "connect", c, err)
    assert.equal("the TLS handshake took too long", err.message)
    assert.is_true(err.retryable)
    assert.is_true(corun.now() - start < 5)
    local s <close> = assert(l:accept())
    assert.is_truthy(support.read_record(s)) -- the client's hello
    assert.is_nil(s:recv()) -- and its end
    local own = with(trust, {timeout = 0.01})
    assert_error("ETIMEDOUT", "connect", net.connect(l:address(), {tls = own}))
    assert_error("ETIMEDOUT", "connect", net.connect(l:address(), {tls = trust, timeout = 0}))
  end)

  it("a handshake that is cancelled, or whose stream is closed, leaves nothing", function()
    with_plain(function(c, s)
      local shaking = waiting(c.starttls, c, trust)
      shaking:cancel()
      assert.equal("ECANCELED", select(2, shaking:await()).code)
      assert.matches("closed", tostring(c))
      assert.is_truthy(support.read_record(s))
      assert.is_nil(s:recv())
    end)
    with_plain(function(c)
      local shaking = waiting(c.starttls, c, trust)
      c:close()
      assert_error("ECLOSED", "starttls", shaking:await())
    end)
    with_plain(function(c)
      local shaking = waiting(c.starttls, c, trust)
      assert(c:write("never sent"))
      shaking:cancel()
      corun.try(corun.await, shaking)
      assert.matches("closed", tostring(c))
    end)
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local value, err = corun.timeout(0.02, net.connect, l:address(), {tls = trust})
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
  end)

  it("S42 a client that stalls delays nobody, and is given up", function()
    local errors = outcomes.captured(function()
      local server <close> = support.echo(with(good, {timeout = 0.2}))
      local stalled <close> = assert(net.connect(server:address()))
      local c <close> = assert(net.connect(server:address(), {tls = trust}))
      c:write("hello\n")
      assert.equal("hello", c:read("l"))
      assert.is_nil(stalled:recv())
    end)
    assert.matches("handshake [%d.:]+: the TLS handshake took too long %(ETIMEDOUT%)", errors)
  end)
end)

describe("what is not tls", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("a server that speaks something else", function()
    for _, words in ipairs{"220 mail.example ESMTP\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
      ("\0"):rep(100), "SSH-2.0-x\r\n"} do
      local server <close> = assert(net.serve("127.0.0.1:0", function(s)
        support.read_record(s)
        s:write(words)
        s:read("a")
      end))
      local c, err = net.connect(server:address(), {tls = trust})
      assert_error("ETLS", "connect", c, err)
      assert.equal("the peer does not speak TLS", err.message)
    end
  end)

  it("S42 clients that send anything at all: the server goes on", function()
    local seed = 1
    local function random(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed // 65536 % n
    end
    local errors = outcomes.captured(function()
      local server <close> = support.echo(good)
      local function bother(bytes)
        local s <close> = assert(net.connect(server:address()))
        s:write(bytes)
        pcall(s.shutdown, s)
        s:read("a", {timeout = 10})
      end
      bother("GET / HTTP/1.1\r\n\r\n")
      bother("")
      bother("\x16\x03\x01\xff\xff")
      for i = 1, 100 do
        local bytes = {}
        for k = 1, 1 + random(300) do bytes[k] = string.char(random(256)) end
        if i % 2 == 0 then -- a record of a handshake, with nonsense in it
          bytes = {"\x16\x03\x01", (">s2"):pack(string.char(1 + random(3)) .. table.concat(bytes))}
        end
        bother(table.concat(bytes))
      end
      local c <close> = assert(net.connect(server:address(), {tls = trust}))
      c:write("hello\n")
      assert.equal("hello", c:read("l"))
      c:close()
      server:close{drain = 10}
    end)
    local _, lines = errors:gsub("\n", "")
    assert.equal(103, lines, errors)
    assert.matches("the peer does not speak TLS", errors)
  end)

  it("bytes that are damaged on their way", function()
    for _, hurt in ipairs{"server", "client"} do
      local armed = false
      local damage = damager(function() return armed end)
      with_relay({seen = function(data, from)
        return from == hurt and damage(data) or data
      end}, function(c, s)
        local from, to = s, c
        if hurt == "client" then from, to = c, s end
        armed = true
        from:write("forged?")
        local data, err = to:recv()
        assert_error("ETLS", "recv", data, err)
        assert.equal("a record was damaged on its way", err.message)
        assert_error("ETLS", "write", to:write("x"))
      end)
    end
  end)
end)

describe("an error that others have left in OpenSSL's queue", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  local leave = require("openssl_error").leave
  setup(prepare)
  teardown(function() support.remove(folder) end)

  -- Both ends of a connection through a relay that does `seen` to the bytes of the server.
  local function with_errors(seen, fn, o)
    with_relay({seen = function(data, from)
      leave()
      return from == "server" and seen(data) or data
    end}, function(c, s)
      leave()
      assert(s:write("a", "b"))
      leave()
      assert.equal("ab", c:read_exactly(2))
      return fn(c, s)
    end, o)
  end

  for _, version in ipairs{"1.2", "1.3"} do
    local o = {min = version, max = version}

    it("is not taken for one of the connection, " .. version, function()
      with_errors(function() end, function(c, s)
        for _ = 1, 3 do
          leave()
          assert(c:write(("x"):rep(100000)))
          leave()
          assert.equal(100000, #s:read_exactly(100000))
        end
        leave()
        s:close()
        leave()
        assert.is_nil(c:recv())
        assert.equal(0, select("#", select(3, c:recv())))
      end, o)
    end)

    it("is not taken for the reason why one has failed, " .. version, function()
      local armed = false
      with_errors(damager(function() return armed end), function(c, s)
        armed = true
        s:write("forged?")
        local data, err = c:recv()
        assert_error("ETLS", "recv", data, err)
        assert.equal("a record was damaged on its way", err.message)
        leave()
        local _, told = s:recv() -- the alert
        assert.equal('the peer refused it with the alert "bad record mac"', told.message)
      end, o)
    end)
  end
end)

describe("bytes before the handshake", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("from a server are refused #prompt", function()
    with_plain(function(c, s)
      s:write("220 go ahead\n250 and something that was put in\n")
      assert.equal("220 go ahead", c:read("l"))
      local value, err = c:starttls(trust)
      assert_error("ETLS", "starttls", value, err)
      assert.matches("^34 bytes came before the handshake", err.message)
      assert.matches("closed", tostring(c))
    end)
  end)

  it("from a client are refused #prompt", function()
    with_plain(function(c, s)
      c:write("STARTTLS\nMAIL FROM:<evil>\n")
      assert.equal("STARTTLS", s:read("l"))
      local value, err = s:starttls(good)
      assert_error("ETLS", "starttls", value, err)
      assert.matches("^17 bytes came before the handshake", err.message)
    end)
  end)

  it("from a client are taken where they are its handshake", function()
    with_plain(function(c, s)
      c:write("tls now\n")
      local shaking = waiting(c.starttls, c, trust)
      assert.equal("tls now", s:read("l"))
      corun.sleep(0.01) -- its hello may be read ahead, or not
      assert(s:starttls(good))
      assert(shaking:await())
      c:write("secret\n")
      assert.equal("secret", s:read("l"))
    end)
  end)
end)

describe("tls at the end of a program", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("what is queued is still sent, with its end", function()
    local got = {}
    local server <close> = support.echo(good, function(s)
      corun.sleep(0.2)
      local data, err = s:read("a", {timeout = 20})
      got[#got + 1] = err and tostring(err) or #data
    end)
    -- The child blocks no one: it is started in the background.
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write(([[
      local net = require "corun.net"
      local o = {ca = %q, server_name = "localhost"}
      local s = assert(net.connect(%q, {tls = o}))
      s:write(("x"):rep(8 << 20))
      if arg[1] == "small" then s:close() end
      if arg[1] == "exit" then require("corun").exit(0) end]]):format(trust.ca, server:address()))
    f:close()
    for i, how in ipairs{"plain", "small", "exit"} do
      assert(os.execute(("%s %s %s &"):format(program.path, path, how)))
      local give_up = corun.now() + 20
      while #got < i and corun.now() < give_up do corun.sleep(0.01) end
      assert.equal(8 << 20, got[i])
    end
    os.remove(path)
  end)
end)

describe("S45 the system's trust", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  -- Connect from a program of its own, which has the environment `env`: what it printed.
  local function run(env, server_address)
    local path, out = os.tmpname(), os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write(([[
      local s, err = require("corun.net").connect(%q, {tls = true, timeout = 10})
      print(s and "trusted" or err.message)
      if s then s:close() end]]):format("localhost" .. port(server_address)))
    f:close()
    local line = "{ env %s %s %s; echo end; } >%s 2>&1 &"
    assert(os.execute(line:format(env, program.path, path, out)))
    local text
    repeat
      corun.sleep(0.01)
      local result <close> = assert(io.open(out))
      text = result:read("a")
    until text:find("end\n$")
    os.remove(path)
    os.remove(out)
    return (text:gsub("\nend\n$", ""))
  end

  it("SSL_CERT_FILE and SSL_CERT_DIR take its place", function()
    outcomes.captured(function()
      local server <close> = support.echo(good)
      local address = server:address()
      assert.equal("trusted", run("SSL_CERT_FILE=" .. trust.ca, address))
      assert.equal("trusted", run("SSL_CERT_DIR=" .. folder .. "hashed", address))
      assert.matches("is not trusted", run("SSL_CERT_FILE=" .. folder .. "stranger.pem", address))
      assert.matches("is not trusted", run("SSL_CERT_DIR=/var/empty", address))
      assert.equal("no certificates can be read from /none, which SSL_CERT_FILE names",
        run("SSL_CERT_FILE=/none", address))
      assert.matches("is not trusted", run("SSL_CERT_FILE= SSL_CERT_DIR=", address))
    end)
  end)
end)
