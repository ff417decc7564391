-- SPDX-License-Identifier: MIT
-- http.proxy: what goes through and what does not, both bodies piece by piece; servers that break
-- off at any byte, and clients that go; nginx and Node behind it.
local codec = require("corun.codec")
local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local net = require("corun.net")
local support = require("tests.spec.support.http")
local outcomes = require("tests.spec.support.outcomes")

local serve, captured = support.serve, outcomes.captured

-- A server with a proxy in front of `target`, closed with it; and its URL.
local function front(target, o, serving)
  local proxy = http.proxy(target, o)
  local server, url = serve(proxy, serving or {stream = true})
  local both = {server = server}
  function both.close()
    server:close()
    proxy:close()
  end
  return setmetatable(both, {__close = both.close}), url
end

-- The head of the request that a server gets through a proxy with options.
local function head_through(o, head)
  local seen
  local upstream <close>, target = support.kept(function(text)
    seen = text
    return support.ok("")
  end)
  local server <close> = front(target .. "/base/", o)
  assert.matches("^HTTP/1.1 200 ", support.talk(server.server:address(), head))
  server:close()
  upstream:close()
  return seen:lower()
end

local function is_in(text, line)
  return text:find("\r\n" .. line .. "\r\n", 1, true) ~= nil
end

describe("http.proxy, heads:", function()
  local HEAD = "GET /a//b%2F?x=%7C|&y HTTP/1.1\r\nhost: front.example\r\nX-A: 1\r\nx-a: 2\r\n"
    .. "Connection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
    .. "Upgrade: websocket\r\nProxy-Authorization: x\r\nX-Forwarded-For: 6.6.6.6\r\n"
    .. "X-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n\r\n"

  it("the target goes through byte by byte, and headers but those of the connection", function()
    local seen = head_through({}, HEAD)
    assert.equal("get /base/a//b%2f?x=%7c|&y http/1.1", seen:match("^[^\r]*"))
    for _, name in ipairs{"x-private", "keep-alive", "te:", "upgrade", "proxy-auth", "6.6.6.6",
      "port", "user-agent", "accept", "front.example:"} do
      assert.is_nil(seen:find("\r\n[^\r]*" .. name:gsub("%p", "%%%0")), name)
    end
    assert.is_true(is_in(seen, "x-a: 1") and is_in(seen, "x-a: 2"))
    assert.is_true(is_in(seen, "x-forwarded-for: 127.0.0.1"))
    assert.is_true(is_in(seen, "x-forwarded-proto: http"))
    assert.is_true(is_in(seen, "x-forwarded-host: front.example"))
    assert.matches("\r\nhost: 127.0.0.1:%d+\r\n", seen)
  end)

  it("options say what the server is told", function()
    local seen = head_through({trust = true, forwarded = true, keep_host = true,
      headers = {["X-A"] = {"3", "4"}, ["User-Agent"] = "me", Accept = false}}, HEAD)
    assert.is_true(is_in(seen, "x-a: 3") and is_in(seen, "x-a: 4") and not is_in(seen, "x-a: 1"))
    assert.is_true(is_in(seen, "x-forwarded-for: 6.6.6.6, 127.0.0.1"))
    assert.is_true(is_in(seen, "x-forwarded-port: 1"))
    assert.is_true(is_in(seen, 'forwarded: for=6.6.6.6, for=127.0.0.1;proto=http;'
      .. 'host="front.example"'))
    assert.is_true(is_in(seen, "host: front.example") and is_in(seen, "user-agent: me"))
  end)

  it("answers go through, whatever their body", function()
    local answers = {
      ["/length"] = "HTTP/1.1 201 Made\r\nset-cookie: a\r\nset-cookie: b\r\nx-up: 1\r\nconnection: "
        .. "x-up\r\nkeep-alive: x\r\ncontent-length: 3\r\n\r\nabc",
      ["/chunked"] = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      ["/end"] = "HTTP/1.1 200 OK\r\n\r\nabc",
      ["/gzip"] = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
      ["/304"] = "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
      ["/204"] = "HTTP/1.1 204 No Content\r\n\r\n",
      ["/302"] = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
      ["/head"] = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n",
    }
    local upstream <close>, target = support.raw(function(stream)
      local head = support.read_request(stream)
      stream:write(answers[head:match(" (%S+) ")])
    end)
    local server <close>, url = front(target)
    local s <close> = http.session{redirects = false, decode = false}
    for path, bytes in pairs(answers) do
      local res = assert(s:request(path == "/head" and "HEAD" or "GET", url .. path))
      assert.equal(tonumber(bytes:match(" (%d+) ")), res.status)
      assert.equal(bytes:find("abc", 1, true) and "abc" or "", res.body, path)
      assert.equal(path == "/head" and "500" or bytes:match("content%-length: (%d+)"),
        res.headers["content-length"])
      assert.is_nil(res.headers["x-up"] or res.headers["keep-alive"])
      if path == "/length" then assert.same({"a", "b"}, res.headers["set-cookie"]) end
    end
    local old = support.talk(server.server:address(), "GET /chunked HTTP/1.0\r\n\r\n")
    assert.matches("\r\n\r\nabc$", old)
    server:close()
    upstream:close()
  end)

  it("no path leads out of its base", function()
    local upstream <close>, target = serve(function(req) return req.target end)
    local proxy <close> = http.proxy(target .. "/base")
    local app = http.router()
    app:mount("/api/:v", proxy)
    local server <close> = serve(app)
    local function ask(path)
      local text = support.talk(server:address(), ("GET %s HTTP/1.1\r\nhost: h\r\nconnection: close"
        .. "\r\n\r\n"):format(path))
      return text:match("^HTTP/1.1 (%d+)"), text:match("\r\n\r\n(.*)$")
    end
    for _, path in ipairs{"/..", "/x/../y", "/%2e%2E/x", "/.", "/..%2fx", "/x%2f..", "/..%5cx",
      "/%2e%2e%2f%2e%2e/x"} do
      assert.equal("400", ask("/api/1" .. path), path)
    end
    for _, path in ipairs{"/", "/x", "/...", "/..a/b..", "/a//b", "/%20?..//.."} do
      local status, body = ask("/api/1" .. path)
      assert.equal("200", status)
      assert.equal("/base" .. path, body)
    end
    assert.equal("/base/", select(2, ask("/api/1")))
    server:close()
    upstream:close()
  end)

  it("misuse raises", function()
    for text, args in pairs{
      ["the URL of a server"] = {nil}, ["proxy: "] = {"ftp://x"}, ["no query"] = {"http://x/?y"},
      ['"trusted"'] = {"http://x", {trusted = true}},
      ["set by corun itself"] = {"http://x", {headers = {Upgrade = "x"}}},
      ["bad header name"] = {"http://x", {headers = {["a b"] = "x"}}},
    } do
      local ok, err = pcall(http.proxy, args[1], args[2])
      assert.is_false(ok)
      assert.matches(text, tostring(err), 1, true)
    end
  end)
end)

