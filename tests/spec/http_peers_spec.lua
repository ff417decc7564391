-- SPDX-License-Identifier: MIT
-- HTTP with other people's programs: the client against python, nginx and node, the server against
-- curl, python and node.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local function serve(fn)
  local server = assert(http.serve("127.0.0.1:0", fn))
  return server, "http://" .. server:address()
end

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
  end)

  it("nginx: 200 requests over few connections, ranges, a large file", function()
    local nginx = "/usr/sbin/nginx" -- which is in the path of few users
    if not support.has(nginx) then nginx = support.has("nginx") and "nginx" end
    if not nginx then return pending("nginx is not installed") end
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local port = support.free_port()
    local f = assert(io.open(folder .. "/nginx.conf", "w"))
    local conf = ([[
daemon off; master_process off; pid DIR/pid; error_log stderr crit;
events { worker_connections 256; }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
  uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; keepalive_requests 50; client_max_body_size 10k;
  server { listen 127.0.0.1:PORT; root DIR; location /echo { return 200 "$request_method $args"; }
    location /big { chunked_transfer_encoding on; } } }]]):gsub("DIR", folder):gsub("PORT", port)
    f:write(conf)
    f:close()
    f = assert(io.open(folder .. "/big", "w"))
    f:write(string.rep("0123456789", 300000))
    f:close()
    local peer = support.start("sh", "-c", "echo port $1; exec $2 -c $3", "sh", tostring(port),
      nginx, folder .. "/nginx.conf")
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
    assert.equal(413, assert(s:post("/echo", {body = ("x"):rep(1 << 20)})).status)
    assert.equal(400, assert(s:get("/echo", {headers = {host = "a b"}})).status)
  end)

  it("node: chunked, keep-alive, a server that closes idle connections", function()
    if not support.has("node") then return pending("node is not installed") end
    local peer = support.start("node", "-e", [[
const s = require("http").createServer((q, r) => {
  let n = 0;
  q.on("data", d => n += d.length);
  q.on("end", () => { r.write(q.method + " "); r.write(q.url + " "); r.end(String(n)); });
});
s.keepAliveTimeout = 100;
s.listen(0, "127.0.0.1", () => console.log("port", s.address().port));]])
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    assert.equal("GET /a 0", assert(s:get("/a")).body)
    assert.equal("POST /b 300000", assert(s:post("/b", {body = ("x"):rep(300000)})).body)
    assert.equal(1, s.pool.open)
    for _ = 1, 3 do
      local spin = os.clock() + 0.3
      while os.clock() < spin do end -- the server closes meanwhile, unseen by the loop
      assert.equal("GET /c 0", assert(s:get("/c")).body) -- a POST could not be sent again
      corun.sleep(0.3)
      assert.equal("GET /d 0", assert(s:get("/d")).body)
    end
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
