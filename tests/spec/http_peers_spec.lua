-- SPDX-License-Identifier: MIT
-- HTTP with other people's programs: the client against python, nginx and node, the server against
-- curl, python and node.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")

local serve = support.serve

describe("http real servers", function()
  local python = support.has("python3")

  it("python's http.server: files, 404, HEAD", function()
    if not python then return pending("python3 is not installed") end
    local peer = support.start("python3", "-c", [[
import http.server, sys
class H(http.server.SimpleHTTPRequestHandler):
    protocol_version = sys.argv[1]
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print("port", s.server_address[1], flush=True)
s.serve_forever()]], "HTTP/1.1")
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    for _ = 1, 3 do
      local res = assert(s:get("/LICENSE"))
      local f <close> = assert(io.open("LICENSE"))
      assert.equal(f:read("a"), res.body)
    end
    assert.equal(404, s:get("/nowhere").status)
    assert.equal("", assert(s:head("/LICENSE")).body)
    assert.equal(501, s:post("/x", {body = "abc"}).status)
    assert.equal(200, s:get("/LICENSE").status)
    local saved = os.tmpname()
    local f <close> = assert(io.open("LICENSE"))
    assert.equal(f:seek("end"), s:download("/LICENSE", saved, {parts = 3})) -- it has no ranges
    os.remove(saved)
  end)

  local CONF = [[
daemon off; master_process off; pid DIR/pid; error_log stderr crit;
events { worker_connections 256; }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
  uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; keepalive_requests 50; client_max_body_size 10k;
  gzip_types text/plain; gzip_min_length 1; default_type text/plain;
  server { listen 127.0.0.1:PORT; root DIR; location /echo { return 200 "$request_method $args"; }
    location /gz/ { gzip on; alias DIR/; } SECURE } }]]

  -- nginx in a folder of its own, with these further lines in its server, on a free port unless it
  -- is told one.
  local function start_nginx(folder, secure, port)
    local program = "/usr/sbin/nginx" -- which is in the path of few users
    if not support.has(program) then program = support.has("nginx") and "nginx" end
    if not program then return nil end
    port = port or support.free_port()
    local values = {DIR = folder, PORT = tostring(port), SECURE = secure or ""}
    local f <close> = assert(io.open(folder .. "/nginx.conf", "w"))
    f:write((CONF:gsub("%u%u%u%u+", values):gsub("DIR", folder)))
    f:close()
    return support.start("sh", "-c", "echo port $1; exec $2 -c $3", "sh", tostring(port), program,
      folder .. "/nginx.conf")
  end

  local function folder_with_big()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local f <close> = assert(io.open(folder .. "/big", "w"))
    f:write(string.rep("0123456789", 300000))
    return folder
  end

  it("nginx: 200 requests over few connections, ranges, a large file, gzip", function()
    local folder = folder_with_big()
    local peer = start_nginx(folder)
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(function()
      peer.stop()
      os.execute("rm -r " .. folder)
    end)
    local s <close> = http.session({base = peer.url, limit = 8})
    support.eventually("nginx listens", function() return (s:get("/echo")) ~= nil end)
    local list = {}
    for i = 1, 200 do list[i] = i end
    for i, body in ipairs(corun.map(list, function(i)
      return assert(s:get("/echo", {query = {n = i}})).body
    end, {limit = 20})) do
      assert.equal("GET n=" .. i, body)
    end
    assert.is_true(s.pool.open <= 8)
    assert.equal(3000000, #assert(s:get("/big")).body)
    local res = assert(s:get("/big", {headers = {range = "bytes=10-19"}}))
    assert.equal(206, res.status)
    assert.equal("0123456789", res.body)
    for _, parts in ipairs{1, 3} do
      assert.equal(3000000, s:download("/big", folder .. "/saved", {parts = parts}))
      assert.is_true(os.execute(("cmp -s %s/big %s/saved"):format(folder, folder)))
    end
    for _, stream in ipairs({false, true}) do -- chunked, since nginx compresses as it sends
      res = assert(s:get("/gz/big", {stream = stream}))
      assert.equal("gzip", res.headers["content-encoding"])
      assert.equal("chunked", res.headers["transfer-encoding"])
      assert.equal(3000000, #(res.body or res:read("a")))
    end
    assert.equal(413, assert(s:post("/echo", {body = ("x"):rep(1 << 20)})).status)
    assert.equal(413, assert(s:post("/echo", {body = {path = folder .. "/big"}})).status)
    assert.equal(413, assert(s:post("/echo", {body = {path = folder .. "/big"}, expect = true}))
      .status)
    assert.equal(400, assert(s:get("/echo", {headers = {host = "a..b"}})).status)
  end)

  it("nginx dies while it sends, and is back: a download goes on where it was", function()
    local folder = folder_with_big()
    local peer = start_nginx(folder, "limit_rate 1m;")
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(function()
      peer.stop()
      os.execute("rm -r " .. folder)
    end)
    local s <close> = http.session({base = peer.url})
    support.eventually("nginx listens", function() return (s:get("/echo")) ~= nil end)
    local many, least = corun.event(), math.huge
    local t = corun.async(function()
      return s:download("/big", folder .. "/saved", {
        retries = {tries = 1000, min = 0.01, max = 0.01}, on_progress = function(bytes)
          if bytes > 500000 then many:set() end
          if many:is_set() then least = math.min(least, bytes) end
        end})
    end)
    many:wait()
    peer.stop()
    peer = start_nginx(folder, nil, peer.port)
    assert.equal(3000000, t:await())
    assert.is_true(least > 500000)
    assert.is_true(os.execute(("cmp -s %s/big %s/saved"):format(folder, folder)))
    assert.is_true(s:stats().retries > 0)
  end)

  it("nginx over TLS: verified, resumed, kept", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local folder, pems = folder_with_big(), certificates.make_certificates()
    local port = support.free_port()
    local peer = start_nginx(folder, ([[listen 127.0.0.1:%d ssl; ssl_certificate %sgood.pem;
      ssl_certificate_key %skey.pem; ssl_session_cache shared:S:1m; location /resumed {
      return 200 "$ssl_session_reused $ssl_protocol"; }]]):format(port, pems, pems))
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(function()
      peer.stop()
      os.execute("rm -r " .. folder)
      certificates.remove(pems)
    end)
    local url = "https://127.0.0.1:" .. port
    local s <close> = http.session({tls = {ca = pems .. "ca.pem"}, limit = 4})
    support.eventually("nginx listens", function() return (s:get(url .. "/echo")) ~= nil end)
    for _ = 1, 30 do assert.equal(3000000, #assert(s:get(url .. "/gz/big")).body) end
    assert.equal(1, s.pool.open)
    local again <close> = http.session({tls = {ca = pems .. "ca.pem"}})
    assert.matches("^r TLS", assert(again:get(url .. "/resumed")).body)
    local res, err = http.get(url .. "/echo")
    assert.is_nil(res)
    assert.equal("ETLS", err.code)
  end)

  it("node: chunked, keep-alive, a server that closes idle connections", function()
    if not support.has("node") then return pending("node is not installed") end
    local peer = support.start("node", "-e", [[
const s = require("http").createServer((q, r) => {
  let n = 0;
  q.on("data", d => n += d.length);
  q.on("end", () => { r.write(q.method + " "); r.write(q.url + " "); r.end(String(n)); });
});
s.keepAliveTimeout = 50;
s.listen(0, "127.0.0.1", () => console.log("port", s.address().port));]])
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    assert.equal("GET /a 0", assert(s:get("/a")).body)
    assert.equal("POST /b 300000", assert(s:post("/b", {body = ("x"):rep(300000)})).body)
    assert.equal(1, s.pool.open)
    for _ = 1, 2 do
      local spin = os.clock() + 0.2
      while os.clock() < spin do end -- the server closes meanwhile, unseen by the loop
      assert.equal("GET /c 0", assert(s:get("/c")).body) -- a POST could not be sent again
      corun.sleep(0.2)
      assert.equal("GET /d 0", assert(s:get("/d")).body)
    end
  end)

  -- What a server of another make says to each kind of body, and to Expect.
  local function exchange_bodies(s)
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write(("x"):rep(2000000))
    f:close()
    for _, expect in ipairs({false, true}) do
      for _, stream in ipairs({false, true}) do
        local function post(o)
          o.expect, o.stream = expect, stream
          local res = assert(s:post("/up", o))
          return res.body or res:read("a")
        end
        assert.equal("3", post({body = "abc"}))
        assert.equal("2000000", post({body = {path = path}}))
        assert.equal("5", post({form = {a = "b c"}}))
        local n = 0
        assert.equal("500000", post({body = function()
          n = n + 1
          return n <= 50 and ("x"):rep(10000) or nil
        end}))
      end
    end
    assert.equal(1, s.pool.open)
    os.remove(path)
    local res <close> = assert(s:get("/lines", {stream = true}))
    local lines = {}
    for line in res:lines() do lines[#lines + 1] = line end
    assert.equal(1000, #lines)
    assert.equal("line 1000", lines[1000])
  end

  it("node: bodies in pieces, Expect, streamed gzip", function()
    if not support.has("node") then return pending("node is not installed") end
    local peer = support.start("node", "-e", [[
const zlib = require("zlib");
const s = require("http").createServer((q, r) => {
  if (q.url == "/lines") {
    r.setHeader("content-encoding", "br");
    const z = zlib.createBrotliCompress();
    z.pipe(r);
    for (let i = 1; i <= 1000; i++) z.write("line " + i + "\n");
    return z.end();
  }
  let n = 0;
  q.on("data", d => n += d.length);
  q.on("end", () => r.end(String(n)));
});
s.listen(0, "127.0.0.1", () => console.log("port", s.address().port));]])
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    exchange_bodies(s)
  end)

  it("aiohttp: bodies in pieces, Expect, streamed gzip", function()
    local program = support.has("/usr/bin/python3") and "/usr/bin/python3" or "python3"
    if os.execute(program .. " -c 'import aiohttp' 2>/dev/null") ~= true then
      return pending("aiohttp is not installed")
    end
    local peer = support.start(program, "-c", [[
import asyncio
from aiohttp import web
async def up(q):
    n = 0
    async for piece in q.content.iter_any(): n += len(piece)
    return web.Response(text=str(n))
async def lines(q):
    r = web.StreamResponse()
    r.enable_compression()
    await r.prepare(q)
    for i in range(1, 1001): await r.write(b"line %d\n" % i)
    await r.write_eof()
    return r
async def main():
    app = web.Application()
    app.router.add_post("/up", up)
    app.router.add_get("/lines", lines)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("port", site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())]])
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    exchange_bodies(s)
  end)

  it("Go's net/http: bodies in pieces, Expect, streamed", function()
    if not support.has("go") then return pending("go is not installed") end
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local f <close> = assert(io.open(folder .. "/main.go", "w"))
    f:write([[
package main
import ("fmt"; "io"; "net"; "net/http")
func main() {
  http.HandleFunc("/up", func(w http.ResponseWriter, r *http.Request) {
    n, _ := io.Copy(io.Discard, r.Body)
    fmt.Fprint(w, n)
  })
  http.HandleFunc("/lines", func(w http.ResponseWriter, r *http.Request) {
    for i := 1; i <= 1000; i++ {
      fmt.Fprintf(w, "line %d\n", i)
      if i % 100 == 0 { w.(http.Flusher).Flush() }
    }
  })
  l, _ := net.Listen("tcp", "127.0.0.1:0")
  fmt.Println("port", l.Addr().(*net.TCPAddr).Port)
  http.Serve(l, nil)
}]])
    f:close()
    local out, built = support.run("go", "build", "-o", folder .. "/server", folder .. "/main.go")
    local _ <close> = corun.defer(function() os.execute("rm -r " .. folder) end)
    assert.is_true(built, out)
    local peer = support.start(folder .. "/server")
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    exchange_bodies(s)
  end)
end)

describe("http.serve real clients", function()
  it("curl: GET, HEAD, POST with Expect, chunked upload, many over one connection", function()
    if not support.has("curl") then return pending("curl is not installed") end
    local server <close>, url = serve(function(req)
      return ("%s %s %d"):format(req.method, req.path, #req.body)
    end)
    local function curl(...)
      local out, good = support.run("curl", "-sS", "--noproxy", "*", "--max-time", "20", ...)
      assert.is_true(good, out)
      return out
    end
    assert.equal("GET /a 0", curl(url .. "/a"))
    assert.matches("^HTTP/1.1 200 OK\r\n.*content%-length: 9\r\n", curl("-I", url .. "/a"))
    assert.equal("POST /b 3", curl("-d", "abc", url .. "/b"))
    local path = os.tmpname()
    local f = assert(io.open(path, "w"))
    f:write(("x"):rep(3000000))
    f:close()
    local answer = curl("-H", "Expect: 100-continue", "--data-binary", "@" .. path, url .. "/c")
    assert.equal("POST /c 3000000", answer)
    answer = curl("-T", path, "-H", "Transfer-Encoding: chunked", url .. "/d")
    assert.equal("PUT /d 3000000", answer)
    os.remove(path)
    assert.equal("GET /1 0GET /2 0GET /3 0", curl(url .. "/[1-3]"))
    assert.equal("GET /0 0", curl("-0", url .. "/0"))
    server:close()
  end)

  it("python's http.client: keep-alive, chunked bodies, two at once", function()
    if not support.has("python3") then return pending("python3 is not installed") end
    local server <close> = serve(function(req) return {json = {path = req.path, n = #req.body}} end)
    local out, good = support.run("python3", "-c", [[
import http.client, json, sys
host, port = sys.argv[1].split(":")
c = http.client.HTTPConnection(host, int(port), timeout=20)
for i in range(100):
    c.request("GET", "/%d" % i)
    assert json.load(c.getresponse()) == {"path": "/%d" % i, "n": 0}
c.request("POST", "/x", body=iter([b"abc", b"", b"de"]), encode_chunked=True,
          headers={"Transfer-Encoding": "chunked"})
assert json.load(c.getresponse())["n"] == 5
c.request("HEAD", "/y")
r = c.getresponse(); assert r.read() == b"" and r.status == 200
print("fine")]], server:address())
    assert.equal("fine\n", out)
    assert.is_true(good)
    server:close()
  end)

  it("aiohttp: keep-alive, bodies in pieces both ways, Expect, gzip, 32 at once", function()
    if not os.execute("/usr/bin/python3 -c 'import aiohttp' 2>/dev/null") then
      return pending("aiohttp is not installed")
    end
    local server <close>, url = serve(http.compress(function(req)
      local body = req.body
      if req.method == "GET" then return {json = {path = req.path, text = ("x"):rep(2000)}} end
      return function(w)
        for at = 1, #body, 10000 do w:write(body:sub(at, at + 9999)) end
      end
    end))
    local out, good = support.run("/usr/bin/python3", "-c", [[
import aiohttp, asyncio, sys
url = sys.argv[1]
async def pieces():
    for _ in range(20):
        yield b"abc" * 1000
        await asyncio.sleep(0)
async def one(session, i):
    async with session.get(url + "/%d" % i) as r:
        assert r.status == 200 and r.headers["content-encoding"] == "gzip"
        assert (await r.json())["path"] == "/%d" % i
    async with session.post(url, data=pieces(), expect100=i % 2 == 0) as r:
        assert await r.read() == b"abc" * 20000
    async with session.head(url) as r:
        assert r.status == 200 and await r.read() == b""
async def main():
    limit = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=32)
    headers = {"accept-encoding": "gzip"}
    async with aiohttp.ClientSession(timeout=limit, connector=connector, headers=headers) as s:
        await asyncio.gather(*(one(s, i) for i in range(100)))
    print("fine")
asyncio.run(main())]], url)
    assert.equal("fine\n", out)
    assert.is_true(good)
    server:close()
  end)

  it("wrk: 64 connections, one request after the other and 16 at once", function()
    if not support.has("wrk") then return pending("wrk is not installed") end
    local n = 0
    local server <close>, url = serve(function()
      n = n + 1
      return {json = {n = n}}
    end)
    for _, script in ipairs{"/dev/null", "bench/serve/pipeline.lua"} do
      local before = n
      local out, good = support.run("wrk", "-t1", "-c64", "-d1s", "-s", script, url .. "/")
      assert.is_true(good, out)
      assert.is_nil(out:find("Socket errors", 1, true), out)
      assert.is_nil(out:find("Non-2xx", 1, true), out)
      assert.is_true(n - before > 64, out)
    end
    server:close()
  end)

  it("node's http.request with an agent", function()
    if not support.has("node") then return pending("node is not installed") end
    local server <close>, url = serve(function(req) return req.method .. " " .. #req.body end)
    local out = support.run("node", "-e", [[
const http = require("http");
const agent = new http.Agent({keepAlive: true, maxSockets: 4});
let left = 100;
for (let i = 0; i < 100; i++) {
  const r = http.request(process.argv[1], {agent, method: "POST"}, res => {
    let text = "";
    res.on("data", d => text += d);
    res.on("end", () => {
      if (text !== "POST " + i) { console.log("wrong", text, i); process.exit(1); }
      if (--left === 0) { console.log("fine"); process.exit(0); }
    });
  });
  r.write("x".repeat(i));
  r.end();
}]], url)
    assert.equal("fine\n", out)
    server:close()
  end)
end)