describe("http.proxy, bodies:", function()
  it("come and go piece by piece, in a scope that ends with them", function()
    local go, got = corun.event(), corun.event()
    local upstream <close>, target = serve(function(req)
      if req.method == "POST" then
        got:set(req:read_exactly(5))
        return req:read("a")
      end
      return function(w)
        w:write("first")
        go:wait()
        w:write("last")
      end
    end, {stream = true})
    local server <close>, url = front(target)
    local s <close> = http.session()
    local res <close> = assert(s:get(url, {stream = true}))
    assert.equal("first", res:read_exactly(5))
    go:set()
    assert.equal("last", res:read("a"))
    local n = 0
    local answer = assert(s:post(url, {body = function()
      n = n + 1
      if n == 2 then assert.equal("first", got:wait()) end
      return ({"first", "last"})[n]
    end}))
    assert.equal("last", answer.body)
    server:close()
    upstream:close()
  end)

  it("large ones arrive whole, on kept connections, with a length or in chunks", function()
    local upstream <close>, target = serve(function(req)
      return {json = {#req.body, codec.hash("sha256"):update(req.body):hex(),
        req.headers["content-length"] or false}, headers = {connection = "keep-alive"}}
    end)
    local server <close>, url = front(target)
    local whole <close>, other = front(target, nil, {})
    local s <close> = http.session()
    for _, size in ipairs{0, 1, 100000, 3000000} do
      local data = codec.random(100):rep(size // 100) .. ("x"):rep(size % 100)
      local hash = codec.hash("sha256"):update(data):hex()
      for _, base in ipairs{url, other} do
        assert.same({size, hash, tostring(size)}, assert(s:put(base, {body = data})):json())
        local left = data
        local res = assert(s:put(base, {body = function()
          local piece = left
          left = ""
          return piece ~= "" and piece or nil
        end}))
        assert.same({size, hash}, {table.unpack(res:json(), 1, 2)})
      end
    end
    server:close()
    upstream:close()
    whole:close()
  end)
end)

describe("http.proxy, failures:", function()
  it("what a server answers while the request still comes is kept up to a bound", function()
    local sent = 0
    local upstream <close>, target = support.raw(function(stream)
      stream:read_until("\r\n\r\n")
      stream:write("HTTP/1.1 200 OK\r\n\r\n")
      while stream:write(("x"):rep(1 << 16)) do sent = sent + (1 << 16) end
    end)
    local server <close> = front(target)
    local client <close> = assert(net.connect(server.server:address()))
    client:write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
    local before
    repeat
      before = sent
      corun.sleep(0.2)
    until sent == before and sent > 0
    assert.is_true(sent < 32 << 20, tostring(sent))
    captured(function()
      client:close()
      server:close()
    end)
    upstream:close()
  end)

  it("502 when there is no server, 504 when it is silent, or what the script says", function()
    local silent <close>, silence = support.raw(function(stream) stream:read("a") end)
    captured(function(lines)
      local function status(target, o, path)
        local server <close>, url = front(target, o)
        local s <close> = http.session()
        local res = assert(s:post(url .. (path or "/"), {body = ("x"):rep(100000)}))
        server:close()
        return res.status, res.body
      end
      assert.equal(502, status("http://127.0.0.1:" .. support.free_port()))
      assert.matches("^corun: POST / failed: .*ECONNREFUSED", lines[1])
      assert.equal(504, status(silence, {timeout = {read = 0.05}}))
      assert.equal(2, #lines)
      assert.same({503, "ETIMEDOUT/x"}, {status(silence, {timeout = {read = 0.05},
        on_error = function(err, req) return {status = 503, body = err.code .. req.path} end},
        "/x")})
      assert.equal(2, #lines)
    end)
    silent:close()
  end)

  it("a server that breaks off at any byte never makes a whole answer of a part", function()
    local bytes = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef"
    local chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n"
      .. "0\r\n\r\n"
    captured(function()
      for _, text in ipairs{bytes, chunked} do
        local cut
        local upstream <close>, target = support.raw(function(stream)
          support.read_request(stream)
          stream:write(text:sub(1, cut))
        end)
        local server <close>, url = front(target)
        local s <close> = http.session()
        local body = text:find("\r\n\r\n", 1, true) + 3
        for i = 0, #text do
          cut = i
          local res, err = s:get(url)
          if i == #text then
            assert.equal("abcdef", res.body)
          elseif i < body then
            assert.equal(502, res.status, i)
          else
            assert.is_nil(res, i)
            assert.equal("EOF", err.code == "EPROTO" and "EOF" or err.code)
          end
        end
        server:close()
    upstream:close()
      end
    end)
  end)

  it("a client that goes ends the request to the server, before and within the answer", function()
    captured(function(lines)
      for _, begin in ipairs{"", "HTTP/1.1 200 OK\r\n\r\nabc"} do
        local asked, ended = corun.event(), corun.event()
        local upstream <close>, target = support.raw(function(stream)
          support.read_request(stream)
          stream:write(begin)
          asked:set()
          stream:read("a")
          ended:set(true)
        end)
        local server <close>, _ = front(target)
        for _, head in ipairs{"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
          "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi"} do
          asked:clear()
          ended:clear()
          do
            local stream <close> = assert(net.connect(server.server:address()))
            stream:write(head)
            asked:wait()
            if begin ~= "" then -- in one chunk or several
              stream:read_until("\r\n\r\n")
              stream:read_until("c\r\n")
            end
          end
          assert.is_true(assert(corun.timeout(10, ended.wait, ended)))
        end
        support.eventually("it is over", function() return server.server.count == 0 end)
        server:close()
    upstream:close()
      end
      assert.same({}, lines)
    end)
  end)

  it("a client that breaks off its body is to blame, and the server learns of it", function()
    local ended = corun.event()
    local upstream <close>, target = support.raw(function(stream)
      stream:read("a")
      ended:set(true)
    end)
    local server <close>, _ = front(target)
    do
      local stream <close> = assert(net.connect(server.server:address()))
      stream:write("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 200\r\n\r\nhi")
      stream:shutdown()
      assert.is_true(assert(corun.timeout(10, ended.wait, ended)))
    end
    server:close()
    upstream:close()
  end)
end)

describe("http.proxy in front of", function()
  it("nginx: files, ranges, conditions, many at once", function()
    if not support.has("nginx") and not support.has("/usr/sbin/nginx") then
      return pending("nginx is not installed")
    end
    local dir <close> = assert(fs.temp{dir = true})
    local port = support.free_port()
    local data = codec.random(300000)
    assert(fs.write(dir:path() .. "/file", data))
    assert(fs.chmod(dir:path(), "755"))
    assert(fs.write(dir:path() .. "/nginx.conf", ([[
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 512; }
http { access_log off; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;
  uwsgi_temp_path t; scgi_temp_path t; server { listen 127.0.0.1:%d; root %s; } }
]]):format(port, dir:path())))
    local process = require("corun.process")
    local nginx <close> = assert(process.spawn{"nginx", "-p", dir:path(), "-e", "stderr", "-c",
      "nginx.conf"})
    support.eventually("nginx is there", function()
      local stream <close> = net.connect("127.0.0.1:" .. port)
      return stream
    end)
    local server <close>, url = front("http://127.0.0.1:" .. port)
    local s <close> = http.session()
    local res = assert(s:get(url .. "/file"))
    assert.is_true(res.body == data)
    local etag = res.headers.etag
    assert.equal(304, assert(s:get(url .. "/file", {headers = {["If-None-Match"] = etag}})).status)
    res = assert(s:get(url .. "/file", {headers = {Range = "bytes=5-9"}}))
    assert.equal(206, res.status)
    assert.equal(data:sub(6, 10), res.body)
    assert.equal("300000", assert(s:head(url .. "/file")).headers["content-length"])
    assert.equal(404, assert(s:get(url .. "/none")).status)
    local numbers = {}
    for i = 1, 100 do numbers[i] = i end
    local all = corun.map(numbers, function() return assert(s:get(url .. "/file")).body == data end)
    for i = 1, 100 do assert.is_true(all[i]) end
    server:close()
    nginx:kill("TERM")
    nginx:wait()
  end)

  it("Node, which is killed while it answers", function()
    if not support.has("node") then return pending("node is not installed") end
    local node = support.start("node", "-e", [[
const http = require("http"), crypto = require("crypto");
const server = http.createServer((q, r) => {
  if (q.url == "/long") { r.write("begin"); return; }
  const h = crypto.createHash("sha256"); let n = 0;
  q.on("data", d => { h.update(d); n += d.length; });
  q.on("end", () => { r.setHeader("X-Got", n); r.write(h.digest("hex")); r.end("\n"); });
}).listen(0, "127.0.0.1", () => console.log("port " + server.address().port));
]])
    captured(function()
      local server <close>, url = front(node.url)
      local s <close> = http.session()
      local data = ("0123456789"):rep(200000)
      for _, body in ipairs{data, "x", ""} do
        local res = assert(s:post(url .. "/hash", {body = body}))
        assert.equal(codec.hash("sha256"):update(body):hex() .. "\n", res.body)
        assert.equal(tostring(#body), res.headers["x-got"])
      end
      local out, ok = support.run("curl", "-s", "-T", "README.md", url .. "/up")
      assert.is_true(ok)
      assert.equal(codec.hash("sha256"):update(assert(fs.read("README.md"))):hex() .. "\n", out)
      local res <close> = assert(s:get(url .. "/long", {stream = true}))
      assert.equal("begin", res:read_exactly(5))
      node.stop()
      local rest, err = res:read("a")
      assert.is_nil(rest)
      assert.is_table(err)
      assert.equal(502, assert(s:get(url .. "/hash")).status)
      server:close()
    end)
  end)
end)
