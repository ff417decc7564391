-- SPDX-License-Identifier: MIT
-- https: verification, the options of TLS, resumption, truncation; URLs and options that lead
-- through a Unix socket.

local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local net = require("corun.net")
local file_server = require("tests.spec.support.file_server")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")
local outcomes = require("tests.spec.support.outcomes")

local with = certificates.with
local ok, kept, canned, raw = support.ok, support.kept, support.canned, support.raw

describe("https", function()
  if not certificates.has_openssl then return pending("the openssl command is not installed") end
  local folder, good, trust

  setup(function()
    folder = certificates.make_certificates()
    good = {cert = folder .. "good.pem", key = folder .. "key.pem"}
    trust = {ca = folder .. "ca.pem"}
  end)

  teardown(function() certificates.remove(folder) end)

  local function pair(name)
    return {cert = folder .. name .. ".pem", key = folder .. "key.pem"}
  end

  local function refused(s, url, o)
    local res, err = s:get(url, o)
    assert.is_nil(res)
    assert.equal("ETLS", err.code)
    assert.equal("handshake", err.op)
    assert.is_nil(err.retryable)
    assert.equal(0, s.pool.open + s.pool.active)
    return err
  end

  it("serves many requests over one connection", function()
    local connections = 0
    local server <close>, url = kept(function(head, _, n)
      connections = n
      return ok(head:match("^%S+ (%S+)"))
    end, good)
    local s <close> = http.session({tls = trust})
    for i = 1, 20 do assert.equal("/" .. i, assert(s:get(url .. "/" .. i)).body) end
    assert.equal(1, connections)
    assert.equal(1, s.pool.open)
    local fresh <close> = http.session({tls = trust})
    local times = assert(fresh:get(url)).times
    assert.is_true(times.tls > 0 and times.connect > 0)
    assert.equal(0, assert(fresh:get(url)).times.tls)
    server:close()
  end)

  it("verifies the server by default, insecure does not", function()
    outcomes.captured(function()
      local server <close>, url = canned(ok("x", "connection: close\r\n"), good)
      local s <close> = http.session()
      assert.matches("certificate", refused(s, url).message)
      assert.equal("x", assert(s:get(url, {tls = {insecure = true}})).body)
      refused(s, url) -- what one request trusts is not what others do
      assert.equal("x", assert(s:get(url, {tls = trust})).body)
      server:close()
    end)
  end)

  it("demands the name of the URL, or that of server_name", function()
    outcomes.captured(function()
      for name, why in pairs({elsewhere = "127.0.0.1", expired = "expired",
          stranger_leaf = "certificate"}) do
        local server <close>, url = canned(ok("x"), pair(name))
        local s <close> = http.session({tls = trust})
        assert.matches(why, refused(s, url).message, 1, true)
        server:close()
      end
      local server <close>, url = canned(ok("x"), pair("elsewhere"))
      local s <close> = http.session({tls = with(trust, {server_name = "other.example"})})
      assert.equal("x", assert(s:get(url)).body)
      server:close()
    end)
  end)

  it("cert and key are the client's, min and max the versions", function()
    outcomes.captured(function()
      local seen
      local server <close>, url = raw(function(stream)
        seen = stream:tls()
        if support.read_request(stream) then stream:write(ok("x")) end
      end, with(good, {verify_client = true, ca = folder .. "ca.pem"}))
      local mine = with(trust, {cert = folder .. "client.pem", key = folder .. "key.pem"})
      local s <close> = http.session({tls = mine})
      assert.equal("x", assert(s:get(url)).body)
      assert.matches("A Client", seen.peer_certificate.subject)
      assert.equal("http/1.1", seen.alpn or "http/1.1")
      assert.equal("x", assert(s:get(url, {tls = with(mine, {max = "1.2"})})).body)
      assert.equal("TLSv1.2", seen.version)
      local res, err = s:get(url, {tls = trust}) -- in TLS 1.3 the refusal comes after the handshake
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      server:close()
    end)
  end)

  it("asks for http/1.1 by ALPN, and takes no other protocol", function()
    outcomes.captured(function()
      local seen
      local server <close>, url = raw(function(stream)
        seen = stream:tls().alpn
        if support.read_request(stream) then stream:write(ok("x")) end
      end, with(good, {alpn = {"h2", "http/1.1"}}))
      local s <close> = http.session({tls = trust})
      assert.equal("x", assert(s:get(url)).body)
      assert.equal("http/1.1", seen)
      local context = assert(net.tls_context(with(trust, {alpn = "h2"})))
      local res, err = s:get(url, {tls = context})
      assert.is_nil(res)
      assert.equal("EPROTO", err.code)
      assert.matches("h2", err.message)
      assert.error_matches(function() s:get(url, {tls = {alpn = "h2"}}) end, "alpn")
      server:close()
    end)
  end)

  it("resumes sessions, unless told not to", function()
    local resumed = {}
    local server <close>, url = raw(function(stream)
      resumed[#resumed + 1] = stream:tls().resumed
      if support.read_request(stream) then stream:write(ok("x", "connection: close\r\n")) end
    end, good)
    local s <close> = http.session({tls = trust})
    for _ = 1, 3 do assert.equal("x", assert(s:get(url)).body) end
    local none = with(trust, {session = false})
    for _ = 1, 2 do assert.equal("x", assert(s:get(url, {tls = none})).body) end
    assert.same({false, true, true, false, false}, resumed)
    server:close()
  end)

  it("options are checked where they are given", function()
    local s <close> = http.session()
    local function raises(text, fn, ...)
      assert.error_matches(fn, text)
      return ...
    end
    raises("insecure", function() s:get("https://x/", {tls = {insecur = true}}) end)
    raises("must not be false", function() s:get("https://x/", {tls = false}) end)
    raises("must not be false", function() http.session({tls = false}) end)
    raises("1.2", function() http.session({tls = {min = "1.1"}}) end)
    raises("unix", function() s:get("http://x/", {unix = ""}) end)
    raises("unix", function() http.session({unix = "a\0b"}) end)
    local res, err = s:get("https://127.0.0.1:1/", {tls = {ca = folder .. "none.pem"}})
    assert.is_nil(res)
    assert.equal("ETLS", err.code)
  end)

  it("an answer that is cut without close_notify is an error, wherever it is cut", function()
    outcomes.captured(function()
      local bytes = "HTTP/1.1 200 OK\r\n\r\nwithout a length, to the end of the connection"
      local server <close> = canned(bytes, good)
      local res
      for cut = 1, 4000, 61 do
        local relay <close> = certificates.relay(server:address(), {cut = cut})
        local s <close> = http.session({tls = trust, timeout = 5})
        local err
        res, err = s:get("https://" .. relay:address())
        relay:close()
        if res then break end
        assert.is_true(err.code == "ETLS" or err.code == "EOF" or err.code == "ECONNRESET",
          tostring(err))
        assert.equal(0, s.pool.open)
      end
      assert.matches("end of the connection$", res.body) -- with close_notify it is whole
      server:close()
    end)
  end)

  -- A relay that cuts its first connection after so many bytes of the server's.
  local function cutting(address, cut)
    local o, first = {cut = cut}, nil
    function o.seen(_, _, client)
      first = first or client
      if client ~= first then o.cut = nil end
    end
    return certificates.relay(address, o)
  end

  it("a cut, in the handshake or behind it, is tried again", function()
    outcomes.captured(function()
      local server <close> = kept(function() return ok("whole") end, good)
      local s <close> = http.session({tls = trust, timeout = 20, retries = {min = 0.001}})
      local cut, cuts = 1, 0
      repeat
        local relay <close> = cutting(server:address(), cut)
        assert.equal("whole", assert(s:get("https://" .. relay:address())).body)
        relay:close()
        cut, cuts = cut + 101, cuts + 1
      until s:stats().retries < cuts
      assert.is_true(cuts > 5)
      server:close()
    end)
  end)

  it("a download that is cut goes on where it was", function()
    local it = {text = ("0123456789abcdef"):rep(1 << 17), etag = '"1"', secure = good}
    local server <close> = file_server(it)
    local relay <close> = cutting(server:address(), 1 << 20)
    local s <close> = http.session({tls = trust, retries = {min = 0.001}})
    local saved <close> = assert(fs.temp())
    outcomes.captured(function()
      local url = "https://" .. relay:address()
      assert.equal(#it.text, assert(s:download(url, saved:path())))
    end)
    assert.is_true(fs.read(saved:path()) == it.text)
    assert.equal("all", it.seen[1])
    assert.matches("^%d%d%d+%-2097151$", it.seen[2])
    relay:close()
    server:close()
  end)

  it("an idle connection that is cut is not used, and the request sent again", function()
    local connections = 0
    local server <close>, url = raw(function(stream, n)
      connections = n
      if support.read_request(stream) then stream:write(ok("x")) end
      if n == 1 then support.read_request(stream) end -- the second gets no answer
    end, good)
    local s <close> = http.session({tls = trust})
    assert.equal("x", assert(s:get(url)).body)
    assert.equal("x", assert(s:get(url)).body)
    assert.equal(2, connections)
    server:close()
  end)

  it("the time limit for connecting is for the handshake too", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream) stream:read("a") end))
    local s <close> = http.session({tls = trust, timeout = {connect = 0.05}})
    local res, err = s:get("https://" .. server:address())
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("handshake", err.op)
    assert.equal(0, s.pool.open + s.pool.active)
    server:close()
  end)

  it("a server that speaks no TLS is told from one that does", function()
    local server <close>, url = raw(function(stream)
      stream:recv()
      stream:write(ok("x"))
    end)
    local s <close> = http.session({tls = trust})
    refused(s, (url:gsub("^http:", "https:")))
    server:close()
  end)

  it("cancelled in the handshake it leaves nothing behind", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream) stream:read("a") end))
    local s <close> = http.session({tls = trust})
    local res, err = corun.timeout(0.05, s.get, s, "https://" .. server:address())
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal(0, s.pool.open + s.pool.active)
    server:close()
  end)
