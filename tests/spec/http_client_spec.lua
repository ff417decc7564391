-- SPDX-License-Identifier: MIT
-- The HTTP client: every function and option, responses, URLs, sessions. Time limits, what bad
-- servers send, the pool and real servers have specs of their own.

local corun = require("corun")
local http = require("corun.http")
local json = require("corun.json")
local net = require("corun.net")
local support = require("tests.spec.support.http")

local ok, kept, canned, raw = support.ok, support.kept, support.canned, support.raw

-- A server that answers each request with itself, as JSON.
local function mirror()
  return assert(http.serve("127.0.0.1:0", function(req)
    local headers = {}
    for name, value in pairs(req.headers) do headers[name] = value end
    return {json = {method = req.method, target = req.target, headers = headers, body = req.body}}
  end))
end

local function opened()
  local server = mirror()
  return server, "http://" .. server:address()
end

describe("http functions", function()
  it("get, post, put, patch, delete send their method and give a response", function()
    local server <close>, url = opened()
    local s <close> = http.session()
    for _, name in ipairs({"get", "post", "put", "patch", "delete"}) do
      local res = assert(s[name](s, url .. "/x?y=1"))
      assert.equal(200, res.status)
      assert.is_true(res.ok)
      assert.equal(url .. "/x?y=1", res.url)
      local sent = res:json()
      assert.equal(name:upper(), sent.method)
      assert.equal("/x?y=1", sent.target)
      assert.equal(server:address(), sent.headers.host)
      assert.equal("corun", sent.headers["user-agent"])
      assert.equal("*/*", sent.headers.accept)
    end
  end)

  it("request takes any token as method", function()
    local server <close>, url = kept(function(head) return ok(head:match("^%S+")) end)
    local s <close> = http.session()
    assert.equal("OPTIONS", assert(s:request("OPTIONS", url)).body)
    assert.equal("GET", assert(s:request("GET", url)).body)
    for _, method in ipairs({"", "G T", "GET\r\nX: y", "G\0T", "CONNECT", 7}) do
      assert.error_matches(function() s:request(method, url) end, "method")
    end
    server:close()
  end)

  it("head gives the headers and no body", function()
    local server <close>, url = opened()
    local s <close> = http.session()
    for _ = 1, 3 do
      local res = assert(s:head(url))
      assert.equal("", res.body)
      assert.is_true(tonumber(res.headers["content-length"]) > 10)
    end
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("getjson decodes, and answers the response too", function()
    local server <close>, url = canned(ok('{"a": [1, null]}'))
    local s <close> = http.session()
    local value, res = s:getjson(url)
    assert.equal(1, value.a[1])
    assert.equal(json.null, value.a[2])
    assert.equal(200, res.status)
    server:close()
  end)

  it("getjson takes null from the request, else from the session", function()
    local server <close>, url = kept(function() return ok("[null]") end)
    local s <close> = http.session({null = "session"})
    assert.same({"session"}, (s:getjson(url)))
    assert.same({false}, (s:getjson(url, {null = false})))
    server:close()
  end)

  it("getjson takes a response of any status, unless check is true", function()
    local server <close>, url = kept(function()
      return 'HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}'
    end)
    local s <close> = http.session()
    local value, res = s:getjson(url)
    assert.same({}, value)
    assert.equal(404, res.status)
    local none, err = s:getjson(url, {check = true})
    assert.is_nil(none)
    assert.equal("EHTTP", err.code)
    assert.equal(404, err.status)
    server:close()
  end)

  it("getjson gives EJSON with the URL for a body that is no JSON", function()
    local server <close>, url = kept(function() return ok('{"a": ') end)
    local s <close> = http.session()
    local value, err = s:getjson(url)
    assert.is_nil(value)
    assert.equal("EJSON", err.code)
    assert.equal(url, err.target)
    value, err = s:get(url):json()
    assert.is_nil(value)
    assert.equal("EJSON", err.code)
    server:close()
  end)

  it("the default session serves the module's functions", function()
    local code = ([[
      local corun = require "corun"
      local http = corun.http
      local server = http.serve("127.0.0.1:0", function(req) return {json = {req.method}} end)
      local url = "http://" .. server:address()
      for _, name in ipairs{"get", "post", "put", "patch", "delete"} do
        assert(http[name](url):json()[1] == name:upper())
      end
      assert(http.head(url).status == 200)
      assert(http.request("GET", url).body == '["GET"]')
      assert(http.getjson(url)[1] == "GET")
      assert(http == require "corun.http")
      server:close()
      print "fine"
    ]])
    local out, good = support.run(support.corun(), "-e", code)
    assert.equal("fine\n", out)
    assert.is_true(good)
  end)

  it("tostring of a session and a response says what they are", function()
    local server <close>, url = canned(ok("abc"))
    local s <close> = http.session()
    assert.matches("^http session 0x%x+ %(open, 0 connections%)$", tostring(s))
    assert.equal(("http response (200, 3 bytes, %s)"):format(url), tostring(s:get(url)))
    s:close()
    assert.matches("closed", tostring(s))
    server:close()
  end)
end)

describe("http request options", function()
  it("headers are sent in their own spelling, a list as a line each", function()
    local server <close>, url = kept(function(head) return ok(head) end)
    local s <close> = http.session()
    local head = assert(s:get(url, {headers = {["X-One"] = "a b", two = {"1", 2}, N = 7}})).body
    assert.matches("\r\nX%-One: a b\r\n", head)
    assert.matches("\r\ntwo: 1\r\n", head)
    assert.matches("\r\ntwo: 2\r\n", head)
    assert.matches("\r\nN: 7\r\n", head)
    head = assert(s:get(url, {headers = {["User-Agent"] = "me", HOST = "else"}})).body
    assert.matches("\r\nUser%-Agent: me\r\n", head)
    assert.not_matches("user%-agent", head)
    assert.matches("\r\nHOST: else\r\n", head)
    assert.not_matches("\r\nhost:", head)
    server:close()
  end)

  it("header injection is refused in names and values", function()
    local s <close> = http.session()
    local url = "http://127.0.0.1:1/"
    local function refused(headers, what)
      local good, err = pcall(s.get, s, url, {headers = headers})
      assert.is_false(good)
      assert.matches(what, err)
      assert.matches("http_client_spec%.lua:%d+: ", err)
    end
    for _, bad in ipairs({"a\r\nb: c", "a\nb", "a\rb", "a\0b", "\1", "a\127"}) do
      refused({x = bad}, "control character")
      refused({x = {"fine", bad}}, "control character")
      refused({[bad] = "x"}, "header name")
    end
    for _, bad in ipairs({"", "a b", "a:", "é", "a\tb", "(x)"}) do
      refused({[bad] = "x"}, "header name")
    end
    refused({[1] = "x"}, "header name")
    refused({x = {}, y = true}, "must be a string or a finite number, got boolean")
    refused({x = 1 / 0}, "must be a string or a finite number, got inf")
    refused({x = 0 / 0}, "must be a string or a finite number, got NaN")
    refused({x = {a = "b"}}, 'the value of header "x" must be a list, got the key a')
    refused({x = {"a", nil, "b"}}, 'the value of header "x" must be a list')
    refused({["X-a"] = 1, ["x-A"] = 2}, 'header "x%-a" is given in two spellings')
    for _, host in ipairs({"a b", "", "h/x", "h?x", "h#x", "u@h", "h\\x", {"a", "b"}, {}, false}) do
      refused({Host = host}, 'header "Host" must be one host')
    end
    for _, own in ipairs({"Content-Length", "transfer-encoding", "Connection", "Expect"}) do
      refused({[own] = "1"}, "set by corun itself")
    end
    assert.equal(0, s.pool.active)
  end)

  it("query is escaped and added", function()
    local server <close>, url = kept(function(head)
      return ok(head:match("^GET (%S+) HTTP/1%.1\r\n"))
    end)
    local s <close> = http.session()
    local function target(path, query)
      return s:get(url .. path, {query = query}).body
    end
    assert.equal("/?a=1&b=x%20y", target("", {b = "x y", a = 1}))
    assert.equal("/p?q=1&a=%26%3D%0D%0A%00", target("/p?q=1", {a = "&=\r\n\0"}))
    assert.equal("/?a=1&a=2&b=true", target("/", {a = {1, 2}, b = true}))
    assert.equal("/?x=1&y=2", target("/", "x=1&y=2"))
    assert.equal("/?x=%23%20", target("/", "x=# "))
    assert.equal("/", target("/", {}))
    assert.error_matches(function() target("/", "a\r\nb") end, "control character")
    assert.error_matches(function() target("/", {a = print}) end, 'query value "a" must be')
    assert.error_matches(function() target("/", {"a"}) end, "names in a query must be strings")
    local res = s:get(url .. "/p", {query = {a = 1}})
    assert.equal(url .. "/p?a=1", res.url)
    server:close()
  end)

  it("json and body make the body with its length and type", function()
    local server <close>, url = opened()
    local s <close> = http.session()
    local sent = s:post(url, {json = {1, 2}}):json()
    assert.equal("[1,2]", sent.body)
    assert.equal("application/json", sent.headers["content-type"])
    assert.equal("5", sent.headers["content-length"])
    sent = s:post(url, {json = json.null, headers = {["Content-Type"] = "text/x"}}):json()
    assert.equal("null", sent.body)
    assert.equal("text/x", sent.headers["content-type"])
    sent = s:put(url, {body = "a\0b"}):json()
    assert.equal("a\0b", sent.body)
    assert.is_nil(sent.headers["content-type"])
    for _, name in ipairs({"post", "put", "patch"}) do
      assert.equal("0", s[name](s, url):json().headers["content-length"])
    end
    assert.is_nil(s:get(url):json().headers["content-length"])
    assert.equal("x", s:get(url, {body = "x"}):json().body)
    assert.error_matches(function() s:post(url, {json = 1, body = "x"}) end, "exclude each other")
    assert.has_error(function() s:post(url, {json = print}) end)
    server:close()
  end)

  it("a large body reaches the server whole", function()
    local server <close>, url = opened()
    local s <close> = http.session()
    local body = string.rep("0123456789abcdef", 1 << 18) -- 4 MiB
    assert.is_true(s:post(url, {body = body}):json().body == body)
    server:close()
  end)

  it("check turns a status of 400 and above into EHTTP with the response", function()
    local server <close>, url = kept(function(head)
      local status = head:match("^GET /(%d+)")
      return ("HTTP/1.1 %s Because\r\ncontent-length: 3\r\n\r\nwhy"):format(status)
    end)
    local s <close> = http.session()
    for _, status in ipairs({400, 404, 503, 999}) do
      local res, err = s:get(url .. "/" .. status, {check = true})
      assert.is_nil(res)
      assert.equal("EHTTP", err.code)
      assert.equal(status, err.status)
      assert.equal(status, err.response.status)
      assert.equal("why", err.response.body)
      assert.equal(url .. "/" .. status, err.target)
      assert.matches(tostring(status), tostring(err))
    end
    assert.equal(399, s:get(url .. "/399", {check = true}).status)
    local res = s:get(url .. "/500")
    assert.equal(500, res.status)
    assert.is_false(res.ok)
    local strict <close> = http.session({check = true})
    assert.is_nil((strict:get(url .. "/404")))
    assert.equal(404, strict:get(url .. "/404", {check = false}).status)
    server:close()
  end)

  it("max_body bounds fixed, chunked and open-ended bodies", function()
    local function reply(head)
      local kind, n = head:match("^GET /(%a+)/(%d+)")
      local body = string.rep("x", tonumber(n))
      if kind == "fixed" then return ok(body) end
      if kind == "chunked" then
        local half = #body // 2
        return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" ..
          ("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"):format(half, body:sub(1, half), #body - half,
            body:sub(half + 1))
      end
      return "HTTP/1.0 200 OK\r\n\r\n" .. body
    end
    local server <close>, url = raw(function(stream)
      stream:write(reply(support.read_request(stream)))
    end)
    local s <close> = http.session({max_body = 1000})
    for _, kind in ipairs({"fixed", "chunked", "close"}) do
      assert.equal(1000, #assert(s:get(url .. "/" .. kind .. "/1000")).body)
      local res, err = s:get(url .. "/" .. kind .. "/1001")
      assert.is_nil(res)
      assert.equal("EMSGSIZE", err.code)
      assert.equal(1001, #assert(s:get(url .. "/" .. kind .. "/1001", {max_body = 1001})).body)
      assert.is_nil((s:get(url .. "/" .. kind .. "/1000", {max_body = 999})))
    end
    server:close()
  end)

  it("unknown and mistyped options raise at the caller's line, with a did-you-mean", function()
    local s <close> = http.session()
    local function raises(what, ...)
      local good, err = pcall(...)
      assert.is_false(good)
      assert.matches(what, err)
      assert.matches("http_client_spec%.lua:%d+: ", err)
    end
    raises('did you mean "headers"', function() s:get("http://x", {header = {}}) end)
    raises('did you mean "timeout"', function() s:get("http://x", {tiemout = 1}) end)
    raises('did you mean "connect"', function() s:get("http://x", {timeout = {conect = 1}}) end)
    raises('did you mean "per_host"', function() http.session({perhost = 1}) end)
    raises('did you mean "read"', function() http.session({timeout = {reed = 1}}) end)
    raises("timeout", function() s:get("http://x", {timeout = -1}) end)
    raises("timeout", function() s:get("http://x", {timeout = 0 / 0}) end)
    raises("limit", function() http.session({limit = 0}) end)
    raises("max_body", function() s:get("http://x", {max_body = 0}) end)
    raises("options of request must be a table", function() s:get("http://x", 1) end)
    raises("URL must be a string", function() s:get(nil) end)
    raises("URL must be a string", function() http.get({}) end)
    raises("body", function() s:post("http://x", {body = {}}) end)
  end)
end)

describe("http responses", function()
  it("headers are read in any case; several values are joined, Set-Cookie is a list", function()
    local server <close>, url = canned("HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2\r\nEmpty:\r\n" ..
      "Set-Cookie: a=1\r\nset-cookie: b=2\r\nB:  spaces in   \t\r\ncontent-length: 0\r\n\r\n")
    local s <close> = http.session()
    local h = assert(s:get(url)).headers
    assert.equal("1, 2", h["x-a"])
    assert.equal("1, 2", h["X-A"])
    assert.equal("", h.empty)
    assert.equal("spaces in", h.b)
    assert.same({"a=1", "b=2"}, h["Set-Cookie"])
    assert.is_nil(h.nothing)
    server:close()
  end)

  it("a header of 16,000 blanks does not hold the loop", function()
    local server <close>, url = canned("HTTP/1.1 200 OK\r\na: x" .. (" x"):rep(7000) ..
      "\r\ncontent-length: 0\r\n\r\n")
    local s <close> = http.session()
    local before = os.clock()
    assert.equal(14001, #assert(s:get(url)).headers.a)
    assert.is_true(os.clock() - before < 0.5)
    server:close()
  end)

  it("bodies: fixed, chunked with extensions and trailers, until close, empty", function()
    local s <close> = http.session()
    for bytes, body in pairs({
      [ok("hello")] = "hello",
      [ok("")] = "",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n002\r\nde\r\n" ..
        "0\r\nX-T: 1\r\n\r\n"] = "abcde",
      ["HTTP/1.1 200 OK\r\n\r\nuntil close"] = "until close",
      ["HTTP/1.0 200 OK\r\n\r\n"] = "",
      ["HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx"] = "x",
      ["HTTP/1.1 204 No Content\r\n\r\n"] = "",
      ["HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"] = "",
    }) do
      local server <close>, url = canned(bytes)
      local res = assert(s:get(url))
      assert.equal(body, res.body)
      assert.is_nil(res.headers["x-t"])
      server:close()
    end
  end)

  it("1xx responses go before the final one", function()
    local server <close>, url = kept(function()
      return "HTTP/1.1 100 Continue\r\n\r\n" ..
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" .. ok("x")
    end)
    local s <close> = http.session()
    for _ = 1, 3 do
      local res = assert(s:get(url))
      assert.equal(200, res.status)
      assert.is_nil(res.headers.link)
    end
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("a response may come byte by byte", function()
    local bytes = "HTTP/1.1 200 OK\r\nx-long: " .. ("v"):rep(40) ..
      "\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwxyz\r\n1\r\n!\r\n0\r\nt: u\r\n\r\n"
    local server <close>, url = raw(function(stream)
      while support.read_request(stream) do
        for i = 1, #bytes do
          if not stream:write(bytes:sub(i, i)) then return end
          if i % 3 == 0 then corun.sleep(0) end
        end
      end
    end)
    local s <close> = http.session()
    for _ = 1, 3 do assert.equal("wxyz!", assert(s:get(url)).body) end
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("a large body comes whole, fixed and chunked", function()
    local body = string.rep("0123456789", 500000)
    local server <close>, url = raw(function(stream)
      local head = support.read_request(stream)
      if head:find("^GET /fixed") then
        stream:write(ok(body))
      else
        stream:write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for i = 1, #body, 70001 do
          local part = body:sub(i, i + 70000)
          stream:write(("%x\r\n%s\r\n"):format(#part, part))
        end
        stream:write("0\r\n\r\n")
      end
    end)
    local s <close> = http.session()
    assert.is_true(assert(s:get(url .. "/fixed")).body == body)
    assert.is_true(assert(s:get(url .. "/chunked")).body == body)
    server:close()
  end)

  it("a request body that the server does not want: its answer is delivered", function()
    local server <close>, url = raw(function(stream)
      stream:read_until("\r\n\r\n")
      stream:write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n" ..
        "connection: close\r\n\r\nno!")
      stream:shutdown()
      corun.sleep(0.2)
    end)
    local s <close> = http.session()
    local res = assert(s:post(url, {body = string.rep("x", 16 << 20)}))
    assert.equal(413, res.status)
    assert.equal("no!", res.body)
    assert.equal(0, s.pool.open)
    server:close()
  end)
end)

describe("http URLs", function()
  it("bad ones give EURL and connect nowhere", function()
    local s <close> = http.session()
    for _, url in ipairs({"", "x", "/x", "http:", "http://", "http:///x", "ftp://h/", "htps://h/",
      "https://", "https://h:0/", "http+unix:///x", "http+unix://%00/",
      "http+unix://%0a/x",
      "http://h:0/", "http://h:65536/", "http://h:x/", "http://h:1:2/", "http://*/",
      "http://%2a/", "http://h/\r\nx", "http://h/\0", "http://h\r\n/", "http://a b/",
      "http://[::1",
      "http://[zz]/", "http://::1/", "http://h\\x/", "http://" .. ("a"):rep(300) .. "/",
      "http://h:99999999999999999999/", "http://h/\127", "//h/x", "http//h",
      "http://\u{2100}/", "http://\xff/"}) do
      local res, err = s:get(url)
      assert.is_nil(res, url)
      assert.equal("EURL", err.code)
      assert.equal(url:gsub("%c", function(c) return ("\\x%02X"):format(c:byte()) end), err.target)
    end
    assert.equal(0, s.pool.open)
  end)

  it("targets: escaped where they must be, fragment dropped, Host with its port", function()
    local server <close>, url = kept(function(head)
      return ok(head:match("^GET (%S+) HTTP/1%.1\r\nhost: ([^\r]+)\r\n") and
        head:match("^GET (%S+) ") or "?")
    end)
    local s <close> = http.session()
    for path, target in pairs({
      [""] = "/", ["/"] = "/", ["?a"] = "/?a", ["#f"] = "/", ["/a#b?c"] = "/a", ["/a b"] = "/a%20b",
      ["/é"] = "/%C3%A9", ["/%41%zz"] = "/%41%zz", ['/"<>^`{|}\\'] = "/%22%3C%3E%5E%60%7B|%7D%5C",
      ["/a//b/../c"] = "/a//b/../c", ["/?q=a+b&c=[1]"] = "/?q=a+b&c=[1]",
    }) do
      assert.equal(target, assert(s:get(url .. path)).body, path)
    end
    server:close()
  end)

  it("names are resolved; a failure is an error", function()
    local server <close>, url = kept(function(head) return ok(head:match("host: ([^\r]+)")) end)
    local port = url:match("%d+$")
    local s <close> = http.session()
    assert.equal("localhost:" .. port, assert(s:get("HTTP://localhost:" .. port)).body)
    local res, err = s:get("http://no-such-host.invalid/")
    assert.is_nil(res)
    assert.equal("resolve", err.op)
    assert.equal("no-such-host.invalid:80", err.target)
    server:close()
  end)

  it("nobody listens: ECONNREFUSED with the address", function()
    local s <close> = http.session()
    local port = support.free_port()
    local res, err = s:get("http://127.0.0.1:" .. port)
    assert.is_nil(res)
    assert.equal("ECONNREFUSED", err.code)
    assert.equal("connect", err.op)
    assert.equal("127.0.0.1:" .. port, err.target)
    assert.equal(0, s.pool.open + s.pool.active)
  end)
end)

describe("http sessions", function()
  it("S43 base is a prefix; an absolute URL replaces it", function()
    local server <close>, url = kept(function(head) return ok(head:match("^GET (%S+)")) end)
    for base, cases in pairs({
      [url .. "/v1"] = {["/x"] = "/v1/x", x = "/v1/x", [""] = "/v1", ["?q=1"] = "/v1?q=1",
        ["/x?q"] = "/v1/x?q", ["//evil/x"] = "/v1//evil/x", [url .. "/y"] = "/y"},
      [url .. "/v1/"] = {["/x"] = "/v1/x", x = "/v1/x", [""] = "/v1/"},
      [url] = {["/x"] = "/x", x = "/x", [""] = "/", ["@evil/"] = "/@evil/", [":1/"] = "/:1/"},
    }) do
      local s <close> = http.session({base = base})
      for target, expected in pairs(cases) do
        local res = assert(s:get(target))
        assert.equal(expected, res.body)
      end
    end
    local s <close> = http.session({base = url .. "/a"})
    assert.equal("/a/x", s:get("/x").body)
    s.base = url .. "/b"
    assert.equal("/b/x", s:get("/x").body)
    s.base = nil
    assert.equal("EURL", select(2, s:get("/x")).code)
    for _, bad in ipairs({"x", "ftp://h", "http://h/?q", "http://h/#f", "/v1"}) do
      assert.error_matches(function() http.session({base = bad}) end, 'option "base" for session')
    end
    server:close()
  end)

  it("S43 the session's headers and query go along, the request's win", function()
    local server <close>, url = kept(function(head) return ok(head) end)
    local s <close> = http.session({
      headers = {["X-Key"] = "k", Accept = "a/b"}, query = {v = 1, w = 2},
    })
    local head = assert(s:get(url)).body
    assert.matches("^GET /%?v=1&w=2 ", head)
    assert.matches("\r\nX%-Key: k\r\n", head)
    assert.matches("\r\nAccept: a/b\r\n", head)
    assert.not_matches("accept:", head)
    head = s:get(url, {headers = {["x-key"] = "own"}, query = {w = 3}}).body
    assert.matches("^GET /%?v=1&w=3 ", head)
    assert.matches("\r\nx%-key: own\r\n", head)
    assert.not_matches("X%-Key", head)
    s.headers.later = "yes"
    assert.matches("\r\nlater: yes\r\n", s:get(url).body)
    s.headers = {}
    assert.not_matches("later", s:get(url).body)
    server:close()
  end)

  it("S43 with a base they go to its origin only", function()
    local server <close>, url = kept(function(head) return ok(head) end)
    local other <close>, other_url = kept(function(head) return ok(head) end)
    local s <close> = http.session({base = url, headers = {secret = "s"}, query = "key=1"})
    assert.matches("secret: s", s:get("/").body)
    assert.matches("secret: s", s:get(url .. "/x").body)
    local head = s:get(other_url .. "/x").body
    assert.not_matches("secret", head)
    assert.matches("^GET /x ", head)
    assert.matches("own: o", s:get(other_url, {headers = {own = "o"}}).body)
    server:close()
    other:close()
  end)

  it("S20 a closed one raises ECLOSED; closing twice is fine", function()
    local s = http.session()
    s:close()
    s:close()
    local good, err = pcall(s.get, s, "http://x/")
    assert.is_false(good)
    assert.equal("ECLOSED", err.code)
    assert.matches("http_client_spec%.lua:%d+: ", tostring(err))
    assert.has_error(function() s:getjson("http://x/") end)
  end)

  it("S20 closing it ends requests under way, waiting and connecting with ECLOSED", function()
    local server <close>, url = raw(function(stream) stream:read("a") end)
    local full <close> = assert(net.listen("127.0.0.1:0", {backlog = 1}))
    local streams = {}
    for _ = 1, 4 do streams[#streams + 1] = net.connect(full:address(), {timeout = 0.1}) end
    local s = http.session({limit = 2})
    corun.scope(function(scope)
      local tasks = {}
      for i, target in ipairs({url, "http://" .. full:address(), url, url}) do
        tasks[i] = support.blocked(scope, s.get, s, target)
      end
      corun.sleep(0.05)
      s:close()
      for i, op in ipairs({"read", "connect", "wait", "wait"}) do
        local res, err = tasks[i]:await()
        assert.is_nil(res)
        assert.equal("ECLOSED", err.code)
        assert.equal(op, err.op)
      end
    end)
    assert.equal(0, s.pool.open + s.pool.active + s.pool.waiting)
    for _, stream in ipairs(streams) do stream:close() end
    server:close()
  end)

  it("<close> and the collector close one", function()
    local server <close>, url = kept(function() return ok("x") end)
    do
      local s <close> = http.session()
      s:get(url)
      assert.equal(1, server.count)
    end
    support.eventually("closed", function() return server.count == 0 end)
    http.session():get(url)
    collectgarbage()
    collectgarbage()
    support.eventually("collected", function() return server.count == 0 end)
    server:close()
  end)
end)
