-- SPDX-License-Identifier: MIT
-- The option cookies: what a session sends and stores, hop by hop, and to whom it goes (S43). The
-- rules of a jar are those of http_cookies_spec.lua.

local fs = require("corun.fs")
local http = require("corun.http")
local urls = require("corun.url")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")

local kept, ok = support.kept, support.ok

-- A server that answers with the Cookie that it got, as `seen` has it too. "/set?LINE" sets a
-- cookie; "/to?URL" leads there, and sets the cookie "hop" beside it.
local function echo(secure)
  local seen = {}
  local server, url = kept(function(head)
    local cookie = head:match("\r\n[Cc]ookie: ([^\r]*)") or "none"
    local path, query = head:match("^%u+ ([^ ?]*)%??(%S*)")
    seen[#seen + 1] = path .. " " .. cookie
    query = urls.decode(query)
    if path == "/set" then return ok(cookie, "set-cookie: " .. query .. "\r\n") end
    if path == "/to" then
      return ("HTTP/1.1 302 Found\r\nlocation: %s\r\nset-cookie: hop=%d; Path=/\r\n"
        .. "content-length: 0\r\n\r\n"):format(query, #seen)
    end
    return ok(cookie)
  end, secure)
  return server, url, seen
end

local function set(s, url, line)
  return assert(s:get(url .. "/set", {query = urls.encode(line)}))
end

local function body(s, url, o)
  return assert(s:get(url, o)).body
end

-- The same server by another name: 127.0.0.1 as localhost.
local function renamed(url)
  return (url:gsub("127%.0%.0%.1", "localhost"))
end

describe("http session cookies", function()
  it("are kept by a session, and by none other", function()
    local server <close>, url = echo()
    local s <close> = http.session()
    local other <close> = http.session()
    assert.equal("none", body(s, url))
    set(s, url, "a=1; Path=/")
    set(s, url, "b=2; Path=/")
    assert.equal("a=1; b=2", body(s, url .. "/x?q"))
    assert.equal("none", body(other, url))
    set(s, url, "a=; Path=/; Max-Age=0")
    assert.equal("b=2", body(s, url))
    assert.equal("b=2", s.cookies:header(url))
    server:close()
  end)

  it("are not kept with cookies = false, nor by http.get", function()
    local server <close>, url = echo()
    local s <close> = http.session({cookies = false})
    set(s, url, "a=1; Path=/")
    assert.equal("none", body(s, url))
    assert.is_false(s.cookies)
    server:close()
    local closing <close>, there = support.raw(function(stream)
      local head = support.read_request(stream)
      stream:write(ok(head:match("\r\n[Cc]ookie: ([^\r]*)") or "none",
        "set-cookie: a=1\r\nconnection: close\r\n"))
    end)
    for _ = 1, 2 do assert.equal("none", assert(http.get(there)).body) end
    closing:close()
  end)

  it("may be several lines of one answer, also of one that is streamed or fails", function()
    local server <close>, url = kept(function(head)
      local cookie = head:match("\r\n[Cc]ookie: ([^\r]*)")
      if cookie then return ok(cookie) end
      return "HTTP/1.1 401 No\r\nset-cookie: a=1\r\nSet-Cookie: b=2, with a comma\r\n"
        .. "content-length: 2\r\n\r\nno"
    end)
    for _, o in ipairs({{}, {stream = true}, {check = true}}) do
      local s <close> = http.session()
      local res, err = s:get(url, o)
      res = res or err.response
      if res.close then res:close() end
      assert.equal("a=1; b=2, with a comma", body(s, url))
    end
    server:close()
  end)

  it("a jar is shared, saved and loaded", function()
    local server <close>, url = echo()
    local jar = http.jar()
    local s <close> = http.session({cookies = jar})
    local other <close> = http.session({cookies = jar})
    set(s, url, "a=1; Path=/; Max-Age=60")
    assert.equal("a=1", body(other, url))
    assert.equal(jar, s.cookies)
    local dir <close> = assert(fs.temp({dir = true}))
    assert(jar:save(dir:path() .. "/cookies.txt"))
    local loaded = assert(http.load_jar(dir:path() .. "/cookies.txt"))
    local again <close> = http.session({cookies = loaded})
    assert.equal("a=1", body(again, url))
    server:close()
  end)

  it("the request's own header goes before the jar", function()
    local server <close>, url = echo()
    local s <close> = http.session()
    set(s, url, "a=1; Path=/")
    assert.equal("own=1", body(s, url, {headers = {Cookie = "own=1"}}))
    assert.equal("a=1", body(s, url))
    server:close()
  end)

  it("are stored from each hop of a redirect, and found anew for each", function()
    local server <close>, url, seen = echo()
    local name = renamed(url)
    local s <close> = http.session()
    assert.equal("hop=1", body(s, url .. "/to?/end"))
    set(s, name, "there=1; Path=/")
    assert.equal("there=1", body(s, url .. "/to?" .. name .. "/end"))
    assert.equal("hop=4", body(s, name .. "/to?" .. url .. "/end"))
    assert.same({"/to there=1", "/end hop=4"}, {table.unpack(seen, #seen - 1)})
    assert.equal("there=1; hop=6", s.cookies:header(name))
    server:close()
  end)

  it("a wall that sets a cookie and sends back lets pass", function()
    local server <close>, url = kept(function(head)
      if head:find("\r\ncookie: pass=1\r\n", 1, true) then return ok("inside") end
      return "HTTP/1.1 302 Found\r\nlocation: /\r\nset-cookie: pass=1\r\ncontent-length: 0\r\n\r\n"
    end)
    local s <close> = http.session()
    assert.equal("inside", body(s, url))
    server:close()
  end)

  it("are found anew for each try", function()
    local n = 0
    local server <close>, url = kept(function(head)
      n = n + 1
      if n == 1 then
        return "HTTP/1.1 503 Later\r\nset-cookie: node=2\r\ncontent-length: 0\r\n\r\n"
      end
      return ok(head:match("\r\ncookie: ([^\r]*)"))
    end)
    local s <close> = http.session({retries = {min = 0}})
    assert.equal("node=2", body(s, url))
    server:close()
  end)

  it("S43 with a base they are for its origin alone, also in redirects", function()
    local server <close>, url = echo()
    local other <close>, elsewhere, seen = echo()
    local name = renamed(url)
    local s <close> = http.session({base = url})
    set(s, url, "a=1; Path=/")
    assert.equal("a=1", body(s, "/x"))
    assert.equal("none", body(s, elsewhere)) -- the same host, another origin
    set(s, elsewhere, "evil=1; Path=/")
    set(s, name, "evil=2; Path=/")
    assert.equal("none", body(s, name))
    assert.equal("a=1", body(s, "/x"))
    assert.equal("none", body(s, url .. "/to?" .. elsewhere .. "/to?" .. name .. "/end"))
    assert.same({"/ none", "/set none", "/to none"}, seen)
    assert.equal("a=1; hop=6", s.cookies:header(url))
    s.base = elsewhere
    assert.equal("a=1; hop=6", body(s, "/")) -- cookies know no ports (RFC 6265bis, 8.5)
    server:close()
    other:close()
  end)

  it("secure ones go over TLS alone", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local folder = certificates.make_certificates()
    finally(function() certificates.remove(folder) end)
    local secured <close>, url = echo({cert = folder .. "good.pem", key = folder .. "key.pem"})
    local server <close>, plain = echo()
    local s <close> = http.session({
      tls = {ca = folder .. "ca.pem"}, redirects = {downgrade = true},
    })
    set(s, url, "s=1; Path=/; Secure")
    assert.equal("s=1", body(s, url))
    assert.equal("hop=3", body(s, url .. "/to?" .. plain .. "/end"))
    local res = set(s, plain, "s=2; Path=/")
    assert.matches("would hide a secure cookie", tostring(res.refused_cookies[1]), 1, true)
    secured:close()
    server:close()
  end)

  it("what is refused is told, with who sent it and why", function()
    local server <close>, url = kept(function()
      return ok("", "set-cookie: a=1; Domain=com\r\nset-cookie: b=2\r\nset-cookie: c=3; Secure\r\n")
    end)
    local s <close> = http.session()
    local res = assert(s:get(renamed(url)))
    assert.equal(2, #res.refused_cookies)
    local err = res.refused_cookies[1]
    assert.equal("ECOOKIE", err.code)
    assert.equal("store cookie", err.op)
    assert.equal("http://localhost/", err.target)
    assert.matches("com is a public suffix", err.message, 1, true)
    assert.equal("b=2", s.cookies:header(renamed(url)))
    server:close()
  end)

  it("http+unix URLs have none, for all are localhost's", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local server <close> = assert(http.serve("unix:" .. dir:path() .. "/s", function(req)
      return {body = req.headers.cookie or "none", headers = {["set-cookie"] = "a=1"}}
    end))
    local s <close> = http.session()
    local url = "http+unix://" .. dir:path():gsub("/", "%%2F") .. "%2Fs/"
    assert.equal("none", body(s, url))
    assert.equal("none", body(s, url))
    assert.is_nil(s.cookies:header("http://localhost/"))
    local through <close> = http.session({unix = dir:path() .. "/s"})
    assert.equal("none", body(through, "http://h.example/"))
    assert.equal("a=1", body(through, "http://h.example/"))
    assert.equal("none", body(through, "http://i.example/"))
    server:close()
  end)

  it("no jar is misuse", function()
    for _, bad in ipairs({{}, {a = "1"}, "jar", 1}) do
      local good, err = pcall(http.session, {cookies = bad})
      assert.is_false(good)
      assert.matches("http_session_cookies_spec.lua:%d+: option \"cookies\" for session", err)
    end
    local s <close> = http.session()
    assert.has_error(function() s:get("http://127.0.0.1:1/", {cookies = true}) end)
  end)
end)
