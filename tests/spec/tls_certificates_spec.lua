-- SPDX-License-Identifier: MIT
-- Which certificates TLS accepts, and the words in which it refuses the others.
local corun = require "corun"
local net = require "corun.net"
local support = dofile("tests/spec/support/tls.lua")
local peers = require("tests.spec.support.http")
local outcomes = require("tests.spec.support.outcomes")

local port = support.port
local folder

local function file(name)
  return folder .. name
end

-- A server with the certificate `name`; `o` are further options.
local function serve(name, o)
  local own = {cert = file(name .. ".pem"), key = file("key.pem")}
  for k, v in pairs(o or {}) do own[k] = v end
  return support.echo(own)
end

local function connect(server, o)
  return net.connect("localhost" .. port(server:address()), {tls = o, timeout = 10})
end

-- Connect to a server with that certificate, and see that it is accepted, or refused in these
-- words; `o` are the client's options beside the authority.
local function try(name, words, o, server_o)
  local errors = outcomes.captured(function()
    local server <close> = serve(name, server_o)
    local own = {ca = file("ca.pem")}
    for k, v in pairs(o or {}) do own[k] = v end
    if own.ca == false then own.ca = nil end
    local stream, err = connect(server, own)
    if words then
      assert.is_nil(stream)
      assert.same({"ETLS", "connect"}, {err.code, err.op})
      assert.equal(words, err.message)
      assert.equal(server:address(), err.target)
    else
      assert(stream, err)
      assert(stream:write("hello\n"))
      assert.equal("hello", stream:read("l"))
      stream:close()
    end
    server:close{drain = 10}
  end)
  if words then assert.matches("failed: handshake 127", errors) else assert.equal("", errors) end
end

describe("certificates of servers", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(function() folder = support.make_certificates() end)
  teardown(function() support.remove(folder) end)

  it("one that is in order is accepted", function() try("good") end)

  it("one that has expired is refused", function()
    try("expired", "the certificate has expired (on 2021-02-03)")
  end)

  it("one that is not valid yet is refused", function()
    try("future", "the certificate is not valid yet (before 2090-01-02)")
  end)

  it("one that is self-signed is refused", function()
    try("self", "the certificate is self-signed and not trusted")
  end)

  it("one that is self-signed is accepted when it is named", function()
    try("self", nil, {ca = file("self.pem")})
  end)

  it("a leaf that is named is trusted without its root", function()
    try("good", nil, {ca = file("good.pem")})
  end)

  it("one of an unknown authority is refused", function()
    try("stranger_leaf", "the issuer of the certificate (CN = Strange Root) is not trusted, or an "
      .. "intermediate one is missing")
  end)

  it("one of an unknown authority that is sent along is refused", function()
    local leaf <close> = assert(io.open(file("stranger_leaf.pem")))
    local root <close> = assert(io.open(file("stranger.pem")))
    try("good", "the root (CN = Strange Root) of the certificate is not trusted", nil,
      {cert = leaf:read("a") .. root:read("a")})
  end)

  it("one whose intermediate certificate is missing is refused", function()
    try("leaf", "the issuer of the certificate (CN = Test Middle) is not trusted, or an "
      .. "intermediate one is missing")
  end)

  it("one with its intermediate certificate is accepted", function() try("chained") end)

  it("one whose intermediate certificate has expired is refused", function()
    try("chained_old", nil, {ca = file("middle.pem")})
    try("chained_old", "the certificate of its issuer (CN = Test Middle) has expired "
      .. "(on 2021-02-03)")
  end)

  it("one that was signed by what is no authority is refused", function()
    try("pretended", "the certificate of its issuer (CN = good) is not one of an authority (CA)")
  end)

  it("one for another host is refused", function()
    try("elsewhere", "the certificate is for other.example, www.other.example, not for localhost")
  end)

  it("one for the name that is asked for is accepted", function()
    try("elsewhere", nil, {server_name = "www.other.example"})
    try("elsewhere", nil, {server_name = "WWW.Other.Example."})
  end)

  it("a name in any script is looked for in its ASCII form", function()
    try("umlaut", nil, {server_name = "bücher.example"})
    try("umlaut", nil, {server_name = "BÜCHER.example."})
    try("umlaut", "the certificate is for xn--bcher-kva.example, not for xn--bucher-9ya.example",
      {server_name = "xn--bucher-9ya.example"})
  end)

  it("a wildcard stands for one label", function()
    try("wild", nil, {server_name = "a.example.test"})
    local words = "the certificate is for *.example.test, not for "
    try("wild", words .. "a.b.example.test", {server_name = "a.b.example.test"})
    try("wild", words .. "example.test", {server_name = "example.test"})
  end)

  it("a wildcard within a label, or for all of a top level, is none", function()
    try("partial", "the certificate is for w*.example.test, not for www.example.test",
      {server_name = "www.example.test"})
    try("top", "the certificate is for *.test, not for example.test",
      {server_name = "example.test"})
  end)

  it("an address is looked for among the addresses", function()
    try("address", nil, {server_name = "127.0.0.1"})
    try("address", nil, {server_name = "::1"})
    try("address", nil, {server_name = "::1%lo"})  -- a zone is of this machine alone
    try("address", "the certificate is for 127.0.0.1, ::1, not for 127.0.0.2",
      {server_name = "127.0.0.2"})
    try("elsewhere", "the certificate is for other.example, www.other.example, not for 127.0.0.1",
      {server_name = "127.0.0.1"})
  end)

  it("a common name is no name of a host", function()
    try("cn", "the certificate names no host (subjectAltName), so it is not for localhost")
  end)

  it("one that was revoked is refused when the list says so", function()
    try("revoked")
    try("revoked", "the certificate was revoked", {crl = file("crl.pem")})
    try("good", nil, {crl = file("crl.pem")})
  end)

  it("one whose issuer has no list is refused when there must be one", function()
    try("good", "the certificate has an issuer without a list of revoked ones (CRL)",
      {crl = file("crl_other.pem")})
  end)

  it("one for clients is refused", function()
    try("purpose", "the certificate may not be used for this purpose")
  end)

  it("insecure accepts all of them", function()
    for _, name in ipairs{"expired", "self", "elsewhere", "stranger_leaf"} do
      try(name, nil, {insecure = true, ca = false})
    end
  end)

  it("S45 the system's trust knows nothing of ours", function()
    try("good", "the issuer of the certificate (CN = Test Root) is not trusted, or an "
      .. "intermediate one is missing", {ca = false})
  end)

  it("PEM text, both in one file, a hashed directory, a locked key", function()
    local function text(name)
      local f <close> = assert(io.open(file(name)))
      return f:read("a")
    end
    try("good", nil, {ca = text("ca.pem")}, {cert = text("good.pem"), key = text("key.pem")})
    try("good", nil, nil, {cert = text("both.pem"), key = false or nil})
    try("good", nil, {ca = file("hashed")})
    try("good", nil, nil, {key = file("locked.pem"), passphrase = "secret"})
  end)

  -- OpenSSL lets no server of ours have such a certificate.
  it("a weak key and a weak signature are refused", function()
    for name, words in pairs{weak = "the certificate has a key that is too weak",
      sha1 = "the certificate is signed with a hash that is too weak"} do
      local number = peers.free_port()
      local peer = peers.start("sh", "-c", 'echo port $1; exec openssl s_server -quiet -naccept 2 \z
        -accept 127.0.0.1:$1 -cert $2/$3.pem -key $2/$4 -cipher ALL:@SECLEVEL=0', "sh",
        tostring(number), folder, name, name == "weak" and "weak.key" or "key.pem")
      local _ <close> = corun.defer(peer.stop)
      local err
      peers.eventually("the peer listens", function()
        local stream
        stream, err = net.connect("localhost:" .. number, {tls = {ca = file("ca.pem")}})
        assert.is_nil(stream)
        return err.code ~= "ECONNREFUSED"
      end)
      assert.same({"ETLS", words}, {err.code, err.message})
    end
  end)
end)

