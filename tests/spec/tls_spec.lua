-- SPDX-License-Identifier: MIT
-- TLS between two of our own ends (S19, S20, S39, S41, S42): what is agreed on, sessions, the rules
-- of streams. See also tls_certificates_spec, tls_bad_spec, tls_peers_spec and tls_faults_spec.
local corun = require "corun"
local net = require "corun.net"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local support = dofile("tests/spec/support/tls.lua")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting
local assert_raises, assert_misuse = outcomes.assert_raises, outcomes.assert_misuse
local port, with = support.port, support.with

local folder, good, trust

local function connect(server, o)
  return net.connect("localhost" .. port(server:address()), {tls = with(trust, o), timeout = 10})
end

-- Two ends of one connection with TLS, in the scope that is open: the client's, the server's.
local function pair(client_o, server_o)
  local l <close> = assert(net.listen("127.0.0.1:0"))
  local accepted = corun.async(function()
    local s = assert(l:accept())
    return assert(s:starttls(with(good, with(server_o or {}, {server = true}))))
  end)
  local c = assert(net.connect("localhost" .. port(l:address()), {tls = with(trust, client_o)}))
  local s = accepted:await()
  return c, s, corun.defer(function()
    c:close()
    s:close()
  end)
end

local function prepare()
  folder = support.make_certificates()
  good = {cert = folder .. "good.pem", key = folder .. "key.pem"}
  trust = {ca = folder .. "ca.pem"}
end