end)

describe("http Unix sockets", function()
  local function listening()
    local path = os.tmpname()
    os.remove(path)
    local server = assert(net.serve("unix:" .. path, function(stream)
      while true do
        local head = support.read_request(stream)
        if not head or not stream:write(ok(head:match("^%S+ (%S+)") .. " "
          .. head:match("\r\nhost: ([^\r]*)"))) then return end
      end
    end))
    return server, path, (path:gsub("/", "%%2F"))
  end

  it("a URL has the path of the socket, percent-encoded, in place of the host", function()
    local server <close>, _, encoded = listening()
    local s <close> = http.session()
    assert.equal("/a?b=1 localhost", assert(s:get("http+unix://" .. encoded .. "/a?b=1")).body)
    assert.equal("/ localhost", assert(s:get("HTTP+UNIX://" .. encoded)).body)
    assert.equal(1, s.pool.open)
    local res = assert(s:get("http+unix://" .. encoded .. "/a", {query = {x = 1}}))
    assert.equal("/a?x=1 localhost", res.body)
    assert.equal("http+unix://" .. encoded .. "/a?x=1", res.url)
    local based <close> = http.session({base = "http+unix://" .. encoded .. "/v1"})
    assert.equal("/v1/x localhost", assert(based:get("/x")).body)
    server:close()
  end)

  it("the option unix sends any URL there, of a session only those of its base", function()
    local server <close>, path = listening()
    local other <close>, url = kept(function() return ok("tcp") end)
    local s <close> = http.session()
    assert.equal("/a example.org", assert(s:get("http://example.org/a", {unix = path})).body)
    local based <close> = http.session({base = "http://api/v1", unix = path})
    assert.equal("/v1/x api", assert(based:get("x")).body)
    assert.equal("tcp", assert(based:get(url)).body)
    assert.equal(2, based.pool.open)
    server:close()
    other:close()
  end)

  it("a socket that is not there is an error of connecting", function()
    local s <close> = http.session()
    local res, err = s:get("http+unix://%2Fnowhere%2Fat%20all/x")
    assert.is_nil(res)
    assert.equal("ENOENT", err.code)
    assert.equal("connect", err.op)
    assert.matches("/nowhere/at all", err.target, 1, true)
  end)
end)
