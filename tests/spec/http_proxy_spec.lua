-- SPDX-License-Identifier: MIT
-- Proxies of HTTP: whole URLs, tunnels by CONNECT, the choice of the proxy, and whom
-- credentials are told.

local corun = require("corun")
local http = require("corun.http")
local proxies = require("tests.spec.support.proxies")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")
local outcomes = require("tests.spec.support.outcomes")

local ok, kept = support.ok, support.kept

-- A server that answers with the head that it got, which is a proxy for those who take it for one.
local function echo(secure)
  return kept(function(head, body, n) return ok(("%d %s%s"):format(n, head, body)) end, secure)
end

-- A request that the proxy brings to nothing.
local function fails(code, s, url, o)
  local res, err = s:get(url, o)
  assert.is_nil(res)
  assert.equal(code, err.code)
  assert.equal("proxy", err.op)
  assert.equal(0, s.pool.open + s.pool.active)
  assert.not_matches("secret", tostring(err) .. tostring(err.cause))
  return err
end

describe("a request for http through a proxy", function()
  it("has its whole URL, and goes to the proxy alone", function()
    local server <close>, url = echo()
    local s <close> = http.session({proxy = url})
    local body = assert(s:get("http://nowhere.invalid/a?b=1#c", {query = {d = 2}})).body
    assert.matches("^1 GET http://nowhere%.invalid/a%?b=1&d=2 HTTP/1%.1\r\n", body)
    assert.matches("\r\nhost: nowhere.invalid\r\n", body, 1, true)
    assert.not_matches("proxy-", body, 1, true)
    body = assert(s:post("http://[::1]:81", {body = "x"})).body
    assert.matches("POST http://[::1]:81/ HTTP/1.1\r\nhost: [::1]:81\r\n", body, 1, true)
    server:close()
  end)

  it("brings the credentials, decoded, but no error or text has them", function()
    local server <close>, url = echo()
    local proxy = url:gsub("//", "//us%%C3%%A9r:secret%%40:@")
    local s <close> = http.session({proxy = proxy})
    local body = assert(s:get("http://h/")).body
    assert.matches("\r\nproxy-authorization: Basic dXPDqXI6c2VjcmV0QDo=\r\n", body, 1, true)
    assert.not_matches("secret", tostring(s))
    local all = require("corun.json").encode(s:stats())
    assert.not_matches("secret", all)
    server:close()
    local down <close> = http.session({proxy = proxy})
    local err = fails("ECONNREFUSED", down, "http://h/")
    assert.equal(url, err.target)
    assert.matches("^connect: ", err.message)
    assert.equal("connect", err.cause.op)
    assert.is_true(err.retryable)
  end)

  it("keeps the connection to the proxy, for this origin and these credentials", function()
    local server <close>, url = echo()
    local s <close> = http.session()
    local function n(target, proxy)
      return (assert(s:get(target, {proxy = proxy})).body:match("^%d+"))
    end
    assert.equal("1", n("http://a/", url))
    assert.equal("1", n("http://a/x", url))
    assert.equal("2", n("http://b/", url))
    assert.equal("3", n("http://a/", (url:gsub("//", "//u:p@"))))
    assert.equal("4", n("http://a/", (url:gsub("//", "//u:q@"))))
    assert.equal("5", n(url .. "/", false))
    assert.equal("6", n(url .. "/", url))
    assert.equal("5", n(url .. "/", false))
    server:close()
  end)

  it("is sent over a connection of its own where it cannot be sent twice", function()
    local server <close>, url = echo()
    local s <close> = http.session({proxy = url})
    for i, method in ipairs({"GET", "POST", "PATCH"}) do
      assert.matches("^" .. i, assert(s:request(method, "http://h/")).body)
    end
    server:close()
  end)

  it("takes the proxy's answer as any other", function()
    local server <close>, url = support.canned(
      "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno")
    local s <close> = http.session({proxy = url})
    local res = assert(s:get("http://h/"))
    assert.equal(407, res.status)
    assert.equal("no", res.body)
    server:close()
  end)

  it("sends a header Proxy-Authorization of the script's in place of that of the URL", function()
    local server <close>, url = echo()
    local s <close> = http.session({proxy = (url:gsub("//", "//u:p@"))})
    local body = assert(s:get("http://h/", {headers = {["Proxy-Authorization"] = "Own x"}})).body
    assert.matches("\r\nProxy-Authorization: Own x\r\n", body, 1, true)
    assert.not_matches("Basic", body)
    server:close()
  end)

  it("tells the credentials of a proxy to no server that a redirect or a hook leads to", function()
    local direct <close>, direct_url = echo()
    local server <close>, url = kept(function(head)
      if head:find("^GET http://h/away ") then
        return "HTTP/1.1 302 F\r\nlocation: " .. direct_url .. "/\r\ncontent-length: 0\r\n\r\n"
      end
      return ok(head)
    end)
    proxies.with_environment({http_proxy = url:gsub("//", "//u:secret@"),
        no_proxy = direct:address()}, function()
      local s <close> = http.session()
      local body = assert(s:get("http://h/away")).body
      assert.matches("^1 GET / HTTP", body)
      assert.not_matches("proxy-authorization", body:lower(), 1, true)
      local seen
      local hooked <close> = http.session({on_request = function(r)
        seen = r.headers["proxy-authorization"]
        r.url = direct_url .. "/"
      end})
      body = assert(hooked:get("http://h/")).body
      assert.is_nil(seen)
      assert.not_matches("proxy-authorization", body:lower(), 1, true)
    end)
    server:close()
    direct:close()
  end)
end)

