-- SPDX-License-Identifier: MIT
-- Certificates of HTTP servers, seen by clients that nobody here wrote (openssl s_client, Python):
-- renewed while connections are open, broken, and chosen by the name that is asked for.
local corun = require "corun"
local http = require "corun.http"
local net = require "corun.net"
local process = require "corun.process"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local support = dofile("tests/spec/support/tls.lua")
local await = require("tests.spec.support.eventually")

local fs = corun.fs

-- Prints the certificate's subject and the answer to a request for each line that it is given.
local CLIENT = [[
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
for line in sys.stdin:
    connection.request("GET", line.strip())
    text = connection.getresponse().read().decode()
    subject = dict(x[0] for x in connection.sock.getpeercert()["subject"])
    print(subject["commonName"], text, connection.sock.session_reused, flush=True)
]]

describe("http.serve over TLS", function()
  local folder, live

  setup(function() folder = support.make_certificates() end)
  teardown(function() support.remove(folder) end)
  before_each(function() live = assert(fs.temp{dir = true}) end)
  after_each(function() live:close() end)

  -- Put a certificate where the server reads it, as a program that renews it does.
  local function install(name, key)
    assert(fs.copy(folder .. name .. ".pem", live:path() .. "/cert.pem", {overwrite = true}))
    assert(fs.copy(folder .. (key or "key") .. ".pem", live:path() .. "/key.pem",
      {overwrite = true}))
  end

  local function options()
    return {cert = live:path() .. "/cert.pem", key = live:path() .. "/key.pem"}
  end

  local function client(server)
    local port = server:address():match("%d+$")
    local p = assert(process.spawn{"/usr/bin/python3", "-c", CLIENT, port, folder .. "ca.pem"})
    return p, function(path)
      p.stdin:write(path, "\n")
      return p.stdout:read()
    end
  end

  -- The subject that s_client sees, and whether it resumed its session.
  local function s_client(server, name, more)
    local argv = {"openssl", "s_client", "-connect", server:address(), "-CAfile",
      folder .. "ca.pem", "-ign_eof", table.unpack(more or {})}
    if name then table.move({"-servername", name}, 1, 2, #argv + 1, argv) end
    if not name then argv[#argv + 1] = "-noservername" end
    local r = assert(process.run(argv, {input = "GET / HTTP/1.0\r\n\r\n", timeout = 10}))
    assert.matches("the answer", r.stdout)
    return r.stdout:match("subject=CN = ([^\n]*)"), r.stdout:match("\n(%u%l+), TLSv1.3")
  end

  for _, threads in ipairs{false, 2} do
    local how = threads and "in several threads" or "in one thread"
    it("takes a renewed certificate, and open connections go on, " .. how, function()
      install("good")
      local server <close> = assert(http.serve("127.0.0.1:0", function(req)
        if req.path == "/slow" then require("corun").sleep(0.3) end
        return "the answer to " .. req.path
      end, {tls = options(), threads = threads or nil, idle = 20}))
      local old <close>, ask_old = client(server)
      assert.equal("good the answer to /1 False", ask_old("/1"))
      assert.equal("good", s_client(server, "localhost", {"-sess_out", folder .. "session"}))
      old.stdin:write("/slow\n") -- under way while the certificate changes

      install("elsewhere")
      assert(server:set_tls(options()))
      do
        local _ <close>, ask = client(server)
        assert.equal("elsewhere the answer to /2 False", ask("/2"))
      end
      assert.equal("good the answer to /slow False", old.stdout:read())
      assert.equal("good the answer to /3 False", ask_old("/3"))
      local subject, session = s_client(server, "localhost", {"-sess_in", folder .. "session"})
      assert.same({"elsewhere", "New"}, {subject, session})
    end)
  end

  it("bounds the connections that shake hands, apart from those that have", function()
    install("good")
    local function meet(name)
      local server <close> = assert(http.serve("127.0.0.1:0", function(req)
        return "the answer to " .. req.path
      end, {tls = options(), [name] = 3, idle = 20}))
      local closed, _ <close>, ask = 0, client(server)
      assert.equal("good the answer to /1 False", ask("/1"))
      corun.scope(function(scope)
        for _ = 1, 8 do
          scope:daemon(function()
            local silent <close> = assert(net.connect(server:address()))
            assert.equal("", silent:read("a"))
            closed = closed + 1
          end)
        end
        await("five are closed", function() return closed == 5 end)
        assert.equal(4, server.count)
        assert.equal("good the answer to /2 False", ask("/2"))
      end)
      await("all are gone", function() return server.count == 1 end)
      local other <close>, ask_other = client(server)
      assert.equal("good the answer to /3 False", ask_other("/3"))
      other:close()
    end
    for _, name in ipairs{"limit", "per_peer"} do
      local log = outcomes.captured(function() meet(name) end)
      assert.equal(3, select(2, log:gsub("closed the connection during the handshake", "")))
    end
  end)

  it("keeps the old certificate when the new one is of no use, and says why", function()
    install("good")
    local server <close> = assert(http.serve("127.0.0.1:0", function() return "the answer" end,
      {tls = options()}))
    local threaded <close> = assert(http.serve("127.0.0.1:0", function() return "the answer" end,
      {tls = options(), threads = 2}))
    local function assert_kept(pattern)
      for _, s in ipairs{server, threaded} do
        local ok, err = s:set_tls(options())
        assert.is_nil(ok)
        assert.same({"ETLS", "set_tls", s:address()}, {err.code, err.op, err.target})
        assert.matches(pattern, err.message)
        assert.equal("good", (s_client(s, "localhost")))
      end
    end
    assert(fs.write(live:path() .. "/cert.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n"))
    assert_kept("^there is no certificate %(PEM%) in .*/cert.pem$")
    assert(fs.write(live:path() .. "/cert.pem", ""))
    assert_kept("^there is no certificate %(PEM%) in .*/cert.pem$")
    install("good", "other")
    assert_kept("key")
    assert(fs.remove(live:path() .. "/key.pem"))
    assert_kept("^the key cannot be read from .*/key.pem: no such file or directory")
    install("elsewhere")
    for _, s in ipairs{server, threaded} do
      assert(s:set_tls(options()))
      assert.equal("elsewhere", (s_client(s, "localhost")))
    end
  end)

  it("has a certificate for each name: one, a wildcard, and another for the rest", function()
    local key = folder .. "key.pem"
    local function names(one)
      return {cert = folder .. "good.pem", key = key, names = {
        ["other.example"] = {cert = folder .. one .. ".pem", key = key},
        ["*.example.test"] = {cert = folder .. "wild.pem", key = key},
      }}
    end
    for _, threads in ipairs{false, 2} do
      local server <close> = assert(http.serve("127.0.0.1:0", function() return "the answer" end,
        {tls = names("elsewhere"), threads = threads or nil}))
      local function assert_names(one)
        assert.equal(one, (s_client(server, "other.example")))
        assert.equal(one, (s_client(server, "OTHER.example")))
        assert.equal("wild", (s_client(server, "a.example.test")))
        assert.equal("good", (s_client(server, "example.test")))
        assert.equal("good", (s_client(server, "a.b.example.test")))
        assert.equal("good", (s_client(server, "nobody.example")))
        assert.equal("good", (s_client(server)))
      end
      assert_names("elsewhere")
      assert(server:set_tls(names("umlaut")))
      assert_names("umlaut")
    end
  end)
end)

describe("set_tls of a server with threads", function()
  local folder

  setup(function() folder = support.make_certificates() end)
  teardown(function() support.remove(folder) end)

  it("answers misuse, and S20 a server that is closed, without harm to it", function()
    local good = {cert = folder .. "good.pem", key = folder .. "key.pem"}
    local function refused(pattern, server, o)
      local ok, err = pcall(server.set_tls, server, o)
      assert.is_false(ok)
      assert.matches("http_serve_tls_spec.lua:%d+: " .. pattern, tostring(err))
    end
    local server = assert(http.serve("127.0.0.1:0", function() return "x" end,
      {tls = good, threads = 2}))
    refused('unknown option "crt" for set_tls', server, {crt = "x"})
    refused("the server's side of set_tls needs a certificate", server, {})
    refused("the options of set_tls must be a table or a context, got nil", server, nil)
    refused("set_tls of a server with threads needs a table: a context is one thread's own", server,
      assert(corun.net.tls_context{server = true, cert = good.cert, key = good.key}))
    corun.scope(function(s) -- several at once, one of which gives up
      for _ = 1, 5 do s:spawn(server.set_tls, server, good) end
      local cancelled = s:async(server.set_tls, server, good)
      cancelled:cancel()
      pcall(corun.await, cancelled)
    end)
    local session <close> = http.session{tls = {ca = folder .. "ca.pem", server_name = "localhost"}}
    assert.equal("x", assert(session:get("https://" .. server:address())).body)
    session:close()
    local meanwhile = outcomes.waiting(server.set_tls, server, good)
    server:close()
    outcomes.assert_error("ECLOSED", "set_tls", meanwhile:await())
    refused("set_tls 127.0.0.1:%d+: the server was closed at " ..
      "tests/spec/http_serve_tls_spec.lua:%d+", server, good)
    local plain <close> = assert(http.serve("127.0.0.1:0", print, {threads = 1}))
    refused("set_tls needs a server with TLS: serve at 127.0.0.1:%d+ was given no option", plain,
      good)
  end)
end)