describe("tls", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("speaks through Unix sockets too", function()
    local address = "unix:" .. folder .. "socket"
    local _ <close> = assert(net.serve(address, function(s)
      for line in s:lines() do s:write(line:upper(), "\n") end
    end, {tls = good}))
    local o = with(trust, {server_name = "localhost"})
    for _ = 1, 2 do
      local c <close> = assert(net.connect(address, {tls = o}))
      assert.equal("TLSv1.3", c:tls().version)
      for _, text in ipairs{"a", ("x"):rep(100000)} do
        c:write(text, "\n")
        assert.equal(text:upper(), c:read())
      end
      assert.is_true(c:shutdown())
      assert.is_nil(c:read())
    end
    local plain <close> = assert(net.connect(address))
    assert.equal(plain, plain:starttls(o))
    assert_error("ETLS", "connect", net.connect(address, {tls = with(trust,
      {server_name = "other.example"})}))
    assert_misuse('needs the option "server_name"', net.connect, address, {tls = trust})
  end)

  it("says what was agreed on", function()
    local c, s, _ <close> = pair({alpn = {"h2", "http/1.1"}}, {alpn = {"spdy", "http/1.1"}})
    local info = c:tls()
    assert.same({"TLSv1.3", "http/1.1", "localhost", false},
      {info.version, info.alpn, info.server_name, info.resumed})
    assert.matches("^TLS_", info.cipher)
    assert.same({"TLSv1.3", "http/1.1", "localhost", false},
      {s:tls().version, s:tls().alpn, s:tls().server_name, s:tls().resumed})
    assert.is_nil(s:tls().peer_certificate)
    local cert = info.peer_certificate
    assert.same({"CN = good", "CN = Test Root", {"localhost", "127.0.0.1"}},
      {cert.subject, cert.issuer, cert.names})
    assert.equal(64, #cert.fingerprint)
    assert.is_true(cert.not_before <= os.time() and os.time() < cert.not_after)
    assert.matches("^127.0.0.1:%d+$", c:peer())
    assert.equal(c:address(), s:peer())
    assert.matches("^tcp stream %(127.0.0.1:%d+, open%)$", tostring(c))
    c:close()
    assert.matches("^tcp stream %(127.0.0.1:%d+, closed%)$", tostring(c))
    assert_raises("ECLOSED", c.tls, c)
  end)

  it("keeps the names of a certificate apart, whatever bytes they are made of", function()
    local odd = {cert = folder .. "odd.pem", key = folder .. "key.pem"}
    outcomes.captured(function()
      local server <close> = support.echo(odd)
      local c <close> = assert(connect(server))
      assert.same({"a?b", "c?d", "localhost"}, c:tls().peer_certificate.names)
      local _, err = connect(server, {server_name = "c"})
      assert.equal("the certificate is for a?b, c?d, localhost, not for c", err.message)
      c:close()
      server:close{drain = 10}
    end)
  end)

  it("a stream without it says nothing", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local c <close> = assert(net.connect(l:address(), {tls = false}))
    assert.is_nil(c:tls())
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      s:write(tostring(s:tls()))
    end, {tls = false}))
    local plain <close> = assert(net.connect(server:address()))
    assert.equal("nil", plain:read("a"))
  end)

  it("1.2 and 1.3 can be asked for, and ciphers", function()
    for version, o in pairs{["TLSv1.2"] = {max = "1.2"}, ["TLSv1.3"] = {min = "1.3"}} do
      local c, s, _ <close> = pair(o)
      assert.equal(version, c:tls().version)
      s:write("hello\n")
      assert.equal("hello", c:read("l"))
    end
    local ciphers = "TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    local c, s, _ <close> = pair({ciphers = ciphers})
    assert.equal("TLS_CHACHA20_POLY1305_SHA256", c:tls().cipher)
    assert(s)
    local c2, s2, _ <close> = pair({ciphers = ciphers, max = "1.2"})
    assert.equal("ECDHE-ECDSA-AES256-GCM-SHA384", c2:tls().cipher)
    assert(s2)
  end)

  it("without a common version, cipher or protocol there is no connection", function()
    for _, case in ipairs{
      {{min = "1.3"}, {max = "1.2"}, 'the peer refused it with the alert "protocol version"',
        "the peer speaks no version of TLS that is allowed"},
      {{alpn = "a"}, {alpn = "b"}, 'the peer refused it with the alert "no application protocol"',
        "there is no protocol (ALPN) in common with the peer"},
      {{max = "1.2", ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"},
        'the peer refused it with the alert "handshake failure"',
        "there is no cipher in common with the peer"},
    } do
      local errors = outcomes.captured(function()
        local server <close> = support.echo(with(good, case[2]))
        local c, err = connect(server, case[1])
        assert_error("ETLS", "connect", c, err)
        assert.equal(case[3], err.message)
        server:close{drain = 10}
      end)
      assert.is_truthy(errors:find(case[4], 1, true))
    end
  end)

  it("a server without protocols of its own takes any client", function()
    local c, s, _ <close> = pair({alpn = "h2"})
    assert.is_nil(c:tls().alpn)
    assert(s)
  end)

  it("a server has a certificate for each name", function()
    local key = folder .. "key.pem"
    local names = {["other.example"] = {cert = folder .. "elsewhere.pem", key = key},
      ["bücher.example"] = {cert = folder .. "umlaut.pem", key = key},
      ["*.example.test"] = {cert = folder .. "wild.pem", key = key}}
    local server <close> = support.echo(with(good, {names = names, alpn = "x"}))
    for name, subject in pairs{localhost = "good", ["other.example"] = "elsewhere",
      ["Other.Example"] = "elsewhere", ["a.example.test"] = "wild",
      ["bücher.example"] = "umlaut", ["xn--bcher-kva.example"] = "umlaut"} do
      local c <close> = assert(connect(server, {server_name = name, alpn = "x"}))
      assert.equal("CN = " .. subject, c:tls().peer_certificate.subject)
      assert.equal("x", c:tls().alpn)
    end
  end)

  it("a server takes a new certificate for new connections", function()
    local server <close> = support.echo(good)
    local before <close> = assert(connect(server))
    assert(server:set_tls{cert = folder .. "elsewhere.pem", key = folder .. "key.pem"})
    local after <close> = assert(connect(server, {server_name = "other.example"}))
    assert.equal("CN = elsewhere", after:tls().peer_certificate.subject)
    before:write("still here\n")
    assert.equal("still here", before:read("l"))
    local _, err = server:set_tls{cert = "/none", key = "/none"}
    assert.same({"ETLS", "set_tls"}, {err.code, err.op})
  end)

  it("S20 a server that is closed, or has no TLS, takes no certificate", function()
    local plain <close> = assert(net.serve("127.0.0.1:0", print))
    assert_misuse("set_tls needs a server with TLS: serve at 127.0.0.1:%d+ was given no option",
      plain.set_tls, plain, good)
    local server <close> = support.echo(good)
    for pattern, o in pairs{
      ['unknown option "crt" for set_tls %(did you mean "cert"%?%)'] = {crt = "x"},
      ["the server's side of set_tls needs a certificate"] = {},
      ["the options of set_tls must be a table or a context, got nil"] = false,
      ['option "server" for set_tls must be true'] = with(good, {server = false}),
    } do
      assert_misuse(pattern, server.set_tls, server, o or nil)
    end
    local meanwhile = waiting(server.set_tls, server, good)
    server:close()
    assert_error("ECLOSED", "set_tls", meanwhile:await())
    local ok, err = pcall(server.set_tls, server, good)
    assert.same({false, "ECLOSED", "set_tls"}, {ok, err.code, err.op})
    assert.matches("tls_spec.lua:%d+: set_tls 127.0.0.1:%d+: the server was closed at " ..
      "tests/spec/tls_spec.lua:%d+ %(ECLOSED%)", tostring(err))
  end)

  it("a context can be made beforehand and shared", function()
    local secure = assert(net.tls_context(with(good, {server = true})))
    assert.equal("tls context (server)", tostring(secure))
    local server <close> = support.echo(secure)
    local context = assert(net.tls_context(trust))
    assert.equal("tls context (client)", tostring(context))
    for _ = 1, 2 do
      local c <close> = assert(net.connect("localhost" .. port(server:address()), {tls = context}))
      c:write("x\n")
      assert.equal("x", c:read("l"))
      c:close()
    end
    local _, err = net.connect(server:address(),
      {tls = {context = context, server_name = "no.example"}})
    assert.matches("not for no.example", err.message)
    assert_misuse("connect needs a context of the client's side", net.connect, "a:1",
      {tls = secure})
    assert_misuse("serve needs a context of the server's side", net.serve, "127.0.0.1:0", print,
      {tls = context})
    assert_misuse("must be one of net.tls_context", net.connect, "a:1", {tls = io.stdout})
  end)

  it("options that a context would not heed are refused beside it", function()
    local context = assert(net.tls_context(trust))
    local secure = assert(net.tls_context(with(good, {server = true})))
    for name, value in pairs{alpn = "x", ca = "x", insecure = true, min = "1.3", session = false} do
      assert_misuse(('option "%s" for connect has no place beside "context"'):format(name),
        net.connect, "a:1", {tls = {context = context, [name] = value}})
    end
    assert_misuse('option "names" for serve has no place beside "context"', net.serve,
      "127.0.0.1:0", print, {tls = {context = secure, names = {}, verify_client = true}})
    assert_misuse('option "server" for connect must be false', net.connect, "a:1",
      {tls = {server = true, cert = "x"}})
    local server <close> = support.echo({context = secure, timeout = 5, server = true})
    assert_misuse('option "alpn" for set_tls has no place beside "context"', server.set_tls, server,
      {context = secure, alpn = "x"})
    local c <close> = assert(net.connect("localhost" .. port(server:address()),
      {tls = {context = context, server_name = "localhost", timeout = 5}}))
    assert_misuse('option "ca" for starttls has no place beside "context"', c.starttls, c,
      {context = context, ca = "x"})
    assert_misuse("the options of starttls must be true, a table or a context, got number",
      c.starttls, c, 5)
  end)

  it("S39 tasks that connect at once share one context", function()
    local server <close> = support.echo(good)
    local all = {}
    for i = 1, 20 do all[i] = i end
    for _, reply in ipairs(corun.map(all, function(i)
      local c <close> = assert(connect(server))
      assert(c:write(i, "\n"))
      return assert(c:read("l"))
    end)) do all[tonumber(reply)] = nil end
    assert.is_nil(next(all))
  end)

  it("S15 who is cancelled between connecting and the handshake has no connection", function()
    local netcore = require("corun.netcore")
    local real, closed = netcore.connect, corun.event()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      s:read("a")
      closed:set()
    end))
    local _ <close> = corun.defer(function()
      netcore.connect = real
      collectgarbage("restart")
    end)
    collectgarbage("stop") -- it would close what is lost
    function netcore.connect(...)
      local s, err = real(...)
      corun.current():cancel()
      return s, err
    end
    for _, way in ipairs({
      function() return net.connect(server:address(), {tls = {insecure = true}}) end,
      function()
        local session <close> = corun.http.session({tls = {insecure = true}})
        return session:get("https://" .. server:address())
      end,
    }) do
      local t = corun.async(way)
      assert.equal("ECANCELED", select(2, t:await()).code)
      assert(corun.timeout(5, closed.wait, closed))
      closed:clear()
    end
    server:close()
  end)

  it("misuse is answered", function()
    local address = "127.0.0.1:1"
    local function try(pattern, o) assert_misuse(pattern, net.connect, address, {tls = o}) end
    try('unknown option "alpm" for connect %(did you mean "alpn"%?%)', {alpm = "x"})
    try('option "tls" for connect must be true, a table or a context, got string', "yes")
    try('option "min" for connect must be "1.2" or "1.3", got "1.0"', {min = "1.0"})
    try('option "alpn" for connect must be a list of names of 1 to 255 bytes', {alpn = {""}})
    try('option "alpn" for connect must name a protocol', {alpn = {}})
    try('option "key" for connect needs the option "cert"', {key = "x"})
    try('option "crl" for connect needs the option "ca"', {crl = "x"})
    for _, name in ipairs{"", "a b", "a..b", ".a", "a\0b", "*.a", "a:1", ("x"):rep(64), "bü..x"} do
      try('option "server_name" for connect must be the name of a host or an address, got "',
        {server_name = name})
    end
    try('option "min" for connect is "1.3", above "max", "1.2"', {min = "1.3", max = "1.2"})
    try('option "ciphers" for connect names none$', {ciphers = ""})
    try('option "ciphers" for connect names none$', {ciphers = " : "})
    try('option "ciphers" for connect names none of TLS 1.3, the only version allowed',
      {ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256", min = "1.3"})
    try('option "ciphers" for connect names none of TLS 1.2, the only version allowed',
      {ciphers = "TLS_AES_128_GCM_SHA256", max = "1.2"})
    try('unknown option "names" for connect', {names = {}})
    assert_misuse("it must be \"host:port\"", net.connect, "nonsense", {tls = true})
    assert_misuse("must be a string or a table, got nil", net.connect, nil, {tls = true})
    local function serve(pattern, o)
      assert_misuse(pattern, net.serve, "127.0.0.1:0", print, {tls = o})
    end
    serve("the server's side of serve needs a certificate %(cert%)", {})
    serve('option "verify_client" for serve needs the option "ca"',
      with(good, {verify_client = true}))
    serve('option "ca" for serve needs the option "verify_client"', with(good, {ca = "x"}))
    serve('option "names" for serve must map names to {cert=, key=}', with(good, {names = {a = 1}}))
    serve('the name "a" for serve needs a certificate', with(good, {names = {a = {}}}))
    for _, name in ipairs{"", "a..b", "a b", "*", "*.*.a", "a.*.b", "a\0b"} do
      serve('option "names" for serve: no client can ask for "',
        with(good, {names = {[name] = good}}))
    end
    serve('must be true, false or "optional"', with(good, {ca = "x", verify_client = "maybe"}))
    assert_misuse('option "timeout" is for connections', net.tls_context, {timeout = 1})
    assert_misuse("options of tls_context must be a table", net.tls_context)
  end)
end)

describe("tls sessions", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  -- Connect, say something, close: whether the session was resumed.
  local function visit(server, o)
    local c <close> = assert(connect(server, o))
    assert(c:write("x\n"))
    assert.equal("x", c:read("l"))
    local resumed = c:tls().resumed
    assert.equal("CN = good", c:tls().peer_certificate.subject)
    c:close()
    return resumed
  end

  it("are resumed, with 1.2 and with 1.3", function()
    for _, version in ipairs{"1.2", "1.3"} do
      local server <close> = support.echo(good)
      local o = {min = version, max = version}
      local outcome = {visit(server, o), visit(server, o), visit(server, o)}
      assert.same({false, true, true}, outcome)
    end
  end)

  it("are not resumed for another name, other options, another server, or when that is unwanted",
    function()
      local server <close> = support.echo(with(good, {names = {["127.0.0.1"] = good}}))
      local other <close> = support.echo(good)
      assert.is_false(visit(server))
      assert.is_false(visit(server, {server_name = "127.0.0.1"}))
      assert.is_false(visit(server, {alpn = "x"}))
      assert.is_false(visit(server, {session = false}))
      assert.is_false(visit(other))
      assert.is_true(visit(server))
      local never <close> = support.echo(with(good, {session = false}))
      local o = {max = "1.2"}
      assert.is_false(visit(never, o))
      assert.is_false(visit(never, o))
    end)

  -- The ticket in the first message of a client, whose last extension it is; nil without one.
  local function ticket(hello)
    for at in hello:gmatch("()\0%)") do
      local size = at + 3 < #hello and (">I2"):unpack(hello, at + 2)
      if size and at + 3 + size == #hello then return hello:sub(at + 8, at + 71) end
    end
  end

  it("a ticket of 1.3 is used once", function()
    local server <close> = support.echo(good)
    local said, order = {}, {} -- by the client, in each connection
    local relay <close> = support.relay(server:address(), {seen = function(data, from, connection)
      if from ~= "client" then return end
      if not said[connection] then order[#order + 1] = connection end
      said[connection] = (said[connection] or "") .. data
    end})
    assert.is_false(visit(relay))
    local all = {}
    for i = 1, 6 do all[i] = i end
    local resumed = corun.map(all, function() return visit(relay) end)
    local function ticket_of(connection)
      local text = said[connection]
      return ticket(text:sub(1, 5 + (">I2"):unpack(text, 4)))
    end
    assert.is_nil(ticket_of(order[1]))
    local seen, count = {}, 0
    for i = 2, #order do
      local t = ticket_of(order[i])
      if t then
        assert.is_nil(seen[t])
        seen[t], count = true, count + 1
      end
    end
    local expected = 0
    for _, yes in ipairs(resumed) do expected = expected + (yes and 1 or 0) end
    assert.equal(expected, count)
    assert.is_true(count >= 2)
  end)

  it("are bounded, however many names there are", function()
    local server <close> = support.echo(good)
    local context = assert(net.tls_context{insecure = true})
    local function call(name)
      local c <close> = assert(net.connect(server:address(),
        {tls = {context = context, server_name = name}}))
      c:write("x\n")
      c:read("l")
      return c:tls().resumed
    end
    for i = 1, 150 do call("host" .. i) end
    assert.is_true(call("host150"))
    assert.is_false(call("host1"))
  end)
end)

describe("tls streams", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("S41 read in all formats", function()
    local c, s, _ <close> = pair()
    s:write("one\ntwo\r\n", 42, " 0x10 ", "exactly;rest")
    s:close()
    assert.equal("one", c:read("l"))
    assert.equal("two\r\n", c:read("L"))
    assert.equal(42, c:read("n"))
    assert.equal(16, c:read("n"))
    assert.equal(" exactly", c:read_exactly(8))
    assert.equal(";", c:read_until(";"))
    assert.equal("rest", c:read("a"))
    assert.is_nil(c:recv())
    assert.same({}, {select(2, c:recv())})
  end)

  it("carry bytes of every size, both ways at once", function()
    local sizes = {1, 2, 100, 16383, 16384, 16385, 65535, 65536, 65537, 200000, 3000000,
      512, 513, 1, 16384, 512, 200000, 7, 8, 9} -- short ones after long ones, and by turns
    local function send(stream, tag)
      for i, n in ipairs(sizes) do assert(stream:write((tag .. i):rep(n):sub(1, n))) end
    end
    local function receive(stream, tag)
      for i, n in ipairs(sizes) do
        assert.is_true((tag .. i):rep(n):sub(1, n) == stream:read_exactly(n))
      end
    end
    for _, version in ipairs{"1.2", "1.3"} do
      local c, s, _ <close> = pair({max = version})
      corun.gather(function() send(c, "c") end, function() send(s, "s") end,
        function() receive(c, "s") end, function() receive(s, "c") end)
    end
  end)

  it("join small pieces into records, and write large ones as they are", function()
    local c, s, _ <close> = pair()
    local big = ("x"):rep(70000)
    s:write("a", "", "b", 1, big, "c", big, "", "d")
    s:close()
    assert.is_true(("ab1%sc%sd"):format(big, big) == c:read("a"))
  end)

  it("send long records, after short ones too", function()
    local server <close> = support.echo(good, function(s)
      for _, n in ipairs{1, 100000, 1, 100000} do s:write(("x"):rep(n)) end
      s:recv()
    end)
    local text, long = {}, 0
    local relay <close> = support.relay(server:address(), {seen = function(data, from)
      if from == "server" then text[#text + 1] = data end
    end})
    local c <close> = assert(net.connect(relay:address(), {tls = with(trust,
      {server_name = "localhost"})}))
    c:read_exactly(200002)
    for _, n in ipairs(support.record_lengths(table.concat(text))) do
      if n == 16384 + 17 then long = long + 1 end -- what is added is the kind and a tag
    end
    assert.equal(12, long) -- six for each
  end)

  it("S19 a cancelled read loses no byte", function()
    local c, s, _ <close> = pair()
    for i = 1, 20 do
      local reader = waiting(c.read, c, 10)
      s:write("12345")
      reader:cancel()
      s:write("6789", i % 10)
      assert.equal("123456789" .. i % 10, c:read(10))
    end
    assert_error("ETIMEDOUT", "read", c:read(10, {timeout = 0.001}))
  end)

  it("S20 closed and busy", function()
    local c, s, _ <close> = pair()
    local reader = waiting(c.read, c)
    assert_raises("EBUSY", c.recv, c)
    c:close()
    assert_error("ECLOSED", "read", reader:await())
    assert_raises("ECLOSED", c.recv, c)
    assert_raises("ECLOSED", c.write, c, "x")
    assert_raises("ECLOSED", c.starttls, c, {insecure = true})
    assert.is_nil(s:read())
  end)

  it("shutdown ends one direction, and the other goes on", function()
    local c, s, _ <close> = pair()
    assert(c:write("question"))
    assert(c:shutdown())
    assert_raises("ECLOSED", c.write, c, "more")
    assert.equal("question", s:read("a"))
    assert.is_nil(s:recv())
    assert(s:write(("answer"):rep(50000)))
    s:close()
    assert.equal(300000, #c:read("a"))
    assert.is_nil(c:recv())
  end)

  it("a writer waits while the peer takes nothing, and the queue is bounded", function()
    local c, s, _ <close> = pair()
    local written, block = 0, ("x"):rep(65536)
    local writer = corun.async(function()
      for _ = 1, 400 do
        assert(c:write(block))
        written = written + #block
      end
      c:close()
    end)
    while writer:status() ~= "waiting" do corun.yield() end
    for _ = 1, 20 do corun.sleep(0.001) end
    assert.is_true(written < 16 << 20, tostring(written))
    assert_error("ETIMEDOUT", "write", c:write("late", {timeout = 0.001}))
    local total = 0
    repeat
      local data = s:recv()
      total = total + #(data or "")
    until not data
    assert.equal(400 * 65536, total)
    writer:await()
  end)

  it("close sends what is queued, and then that this is all", function()
    local c, s, _ <close> = pair()
    local text = ("0123456789abcdef"):rep(1 << 18)
    local closer = corun.async(function()
      assert(c:write(text))
      assert(c:close())
    end)
    assert.is_true(text == s:read("a"))
    closer:await()
  end)

  it("what was written before the handshake goes out before it, in clear", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local text = ("plain"):rep(1 << 20)
    local accepted = corun.async(function()
      local s = assert(l:accept())
      assert(s:write(text))
      assert(s:starttls(with(good, {server = true})))
      assert(s:write("secret"))
      s:close()
    end)
    local c <close> = assert(net.connect(l:address()))
    assert.is_true(text == c:read_exactly(#text))
    assert.equal(c, c:starttls(with(trust, {server_name = "localhost"})))
    assert.equal("secret", c:read("a"))
    accepted:await()
  end)

  -- Two plain ends, in the scope that is open.
  local function plain_pair()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local c = assert(net.connect(l:address()))
    local s = assert(l:accept())
    return c, s, corun.defer(function()
      c:close()
      s:close()
    end)
  end

  it("nothing that is written after starttls was called goes out in clear", function()
    for i, before in ipairs{"", ("plain"):rep(1 << 20)} do
      local c, s, _ <close> = plain_pair()
      assert(c:write(before))
      -- Options that nobody has used yet: their files are to be read first.
      local o = with(trust, {server_name = "localhost", alpn = "fresh" .. i})
      local shaking = waiting(c.starttls, c, o)
      local late = corun.async(c.write, c, "secret\n")
      assert_raises("EBUSY", c.recv, c)
      assert_raises("EBUSY", c.starttls, c, o)
      assert.is_true(before == s:read_exactly(#before))
      assert(s:starttls(with(good, {server = true})))
      assert.equal("secret", s:read())
      assert.equal(c, shaking:await())
      assert.is_true(late:await())
      s:write("answer\n")
      assert.equal("answer", c:read())
    end
  end)

  -- Whoever reads the fifo gets something, so that the thread goes on.
  local function let_go(name)
    local fifo <close> = assert(io.open(folder .. name, "r+"))
    fifo:write("x")
  end

  it("a starttls that is cancelled closes the stream, however far it came", function()
    assert(os.execute("mkfifo " .. folder .. "never.pem"))
    local o = with(trust, {server_name = "localhost"})
    for _, case in ipairs{{("y"):rep(16 << 20), o}, {"", {ca = folder .. "never.pem",
      server_name = "localhost"}}} do
      local c, s, _ <close> = plain_pair()
      assert(c:write(case[1]))
      local shaking = waiting(c.starttls, c, case[2])
      local late = waiting(c.write, c, "secret")
      shaking:cancel()
      assert.is_nil((shaking:await()))
      assert_error("ECLOSED", "write", late:await())
      assert_raises("ECLOSED", c.write, c, "secret")
      assert.is_true(case[1] == s:read("a"))
    end
    let_go("never.pem")
  end)

  it("a starttls whose options are no use leaves the stream as it was", function()
    local c, s, _ <close> = plain_pair()
    local shaking = waiting(c.starttls, c, {ca = folder .. "none.pem", server_name = "localhost"})
    local late = corun.async(c.write, c, "late\n")
    assert_error("ETLS", "starttls", shaking:await())
    assert.is_true(late:await())
    assert.equal("late", s:read())
    s:write("answer\n")
    assert.equal("answer", c:read())
  end)

  it("files that cannot be read in time keep no others", function()
    assert(os.execute("mkfifo " .. folder .. "slow.pem"))
    local server <close> = assert(net.serve("127.0.0.1:0", function() end, {tls = good}))
    local slow = {ca = folder .. "slow.pem"}
    local stuck = waiting(connect, server, slow)
    assert_error("ETIMEDOUT", "connect", net.connect("localhost" .. port(server:address()),
      {tls = slow, timeout = 0.01}))
    local c, s, _ <close> = plain_pair()
    assert_error("ETIMEDOUT", "starttls", c:starttls(with(slow, {server_name = "localhost",
      timeout = 0.01})))
    assert(c:write("still\n"))
    assert.equal("still", s:read())
    local other <close> = assert(connect(server, {alpn = "fresh"}))
    assert.equal("TLSv1.3", other:tls().version)
    stuck:cancel()
    assert.is_nil((stuck:await()))
    let_go("slow.pem")
  end)

  it("what is written during the handshake goes out after it, encrypted", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local c <close> = assert(net.connect(l:address()))
    local s <close> = assert(l:accept())
    local shaking = waiting(c.starttls, c, with(trust, {server_name = "localhost"}))
    assert.is_nil(c:tls())
    assert_raises("EBUSY", c.recv, c)
    assert_raises("EBUSY", c.starttls, c, {insecure = true})
    assert(c:write("early\n"))
    assert(s:starttls(with(good, {server = true})))
    assert.equal("early", s:read("l"))
    assert.equal(c, shaking:await())
    assert_misuse("starttls: the stream has TLS already", c.starttls, c, {insecure = true})
  end)

  it("a shutdown during the handshake is done after it, as what is written is", function()
    for _, text in ipairs{"", "early"} do
      local l <close> = assert(net.listen("127.0.0.1:0"))
      local c <close> = assert(net.connect(l:address()))
      local s <close> = assert(l:accept())
      local shaking = waiting(c.starttls, c, with(trust, {server_name = "localhost"}))
      if text ~= "" then assert(c:write(text)) end
      local ending = waiting(c.shutdown, c)
      assert_raises("ECLOSED", c.write, c, "late")
      assert(s:starttls(with(good, {server = true})))
      assert.equal(text, s:read("a"))
      assert.is_true(ending:await())
      assert.equal(c, shaking:await())
      assert(s:write("answer"))
      s:close()
      assert.equal("answer", c:read("a"))
    end
  end)

  it("a shutdown ends with a handshake that fails, is given up or closed", function()
    local endings = {
      {"ETLS", function(_, s) s:write("nonsense\n") end},
      {"ECLOSED", function(c) c:close() end},
      {"ECLOSED", function(_, _, shaking) shaking:cancel() end},
    }
    for _, ending_of in ipairs(endings) do
      local code, make_end = table.unpack(ending_of)
      local l <close> = assert(net.listen("127.0.0.1:0"))
      local c <close> = assert(net.connect(l:address()))
      local s <close> = assert(l:accept())
      local shaking = corun.async(function() -- it is looked at after the other has ended
        return {c:starttls(with(trust, {server_name = "localhost"}))}
      end)
      assert(s:recv(1)) -- the handshake has begun
      local ending = waiting(c.shutdown, c)
      local start = corun.now()
      make_end(c, s, shaking)
      local ok, err = ending:await()
      if err and err.code == "ECLOSED" then code = "ECLOSED" end -- the alert took longer
      assert_error(code, "shutdown", ok, err)
      local shaken = shaking:await()
      assert.is_nil(shaken and shaken[1])
      assert.is_true(corun.now() - start < 3)
    end
  end)

  it("starttls keeps the stream, once", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local server = corun.async(function()
      local s <close> = assert(l:accept())
      assert.equal("STARTTLS", s:read("l"))
      s:write("go ahead\n")
      assert.equal(s, s:starttls(with(good, {server = true})))
      for line in s:lines() do s:write(line:upper(), "\n") end
    end)
    local c <close> = assert(net.connect(l:address()))
    c:write("STARTTLS\n")
    assert.equal("go ahead", c:read())
    assert_misuse('starttls needs the option "server_name"', c.starttls, c)
    assert.equal(c, c:starttls(with(trust, {server_name = "localhost"})))
    assert_misuse("starttls: the stream has TLS already", c.starttls, c, {insecure = true})
    c:write("hello\nworld\n")
    assert.equal("HELLO", c:read())
    assert.equal("WORLD", c:read())
    c:close()
    server:await()
  end)

  it("starttls is refused where it cannot be", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local c <close> = assert(net.connect(l:address()))
    local s <close> = assert(l:accept())
    local reader = waiting(c.recv, c)
    assert_raises("EBUSY", c.starttls, c, {insecure = true})
    reader:cancel()
    local p <close> = assert(require("corun.process").spawn{"cat"})
    assert_misuse("calling 'starttls' on bad self %(stream over a socket expected, got pipe stream",
      c.starttls, p.stdin, {insecure = true})
    assert(p.stdin:write("pipe\n"))
    assert.equal("pipe", p.stdout:read())
    c:shutdown()
    assert_raises("ECLOSED", c.starttls, c, {insecure = true})
    assert_misuse("the server's side of starttls needs a certificate", s.starttls, s,
      {server = true})
    assert_error("ENOTCONN", "starttls", s:starttls(with(good, {server = s:recv() == nil})))
    assert_raises("ECLOSED", s.recv, s)
  end)
end)