describe("the choice of a proxy", function()
  it("is the environment's, but for those of no_proxy; a request's before the session's", function()
    local direct <close>, direct_url = echo()
    local one <close>, one_url = echo()
    local two <close>, two_url = echo()
    proxies.with_environment({http_proxy = one_url, no_proxy = "example.org," .. direct:address()},
      function()
        local s <close> = http.session()
        assert.matches("GET http://h/ ", assert(s:get("http://h/")).body, 1, true)
        assert.matches("GET / ", assert(s:get(direct_url)).body, 1, true)
        assert.matches("GET " .. direct_url .. "/ ",
          assert(s:get(direct_url, {proxy = two_url})).body, 1, true)
        local none <close> = http.session({proxy = false})
        assert.matches("GET / ", assert(none:get(one_url)).body, 1, true)
        assert.matches("GET http://h/ ",
          assert(none:get("http://h/", {proxy = two_url})).body, 1, true)
        local own <close> = http.session({proxy = two_url})
        assert.matches("GET http://example.org/ ",
          assert(own:get("http://example.org")).body, 1, true)
        assert.matches("GET / ", assert(own:get(direct_url, {proxy = false})).body, 1, true)
      end)
    direct:close()
    one:close()
    two:close()
  end)

  it("with an environment that names no proxy is an error of the request, each time", function()
    local server <close>, url = echo()
    for _, bad in ipairs({"http://u:secret@:80", "ftp://u:secret@h", "http://a%3Ab:secret@h"}) do
      proxies.with_environment({http_proxy = bad}, function()
        local s <close> = http.session()
        assert.equal(200, assert(s:get(url, {proxy = false})).status)
        for _ = 1, 2 do
          local res, err = s:get(url)
          assert.is_nil(res)
          assert.equal("EURL", err.code)
          assert.equal("proxy", err.op)
          assert.not_matches("secret", tostring(err))
        end
      end)
    end
    server:close()
  end)

  it("is none for a Unix socket", function()
    local net = require("corun.net")
    local path = os.tmpname()
    os.remove(path)
    local server <close> = assert(net.serve("unix:" .. path, function(s)
      if support.read_request(s) then s:write(ok("unix")) end
    end))
    proxies.with_environment({http_proxy = "http://127.0.0.1:1"}, function()
      local s <close> = http.session({proxy = "socks5://127.0.0.1:1"})
      for _, o in ipairs({{}, {proxy = "http://127.0.0.1:1"}}) do
        assert.equal("unix", assert(s:get("http+unix://" .. path:gsub("/", "%%2F") .. "/", o)).body)
        assert.equal("unix", assert(s:get("http://h/", {unix = path, proxy = o.proxy})).body)
      end
    end)
    server:close()
  end)

  it("refuses what is no proxy, and shows no password", function()
    for _, bad in ipairs({true, 1, "ftp://u:secret@h", "", "http://", "http://h:0", "http://h h",
        "http://a%3Ab:secret@h", "http://a:secret%0a@h", "socks5://:secret@h",
        "socks5://u:secret" .. ("x"):rep(250) .. "@h"}) do
      local fine, why = pcall(http.get, "http://h/", {proxy = bad})
      assert.is_false(fine)
      assert.matches('"proxy"', tostring(why), 1, true)
      assert.not_matches("secret", tostring(why))
      assert.is_false((pcall(http.session, {proxy = bad})))
    end
  end)
end)

