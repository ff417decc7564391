-- SPDX-License-Identifier: MIT
-- The option cache with other people's servers: nginx and Python's, which date, tag and confirm
-- what they serve by their own rules.
local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local support = require("tests.spec.support.http")

-- A cache whose clock runs ahead by as much as the test says.
local function ahead(o)
  local cache = http.cache(o)
  local by = {seconds = 0}
  cache.now = function() return os.time() + by.seconds end
  return cache, by
end

-- Both kinds of store: a function that makes a cache, and its name.
local function stores(dir)
  return pairs{memory = ahead, disk = function() return ahead({dir = dir}) end}
end

describe("http cache, real servers", function()
  local CONF = [[
daemon off; master_process off; pid DIR/pid; error_log stderr crit;
events { worker_connections 256; }
http { access_log DIR/log; client_body_temp_path DIR/b; proxy_temp_path DIR/p; scgi_temp_path DIR/s;
  fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; default_type text/plain;
  gzip_types text/plain; gzip_min_length 1; gzip_vary on;
  server { listen 127.0.0.1:PORT; root DIR/www;
    location /fresh/ { expires 60s; alias DIR/www/; }
    location /never/ { add_header Cache-Control no-store; alias DIR/www/; }
    location /past/ { expires -1; alias DIR/www/; }
    location /gz/ { gzip on; expires 60s; alias DIR/www/; }
    location /moved { expires 60s; return 301 /fresh/text; } } }]]

  -- nginx with the file "text" to serve, changed a day ago.
  local function start_nginx(dir)
    local program = "/usr/sbin/nginx" -- which is in the path of few users
    if not support.has(program) then program = support.has("nginx") and "nginx" end
    if not program then return nil end
    local port = support.free_port()
    assert(fs.mkdir(dir .. "/www"))
    assert(fs.write(dir .. "/www/text", ("some text "):rep(100)))
    assert(fs.utime(dir .. "/www/text", os.time() - 86400))
    assert(fs.write(dir .. "/conf", (CONF:gsub("PORT", tostring(port)):gsub("DIR", dir))))
    local peer = support.start("sh", "-c", "echo port $1; exec $2 -c $3", "sh", tostring(port),
      program, dir .. "/conf")
    local s <close> = http.session()
    support.eventually("nginx listens", function() return (s:get(peer.url)) ~= nil end)
    return peer
  end

  it("nginx: fresh, confirmed by ETag and Last-Modified, changed, gzip, redirects", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local peer = start_nginx(dir:path())
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(peer.stop)
    for name, make in stores(dir:path() .. "/cache") do
      local cache, by = make()
      local s <close> = http.session({base = peer.url, cache = cache})
      local function get(path, outcome)
        local res = assert(s:get(path))
        assert.equal(200, res.status)
        assert.equal(outcome, res.cache, name .. " " .. path)
        return res
      end
      local first = get("/fresh/text", "miss")
      assert.equal(1000, #first.body)
      local second = get("/fresh/text", "hit")
      assert.same({first.body, first.headers.etag}, {second.body, second.headers.etag})
      by.seconds = 61
      local third = get("/fresh/text", "revalidated")
      assert.same({first.body, "1000"}, {third.body, third.headers["content-length"]})
      get("/text", "miss") -- a tenth of a day
      by.seconds = 8600
      get("/text", "hit")
      by.seconds = 8800
      get("/text", "revalidated")
      for _ = 1, 2 do get("/never/text", "miss") end
      get("/past/text", "miss")
      get("/past/text", "revalidated")
      by.seconds = 0
      get("/gz/text", "miss")
      local packed = get("/gz/text", "hit")
      assert.same({first.body, "gzip"}, {packed.body, packed.headers["content-encoding"]})
      by.seconds = 61
      assert.equal(first.body, get("/gz/text", "revalidated").body)
      by.seconds = 0
      get("/moved", "revalidated")
      assert.equal("hit", get("/moved", "hit").history[1].cache)
      assert.equal(304, assert(s:get("/text", {headers = {["if-none-match"] = first.headers.etag}}))
        .status)
    end
  end)

  it("nginx: a file that has changed", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local peer = start_nginx(dir:path())
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(peer.stop)
    local cache, by = ahead()
    local s <close> = http.session({base = peer.url, cache = cache})
    assert(s:get("/fresh/text"))
    assert(fs.write(dir:path() .. "/www/text", "news"))
    assert.equal(1000, #assert(s:get("/fresh/text")).body)
    assert.equal("miss", assert(s:head("/fresh/text", {headers = {["cache-control"] = "no-cache"}}))
      .cache) -- which tells of the change
    assert.same({"miss", "news"}, {assert(s:get("/fresh/text")).cache, s:get("/fresh/text").body})
    assert(fs.write(dir:path() .. "/www/text", "more news"))
    by.seconds = 61
    assert.same({"miss", "more news"}, {assert(s:get("/fresh/text")).cache,
      s:get("/fresh/text").body})
  end)

  it("python: Last-Modified alone, and every kind of Cache-Control #heavy", function()
    if not support.has("python3") then return pending("python3 is not installed") end
    local dir <close> = assert(fs.temp({dir = true}))
    local peer = support.start("python3", "-c", [[
import http.server, urllib.parse
class H(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    n = 0
    def log_message(self, *a): pass
    def do_GET(self):
        if not self.path.startswith("/own"): return super().do_GET()
        H.n += 1
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if self.headers.get("If-None-Match") == '"e"':
            self.send_response(304)
            self.send_header("ETag", '"e"')
            return self.end_headers()
        body = ("%d %s" % (H.n, self.headers.get("Accept-Language"))).encode()
        self.send_response(200)
        for name, values in query.items():
            for value in values: self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.send_response(204)
        self.end_headers()
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print("port", s.server_address[1], flush=True)
s.serve_forever()]])
    local _ <close> = corun.defer(peer.stop)
    local cases = { -- what the server says, and what becomes of the second request, and of a later
      {"Cache-Control=max-age=60", "hit", "miss"}, {"Cache-Control=no-store", "miss", "miss"},
      {"Cache-Control=max-age=60&ETag=\"e\"", "hit", "revalidated"},
      {"Cache-Control=no-cache&ETag=\"e\"", "revalidated", "revalidated"},
      {"Cache-Control=private&Cache-Control=max-age=60", "hit", "miss"},
      {"ETag=\"e\"", "revalidated", "revalidated"}, {"X=1", "miss", "miss"},
      {"Expires=Fri, 01 Jan 2100 00:00:00 GMT", "hit", "hit"}, {"Expires=0", "miss", "miss"},
      {"Cache-Control=max-age=60&Vary=Accept-Language", "hit", "miss"},
      {"Cache-Control=max-age=60&Vary=*", "miss", "miss"},
    }
    for name, make in stores(dir:path() .. "/cache") do
      local cache, by = make()
      local s <close> = http.session({base = peer.url, cache = cache})
      for _, case in ipairs(cases) do
        local url = "/own?" .. case[1]:gsub('[" ,*:]', {['"'] = "%22", [" "] = "%20", [","] = "%2C",
          ["*"] = "%2A", [":"] = "%3A"}):gsub("max%-age=", "max-age%%3D")
        by.seconds = 0
        local outcomes = {assert(s:get(url)).cache, assert(s:get(url)).cache}
        by.seconds = 100
        outcomes[3] = assert(s:get(url)).cache
        assert.same({"miss", case[2], case[3]}, outcomes, name .. ": " .. case[1])
      end
      by.seconds = 0
      local vary = "/own?Cache-Control=max-age%3D60&Vary=Accept-Language"
      for _, outcome in ipairs{"miss", "hit"} do
        for _, language in ipairs{"de", "fr"} do
          local res = assert(s:get(vary, {headers = {["accept-language"] = language}}))
          assert.equal(outcome, res.cache)
          assert.matches(language .. "$", res.body)
        end
      end
      assert(s:post(vary))
      assert.equal("miss", assert(s:get(vary, {headers = {["accept-language"] = "de"}})).cache)
      local license = assert(s:get("/LICENSE"))
      by.seconds = 10 * 366 * 86400 -- long after any tenth of the file's age
      local again = assert(s:get("/LICENSE"))
      assert.same({"revalidated", license.body}, {again.cache, again.body})
    end
  end)
end)
