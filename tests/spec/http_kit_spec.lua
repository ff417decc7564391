-- SPDX-License-Identifier: MIT
-- What handlers are built of: cookies, compression, server-sent events, CORS, Basic authentication,
-- request ids, lines for logs. Each with its real clients.

local codec = require("corun.codec")
local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local outcomes = require("tests.spec.support.outcomes")
local support = require("tests.spec.support.http")

local serve, captured = support.serve, outcomes.captured

local function fails(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(pattern, tostring(err), 1, true)
end

describe("cookies of a server:", function()
  it("those of a request", function()
    local server <close>, url = serve(function(req) return {json = req.cookies} end)
    local s <close> = http.session()
    for header, cookies in pairs{
      ["a=1; b=two=2;c = 3 "] = {a = "1", b = "two=2", c = "3"},
      ["a=1; a=2; =x; y; z="] = {a = "1", z = ""},
      ['q="in quotes"'] = {q = "in quotes"},
    } do
      assert.same(cookies, assert(s:get(url, {headers = {Cookie = header}})):json())
    end
    assert.same({}, assert(s:get(url)):json())
    server:close()
  end)

  it("set_cookie writes a header, and refuses what browsers would", function()
    local set = http.set_cookie
    assert.equal("a=b; Path=/", set("a", "b"))
    assert.equal("a=; Path=/x; Domain=example.org; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 "
      .. "GMT; SameSite=None; Secure; HttpOnly; Partitioned", set("a", "", {path = "/x",
      domain = "example.org", max_age = 0, expires = 0, same_site = "none", secure = true,
      http_only = true, partitioned = true}))
    assert.equal("__Host-a=b; Path=/; Secure", set("__Host-a", "b", {secure = true}))
    fails("bad name", set, "a b", "")
    fails("bad name", set, nil, "")
    for _, value in ipairs{"a b", 'a"b', "a;b", "a,b", "a\\b", "a\nb", "\xe9"} do
      fails("visible ASCII", set, "a", value)
    end
    fails("4096", set, "a", ("x"):rep(4096))
    fails("demands it", set, "__Secure-a", "b")
    fails("demands it", set, "__host-a", "b")
    fails("no domain", set, "__Host-a", "b", {secure = true, domain = "x.org"})
    fails("no domain", set, "__Host-a", "b", {secure = true, path = "/x"})
    fails("same_site", set, "a", "b", {same_site = "none"})
    fails('"strict", "lax" or "none"', set, "a", "b", {same_site = "some"})
    fails("partitioned demands it", set, "a", "b", {partitioned = true})
    fails("bad Path", set, "a", "b", {path = "/;x"})
    fails("bad Domain", set, "a", "b", {domain = "a;b"})
    fails("integer", set, "a", "b", {max_age = 0.5})
    fails('"max_age"', set, "a", "b", {maxage = 5})
  end)

  it("a Python session keeps and sends them", function()
    local server <close>, url = serve(function(req)
      return {json = req.cookies, headers = {["Set-Cookie"] = {
        http.set_cookie("one", "1", {max_age = 60, http_only = true, same_site = "lax"}),
        http.set_cookie("two", "2", {path = "/sub"}),
      }}}
    end)
    local out, ok = support.run("python3", "-c", [[
import requests, sys
s = requests.Session()
s.get(sys.argv[1])
assert s.get(sys.argv[1]).json() == {'one': '1'}
assert s.get(sys.argv[1] + '/sub').json() == {'one': '1', 'two': '2'}
]], url)
    assert.is_true(ok, out)
    server:close()
  end)
end)

describe("http.compress", function()
  local TEXT = ("compress me "):rep(500)

  it("compresses what a client accepts, and is worth it", function()
    local answer
    local server <close>, url = serve(http.compress(function() return answer end))
    local s <close> = http.session()
    local function get(value, accepted, method)
      answer = value
      local res = assert(s:request(method or "GET", url, {
        headers = {["Accept-Encoding"] = accepted or "gzip, br, zstd"}, decode = false,
      }))
      return res, res.headers["content-encoding"]
    end
    local function html(body, more)
      local headers = {["content-type"] = "text/html", ETag = '"x"'}
      for name, value in pairs(more or {}) do headers[name] = value end
      return {headers = headers, body = body}
    end
    for accepted, coding in pairs{
      ["gzip"] = "gzip", ["br"] = "br", ["gzip, br, zstd"] = "zstd",
      ["gzip;q=1, br;q=0.5"] = "gzip", ["*"] = "zstd", ["x-gzip"] = "gzip",
      ["zstd;q=0, *"] = "br", ["GZIP"] = "gzip",
    } do
      local res, got = get(html(TEXT), accepted)
      assert.equal(coding, got, accepted)
      assert.equal(TEXT, assert(codec[coding].decode(res.body)))
      assert.equal('W/"x"', res.headers.etag)
      assert.equal("Accept-Encoding", res.headers.vary)
      assert.equal(tostring(#res.body), res.headers["content-length"])
      local head = get(html(TEXT), accepted, "HEAD")
      assert.equal(res.headers["content-length"], head.headers["content-length"])
    end
    for _, accepted in ipairs{"identity", "gzip;q=0", "deflate", "gzip;q=0.5, identity;q=1",
      "gzip;q=nonsense"} do
      local res, got = get(html(TEXT), accepted)
      assert.is_nil(got, accepted)
      assert.equal(TEXT, res.body)
      assert.equal('"x"', res.headers.etag)
      assert.equal("Accept-Encoding", res.headers.vary)
    end
    assert.equal("zstd", select(2, get(TEXT)))
    assert.equal("zstd", select(2, get{json = {TEXT}}))
    assert.equal("zstd", select(2, get(html(TEXT, {Vary = "Origin"}))))
    assert.equal("Origin, Accept-Encoding", get(html(TEXT, {Vary = "Origin"})).headers.vary)
    assert.is_nil(select(2, get("short")))
    assert.is_nil(select(2, get{body = TEXT}))
    assert.is_nil(select(2, get(html(TEXT, {["content-type"] = "image/png"}))))
    assert.is_nil(select(2, get(html(TEXT, {["Cache-Control"] = "public, no-transform"}))))
    assert.equal("x", select(2, get(html(TEXT, {["Content-Encoding"] = "x"}))))
    local part = html(TEXT)
    part.status = 206
    assert.is_nil(select(2, get(part)))
    local res = get{status = 304, headers = {["Content-Type"] = "text/html", ETag = '"x"'}}
    assert.equal('W/"x"', res.headers.etag)
    assert.is_nil(res.headers["content-encoding"])
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("compresses pieces as they are written, each to be read at once", function()
    for _, coding in ipairs{"gzip", "br", "zstd"} do
      local go = corun.event()
      local server <close>, url = serve(http.compress(function()
        return {headers = {["Content-Type"] = "text/plain"}, stream = function(w)
          w:write("one", 2)
          go:wait()
          w:write("three")
        end}
      end))
      local s <close> = http.session()
      local res <close> = assert(s:get(url, {
        stream = true, headers = {["Accept-Encoding"] = coding},
      }))
      assert.equal("one2", res:read_exactly(4))
      go:set()
      assert.equal("three", res:read("a"))
      res:close()
      s:close()
      server:close()
    end
  end)

  it("compresses files, and static ones with conditions", function()
    local folder <close> = assert(fs.temp{dir = true})
    local large = TEXT:rep(100)
    assert(fs.write(folder:path() .. "/x.txt", TEXT))
    assert(fs.write(folder:path() .. "/large.txt", large))
    local app = http.router()
    app:use(http.compress)
    app:get("/body", function()
      local path = folder:path() .. "/x.txt"
      return {headers = {["Content-Type"] = "text/plain"}, body = {path = path}}
    end)
    app:get("/small", function()
      local path = folder:path() .. "/small.txt"
      return {headers = {["Content-Type"] = "text/plain"}, body = {path = path}}
    end)
    app:mount("/", http.static(folder:path()))
    local server <close>, url = serve(app)
    local s <close> = http.session()
    assert.matches("small.txt", captured(function()
      assert.equal(500, assert(s:get(url .. "/small")).status) -- there is none yet
    end), 1, true)
    assert(fs.write(folder:path() .. "/small.txt", "small"))
    local small = assert(s:get(url .. "/small"))
    assert.same({"small", nil}, {small.body, small.headers["content-encoding"]})
    for path, text in pairs{["/body"] = TEXT, ["/x.txt"] = TEXT, ["/large.txt"] = large} do
      local res = assert(s:get(url .. path))
      assert.equal(text, res.body)
      assert.equal("zstd", res.headers["content-encoding"])
      local tag = res.headers.etag
      if tag then
        assert.equal(304, assert(s:get(url .. path, {headers = {["If-None-Match"] = tag}})).status)
        res = assert(s:get(url .. path, {headers = {Range = "bytes=0-3"}, decode = false}))
        assert.equal("comp", res.body)
      end
    end
    for _, coding in ipairs{"gzip", "br"} do
      local out = support.run("curl", "-s", "--compressed", "-H", "Accept-Encoding: " .. coding,
        url .. "/x.txt")
      assert.equal(TEXT, out)
    end
    server:close()
  end)

  it("lets failures through, and refuses bad options", function()
    fails("handler", http.compress)
    fails("codings", http.compress, print, {codings = {"deflate"}})
    fails("common_log needs", http.common_log)
    fails("common_log needs", http.common_log, {})
    for _, seconds in ipairs{0 / 0, math.huge, -1, 1e18} do
      fails("expires of a cookie must be seconds", http.set_cookie, "a", "b", {expires = seconds})
    end
    fails('"types" for static', http.static, "/tmp", {types = {html = 5}})
    fails("name one at least", http.compress, print, {codings = {}})
    fails("must be a list", http.compress, print, {codings = {gzip = true}})
    fails('"level" for compress must be 1 to 22 for zstd, got 99', http.compress, print,
      {level = 99})
    fails("must be 0 to 9 for gzip, got 10", http.compress, print, {level = 10})
    fails("got 2.5", http.compress, print, {level = 2.5, codings = {"gzip"}})
    assert.is_function(http.compress(print, {level = 15, codings = {"zstd"}}))
    fails('"level"', http.compress, print, {levl = 1})
    local answer, err = http.compress(function() return nil, "why" end)({headers = {}})
    assert.is_nil(answer)
    assert.equal("why", err)
  end)
end)

describe("http.sse", function()
  it("sends events, comments while nothing comes, and knows the last id", function()
    local server <close>, url = serve(http.sse(function(events, req)
      events:event{event = "hello", data = "two\nlines", id = 7, retry = 1.5}
      events:event{data = {last = events.last_id or false, path = req.path}}
      events:event("text")
      support.eventually("comments were sent", function()
        return events.writer.bytes > 100
      end)
    end, {keep_alive = 0.001}))
    local s <close> = http.session()
    local res = assert(s:get(url .. "/x", {headers = {["Last-Event-ID"] = "6"}}))
    assert.equal("text/event-stream", res.headers["content-type"])
    assert.equal("no-store", res.headers["cache-control"])
    assert.matches("^: \n\n", res.body)
    local first = "event: hello\nid: 7\nretry: 1500\ndata: two\ndata: lines\n\n"
    assert.is_truthy(res.body:find(first, 1, true))
    local got = {}
    for e in s:events(url, {reconnect = false}) do got[#got + 1] = e.data end
    assert.same({"two\nlines", '{"last":false,"path":"/"}', "text"}, {got[1],
      '{"last":false,"path":"/"}', got[3]})
    server:close()
  end)

  it("ends when the client has gone", function()
    local ended
    local server <close> = serve(http.sse(function()
      local _ <close> = corun.defer(function() ended = true end)
      corun.sleep(1000)
    end, {keep_alive = 0.002}))
    local stream <close> = assert(require("corun.net").connect(server:address()))
    stream:write("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    stream:read_until(": \n\n")
    stream:close()
    support.eventually("it ended", function() return ended end)
    server:close()
  end)

  it("is read by aiohttp; misuse raises", function()
    local server <close>, url = serve(http.sse(function(events)
      for i = 1, 3 do events:event{data = tostring(i), id = i} end
    end))
    local out, ok = support.run("/usr/bin/python3", "-c", [[
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession() as s, s.get(sys.argv[1]) as r:
        text = (await r.read()).decode()
        assert text == ': \n\n' + ''.join(f'id: {i}\ndata: {i}\n\n' for i in (1, 2, 3)), text
asyncio.run(main())
]], url)
    assert.is_true(ok, out)
    server:close()
    fails("sse needs a function", http.sse)
    local handler = http.sse(function(events) events:event{id = "a\nb"} end)
    local answer = handler{headers = {}}
    fails("one line", answer.stream, {write = function() return true end})
  end)
end)

describe("http.cors", function()
  it("answers preflights and marks answers, for origins that are allowed", function()
    local function handler() return "x" end
    local function ask(o, origin, method, asked)
      return http.cors(handler, o){method = method or "GET", headers = {
        origin = origin, ["access-control-request-method"] = asked,
        ["access-control-request-headers"] = asked and "x-a",
      }}
    end
    local answer = ask(nil, "https://a.org")
    assert.equal("x", answer.body)
    assert.equal("*", answer.headers["Access-Control-Allow-Origin"])
    local o = {origins = {"https://A.org"}, credentials = true, expose = {"X-B"}, max_age = 60}
    answer = ask(o, "https://a.org")
    assert.equal("https://a.org", answer.headers["Access-Control-Allow-Origin"])
    assert.equal("true", answer.headers["Access-Control-Allow-Credentials"])
    assert.equal("X-B", answer.headers["Access-Control-Expose-Headers"])
    assert.equal("Origin", answer.headers.Vary)
    answer = ask(o, "https://evil.org")
    assert.is_nil(answer.headers["Access-Control-Allow-Origin"])
    assert.equal("Origin", answer.headers.Vary)
    answer = ask(o, "https://a.org", "OPTIONS", "PUT")
    assert.equal(204, answer.status)
    assert.equal("GET, HEAD, POST, PUT, PATCH, DELETE",
      answer.headers["Access-Control-Allow-Methods"])
    assert.equal("x-a", answer.headers["Access-Control-Allow-Headers"])
    assert.equal("60", answer.headers["Access-Control-Max-Age"])
    answer = ask(o, "https://evil.org", "OPTIONS", "PUT")
    assert.is_nil(answer.headers["Access-Control-Allow-Methods"])
    assert.equal("x", ask(o, "https://a.org", "OPTIONS").body)
    o = {origins = function(origin) return origin:find("%.org$") end}
    assert.equal("https://b.org", ask(o, "https://b.org").headers["Access-Control-Allow-Origin"])
    fails("needs a list", http.cors, handler, {credentials = true})
    fails("https://host", http.cors, handler, {origins = {"a.org"}})
    fails("handler", http.cors)
  end)
end)

describe("http.basic_auth", function()
  it("lets curl in with the right name and password", function()
    local function handler(req) return "hello " .. req.user end
    local server <close>, url = serve(http.basic_auth(handler, {ann = "p:w", bob = ""}))
    local function curl(...) return (support.run("curl", "-s", ...)) end
    assert.equal("hello ann", curl("-u", "ann:p:w", url))
    assert.equal("hello bob", curl("-u", "bob:", url))
    for _, login in ipairs{"ann:x", "ann:", "eve:", "eve:p:w", ":"} do
      assert.equal("401", curl("-o", "/dev/null", "-w", "%{http_code}", "-u", login, url), login)
    end
    assert.matches('WWW%-Authenticate: Basic realm="restricted", charset="UTF%-8"\r\n',
      curl("-i", url))
    for _, value in ipairs{"Basic", "Basic !!!!", "Basic YQ==", "Bearer x", "Basic YTpi x"} do
      assert.matches("^HTTP/1.1 401 ", curl("-i", "-H", "Authorization: " .. value, url))
    end
    server:close()
    local other <close>, other_url = serve(http.basic_auth(handler, function(user, password)
      return user == password
    end, {realm = "here"}))
    assert.equal("hello x", curl("-u", "x:x", other_url))
    assert.matches('realm="here"', curl("-i", "-u", "x:y", other_url))
    other:close()
    fails("passwords", http.basic_auth, handler)
    fails("strings", http.basic_auth, handler, {a = 1})
    fails("realm", http.basic_auth, handler, {}, {realm = '"'})
  end)
end)

describe("a request's id and line in a log:", function()
  it("the id is that of X-Request-Id where it is sane, else made, and stays", function()
    local server <close>, url = serve(function(req)
      assert(req.id == req.id)
      return req.id
    end)
    local s <close> = http.session()
    local function id(given)
      return assert(s:get(url, {headers = {["X-Request-Id"] = given}})).body
    end
    assert.equal("abc-1.2_3", id("abc-1.2_3"))
    for _, bad in ipairs{"a b", "<script>", ("x"):rep(129), ""} do
      assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", id(bad))
    end
    assert.are_not.equal(id(), id())
    server:close()
  end)

  it("common_log writes lines that cannot be broken out of", function()
    local lines = {}
    local server <close>, url = serve(http.basic_auth(function() return "x" end, {["a b"] = "p"}), {
      log = function(entry)
        lines[#lines + 1] = http.common_log(entry)
        lines[#lines + 1] = http.common_log(entry, {combined = true})
      end,
    })
    support.run("curl", "-s", "-u", "a b:p", "-A", 'say "hi"\\', "-e", "http://r/",
      url .. '/"x?y=1')
    support.talk(server:address(), "GET / HTTP/1.1\r\n\r\n")
    local date = "%[%d%d/%a%a%a/%d%d%d%d:%d%d:%d%d:%d%d [+-]%d%d%d%d%]"
    local line = '^127%.0%.0%.1 %- a\\x20b ' .. date .. ' "GET /\\x22x%?y=1 HTTP/1%.1" 200 %d+'
    assert.matches(line .. "$", lines[1])
    assert.matches(line .. ' "http://r/" "say \\x22hi\\x22\\x5C"$', lines[2])
    assert.matches('^127%.0%.0%.1 %- %- ' .. date .. ' "%-" 400 %d+$', lines[3])
    assert.matches(' "%-" "%-"$', lines[4])
    server:close()
  end)
end)