describe("a request for https through a proxy", function()
  if not certificates.has_openssl then return pending("the openssl command is not installed") end
  local folder, good, trust, untouched, origin

  setup(function()
    folder = certificates.make_certificates()
    good = {cert = folder .. "good.pem", key = folder .. "key.pem"}
    trust = {ca = folder .. "ca.pem"}
  end)

  teardown(function() certificates.remove(folder) end)

  -- Answers nothing, for those who must not get there.
  untouched = "https://127.0.0.1:9/"

  it("asks for a tunnel, and TLS is spoken with the server", function()
    local heads = {}
    local server <close>, url = echo(good)
    origin = url:match("[^/]+$")
    local through <close>, proxy = proxies.tunnel({heads = heads})
    local s <close> = http.session({tls = trust, proxy = (proxy:gsub("//", "//u:secret@"))})
    for _ = 1, 3 do
      local body = assert(s:get(url .. "/x", {
        auth = "token", headers = {["Proxy-Authorization"] = "Own"}})).body
      assert.matches("^1 GET /x HTTP/1.1\r\nhost: ", body)
      assert.not_matches("proxy", body:lower(), 1, true)
    end
    assert.equal(1, #heads)
    assert.matches(("^CONNECT %s HTTP/1.1\r\nhost: %s\r\n"):format(origin, origin), heads[1])
    assert.matches("\r\nproxy-authorization: Basic dTpzZWNyZXQ=\r\n", heads[1], 1, true)
    assert.not_matches("token", heads[1])
    local times = assert(s:get(url, {proxy = proxy})).times
    assert.is_true(times.connect > 0 and times.tls > 0)
    assert.equal(2, #heads)
    assert.equal(2, s.pool.open)
    server:close()
    through:close()
  end)

  it("verifies the server, not the proxy's word for it", function()
    outcomes.captured(function()
      local server <close>, url = echo(good)
      local through <close>, proxy = proxies.tunnel({})
      local s <close> = http.session({proxy = proxy})
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.equal("handshake", err.op)
      assert.equal(0, s.pool.open + s.pool.active)
      assert.equal(200, assert(s:get(url, {tls = trust})).status)
      server:close()
      through:close()
    end)
  end)

  it("says what a refusal was", function()
    for status, why in pairs({[407] = "does not accept", [403] = "403", [502] = "502",
        [302] = "302", [500] = "500"}) do
      local through <close>, proxy = proxies.tunnel({answer = function()
        return ("HTTP/1.1 %d secret\r\ncontent-length: 6\r\n\r\nsecret"):format(status)
      end})
      local s <close> = http.session({proxy = (proxy:gsub("//", "//u:secret@"))})
      local err = fails("EPROXY", s, untouched)
      assert.equal(status, err.status)
      assert.equal(proxy, err.target)
      assert.matches("CONNECT 127.0.0.1:9: the proxy answered " .. status, err.message, 1, true)
      assert.matches(why, err.message, 1, true)
      assert.equal(status == 502 or nil, err.retryable)
      through:close()
    end
    local through <close>, proxy = proxies.tunnel({answer = function()
      return "HTTP/1.1 407 x\r\n\r\n"
    end})
    local s = http.session({proxy = proxy})
    assert.matches("wants a user", fails("EPROXY", s, untouched).message)
    through:close()
  end)

  it("passes over interim answers and over what a 200 says of a body", function()
    local server <close>, url = echo(good)
    local through <close> = proxies.tunnel({})
    local relay <close> = assert(require("corun.net").serve("127.0.0.1:0", function(s)
      local head = s:read_until("\r\n\r\n")
      local to <close> = assert(require("corun.net").connect(through:address()))
      to:write(head)
      to:read_until("\r\n\r\n")
      s:write("HTTP/1.0 100 x\r\n\r\nHTTP/1.1 103\r\nlink: y\r\n\r\n",
        "HTTP/1.1 204\r\ncontent-length: 50\r\ntransfer-encoding: chunked\r\n\r\n")
      proxies.pump(s, to)
    end))
    local s <close> = http.session({tls = trust, proxy = "http://" .. relay:address()})
    assert.equal(200, assert(s:get(url)).status)
    server:close()
    through:close()
  end)

  it("refuses bytes that come before the handshake", function()
    local server <close>, url = echo(good)
    local through <close>, proxy = proxies.tunnel({more = "HTTP/1.1 200 OK\r\n\r\n"})
    local s <close> = http.session({tls = trust, proxy = proxy})
    local res, err = s:get(url)
    assert.is_nil(res)
    assert.equal("ETLS", err.code)
    assert.equal(0, s.pool.open + s.pool.active)
    through:close()
    server:close()
  end)

  it("refuses answers that are malformed", function()
    for _, answer in ipairs({"SSH-2.0-x\r\n\r\n", "\r\n\r\n", "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 2000 x\r\n\r\n", "HTTP/1.1 20 x\r\n\r\n", "HTTP/1.1 600 x\r\n\r\n",
        "HTTP/1.1 101 x\r\n\r\n", "HTTP/1.1 200 x\nbare: lf\r\n\r\n",
        "HTTP/1.1 200 x\r\n: y\r\n\r\n",
        "HTTP/1.1 200 x\r\na: b\r\n folded\r\n\r\n", "HTTP/1.1 200 x\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 x\r\na : b\r\n\r\n", "HTTP/1.1 200 \0\r\n\r\n",
        "HTTP/1.1 200 x\r\na: \r\r\n\r\n",
        ("HTTP/1.1 100 x\r\n\r\n"):rep(50), " HTTP/1.1 200 x\r\n\r\n"}) do
      local through <close>, proxy = proxies.saying(answer, {hold = true})
      local s <close> = http.session({proxy = proxy})
      fails("EPROTO", s, untouched)
      through:close()
    end
  end)

  it("notices an answer that ends at any byte", function()
    local answer = "HTTP/1.1 200 ok\r\na: b\r\n\r\n"
    for n = 0, #answer - 1 do
      local through <close>, proxy = proxies.saying(answer:sub(1, n))
      local s <close> = http.session({proxy = proxy})
      assert.matches("closed the connection before", fails("EOF", s, untouched).message)
      through:close()
    end
  end)

  it("bounds the head, at once and in pieces", function()
    for _, more in ipairs({("x"):rep(100000), ("a: b\r\n"):rep(20000),
        ("HTTP/1.1 100 x\r\na: " .. ("b"):rep(6000) .. "\r\n\r\n"):rep(5)}) do
      local through <close>, proxy = proxies.saying("HTTP/1.1 100 x\r\na: b\r\n\r\n" .. more,
        {hold = true})
      local s <close> = http.session({proxy = proxy})
      assert.matches("too long", fails("EMSGSIZE", s, untouched).message)
      through:close()
    end
  end)

  it("bounds the time of all that is said, however slowly", function()
    local through <close>, proxy = support.raw(function(s)
      s:read_until("\r\n\r\n")
      s:write("HTTP/1.1 200 ok\r\n")
      while s:write("a: b\r\n") do corun.sleep(0.01) end
    end)
    local s <close> = http.session({proxy = proxy, timeout = {connect = 0.1}})
    local before = corun.now()
    assert.matches("in time", fails("ETIMEDOUT", s, untouched).message)
    assert.is_true(corun.now() - before < 2)
    through:close()
  end)

  it("can be cancelled and closed while the proxy says nothing, and leaves nothing open", function()
    local arrived, ended = corun.event(), corun.event()
    local through <close>, proxy = support.raw(function(s)
      s:read_until("\r\n\r\n")
      arrived:set()
      s:read("a")
      ended:set()
    end)
    local s = http.session({proxy = proxy})
    local t = corun.async(function() return s:get(untouched) end)
    arrived:wait()
    t:cancel()
    pcall(t.await, t)
    ended:wait()
    assert.equal(0, s.pool.open + s.pool.active)
    arrived:clear()
    ended:clear()
    t = corun.async(function() return s:get(untouched) end)
    arrived:wait()
    s:close()
    local _, err = t:await()
    assert.equal("ECLOSED", err.code)
    ended:wait()
    through:close()
  end)

  it("is tried again where that may help", function()
    local server <close>, url = echo(good)
    local n = 0
    local through <close>, proxy = proxies.tunnel({answer = function()
      n = n + 1
      if n == 1 then return "HTTP/1.1 503 x\r\n\r\n" end
    end})
    local s <close> = http.session({tls = trust, proxy = proxy, retries = {max = 0.001}})
    assert.equal(200, assert(s:get(url)).status)
    assert.equal(2, n)
    server:close()
    through:close()
  end)

  it("a proxy that speaks TLS is verified too, and takes requests for http", function()
    local server <close>, url = kept(function(head) return ok(head) end, good)
    outcomes.captured(function(lines)
      fails("ETLS", http.session({proxy = url, tls = {insecure = true}}), "http://h/")
      support.eventually("the server hears of it", function() return lines[1] end)
    end)
    local out, fine = support.run("env", "SSL_CERT_FILE=" .. folder .. "ca.pem", support.corun(),
      "-e",
      ([[local http = require "corun.http"
      print(assert(http.get("http://h/x", {proxy = %q})).body)]]):format(url))
    assert(fine, out)
    assert.matches("^GET http://h/x HTTP/1.1\r\n", out)
    server:close()
  end)
end)