describe("certificates of clients", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(function() folder = support.make_certificates() end)
  teardown(function() support.remove(folder) end)

  -- Talk to a server that verifies clients: what it read, its failure, what the client got.
  local function talk(o, want)
    local got, reply, code
    local errors = outcomes.captured(function()
      local server <close> = support.echo({cert = file("good.pem"), key = file("key.pem"),
        ca = file("ca.pem"), verify_client = want}, function(s)
        local peer = s:tls().peer_certificate
        got = peer and peer.subject or "nobody"
        s:write("welcome\n")
      end)
      local own = {ca = file("ca.pem")}
      for k, v in pairs(o) do own[k] = v end
      local s, err = connect(server, own)
      -- In TLS 1.3 the client is ready before the server has looked at its certificate.
      if s then reply, err = s:read("l") end
      if s then s:close() end
      server:close{drain = 10}
      code = err and err.code .. ": " .. err.message
    end)
    return got, errors, reply or code
  end

  local client, locked = {}, {}
  setup(function()
    client = {cert = file("client.pem"), key = file("key.pem")}
    locked = {cert = file("client.pem"), key = file("key.pem"), max = "1.2"}
  end)

  it("one that is demanded and in order", function()
    for _, o in ipairs{client, locked} do
      local got, errors, reply = talk(o, true)
      assert.same({"CN = A Client", "", "welcome"}, {got, errors, reply})
    end
  end)

  it("one that is demanded and absent", function()
    local got, errors, reply = talk({}, true)
    assert.is_nil(got)
    assert.matches("handshake 127[%d.:]*: the client gave no certificate %(ETLS%)\n$", errors)
    assert.equal('ETLS: the peer refused it with the alert "certificate required"', reply)
  end)

  it("one that is demanded and wrong", function()
    for name, words in pairs{
      client_stranger = "issuer of the client's certificate %(CN = Strange Root%) is not trusted",
      client_expired = "the client's certificate has expired %(on 2021%-02%-03%)",
    } do
      local got, errors, reply = talk({cert = file(name .. ".pem"), key = file("key.pem")}, true)
      assert.is_nil(got)
      assert.matches(words, errors)
      assert.matches('^ETLS: the peer refused it with the alert "', reply)
    end
  end)

  it("is known to the server of a resumed session too", function()
    local subjects = {}
    local server <close> = support.echo({cert = file("good.pem"), key = file("key.pem"),
      ca = file("ca.pem"), verify_client = true}, function(s)
      local info = s:tls()
      subjects[#subjects + 1] = info.peer_certificate.subject .. " " .. tostring(info.resumed)
      s:write("welcome\n")
    end)
    for _, max in ipairs{"1.2", "1.3"} do
      for _ = 1, 2 do
        local s <close> = assert(connect(server, {ca = file("ca.pem"), cert = file("client.pem"),
          key = file("key.pem"), max = max}))
        assert.equal("welcome", s:read("l"))
        assert.is_nil(s:read("l"))
      end
    end
    assert.same({"CN = A Client false", "CN = A Client true", "CN = A Client false",
      "CN = A Client true"}, subjects)
  end)

  it("one that is welcome may be absent, but not wrong", function()
    local got, _, reply = talk({}, "optional")
    assert.same({"nobody", "welcome"}, {got, reply})
    assert.equal("CN = A Client", (talk(client, "optional")))
    assert.is_nil((talk({cert = file("client_stranger.pem"), key = file("key.pem")}, "optional")))
  end)
end)

describe("certificates that cannot be used", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(function() folder = support.make_certificates() end)
  teardown(function() support.remove(folder) end)

  it("are failures that say what is wrong with which file", function()
    for words, o in pairs{
      ["the certificate cannot be read from /no/such: no such file or directory"] =
        {cert = "/no/such"},
      ["the key cannot be read from /no/key: no such file or directory"] =
        {cert = file("good.pem"), key = "/no/key"},
      ["there is no certificate (PEM) in " .. file("key.pem")] = {cert = file("key.pem")},
      ["there is no key (PEM) in " .. file("good.pem")] = {cert = file("good.pem")},
      ["the key in " .. file("other.pem") .. " does not belong to the certificate"] =
        {cert = file("good.pem"), key = file("other.pem")},
      ["the key in " .. file("locked.pem") .. " is encrypted: it needs a passphrase"] =
        {cert = file("good.pem"), key = file("locked.pem")},
      ["the key in " .. file("locked.pem") .. " cannot be read with this passphrase"] =
        {cert = file("good.pem"), key = file("locked.pem"), passphrase = "wrong"},
      ["there is no certificate (PEM) to trust in " .. file("key.pem")] = {ca = file("key.pem")},
      ["the trusted certificates (ca) cannot be read from /no/ca: no such file or directory"] =
        {ca = "/no/ca"},
      ["there is no list of revoked certificates (PEM) in " .. file("ca.pem")] =
        {ca = file("ca.pem"), crl = file("ca.pem")},
      ['there is no cipher for TLS 1.2 in "NONSENSE"'] =
        {ca = file("ca.pem"), ciphers = "NONSENSE"},
      ['there is an unknown cipher for TLS 1.3 in "TLS_NONSENSE"'] =
        {ca = file("ca.pem"), ciphers = "TLS_NONSENSE"},
      ["there is no certificate (PEM) in the text given"] =
        {cert = "-----BEGIN CERTIFICATE-----\nnonsense\n"},
    } do
      local context, err = net.tls_context(o)
      assert.is_nil(context)
      assert.same({"ETLS", words}, {err.code, err.message})
      assert.equal(words, select(2, net.connect("localhost:1", {tls = o})).message)
    end
  end)

  it("are failures of what was called, and name it", function()
    local bad = {cert = "/no/such"}
    local own = {cert = file("good.pem"), key = file("key.pem")}
    local function assert_named(beginning, value, err)
      assert.is_nil(value)
      assert.equal("ETLS", err.code)
      assert.equal(beginning .. ": the certificate cannot be read from /no/such: " ..
        "no such file or directory (ETLS)", tostring(err))
    end
    assert_named("tls_context", net.tls_context(bad))
    assert_named("connect localhost:1", net.connect("localhost:1", {tls = bad}))
    assert_named("serve 127.0.0.1:0", net.serve("127.0.0.1:0", print, {tls = bad}))
    assert_named("serve localhost:0", net.serve({host = "localhost", port = 0}, print,
      {tls = {cert = own.cert, key = own.key, names = {["a.example"] = bad}}}))
    local server <close> = assert(net.serve("127.0.0.1:0", print, {tls = own}))
    assert_named("set_tls " .. server:address(), server:set_tls(bad))
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local client <close> = assert(net.connect(listener:address()))
    local accepted <close> = assert(listener:accept())
    assert_named("starttls " .. client:peer(), client:starttls{cert = "/no/such", insecure = true})
    bad.server = true
    assert_named("starttls " .. accepted:peer(), accepted:starttls(bad))
    client:close()
    local ok, err = pcall(client.starttls, client, {insecure = true})
    assert.same({false, "ECLOSED", "starttls"}, {ok, err.code, err.op})
  end)
end)
