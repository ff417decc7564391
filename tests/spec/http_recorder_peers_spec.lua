-- SPDX-License-Identifier: MIT
-- http.recorder with other people's servers: a scrape of nginx and of Python, recorded once, is
-- replayed byte for byte when they have gone, and their network with them.

local corun = require("corun")
local fs = require("corun.fs")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")
local recorder = require("tests.spec.support.recorder")

local with, offline, told, files = recorder.with, recorder.offline, recorder.told, recorder.files

local CONF = [[
daemon off; master_process off; pid DIR/pid; error_log stderr crit;
events { worker_connections 256; }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
  uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; default_type text/plain; gzip_min_length 1;
  types { application/json json; }
  server { listen 127.0.0.1:PORT SECURE; root DIR/www;
    location /gz/ { gzip on; gzip_types *; alias DIR/www/; }
    location /moved { return 301 /gz/items.json?from=moved; }
    location /limited { limit_except GET { deny all; } return 200 "$request_method"; } } }]]

-- nginx in a folder of its own, with lines of TLS if they are given; nil where it is not installed.
local function start_nginx(folder, secure)
  local program = "/usr/sbin/nginx" -- which is in the path of few users
  if not support.has(program) then program = support.has("nginx") and "nginx" end
  if not program then return nil end
  local port = support.free_port()
  assert(fs.mkdir(folder .. "/www"))
  files.put(folder .. "/www/items.json", '{"items": [1, 2, 17000000000000001], "next": null}')
  files.put(folder .. "/www/big", ("0123456789"):rep(300000))
  files.put(folder .. "/www/binary", corun.codec.random(100000))
  local values = {DIR = folder, PORT = tostring(port), SECURE = secure or ""}
  files.put(folder .. "/nginx.conf", (CONF:gsub("%u%u%u%u+", values):gsub("DIR", folder)))
  return support.start("sh", "-c", "echo port $1; exec $2 -c $3", "sh", tostring(port), program,
    folder .. "/nginx.conf")
end

local function wait_for(url, options)
  local s <close> = corun.http.session(options)
  support.eventually("nginx listens", function() return (s:get(url)) ~= nil end)
end

-- What a session gets of nginx, in all the ways in which it can be asked.
local function scrape(s, url)
  local list = {}
  local function get(target, o) list[#list + 1] = told(s:get(url .. target, o)) end
  for _, stream in ipairs{false, true} do
    get("/items.json", {stream = stream})
    get("/gz/items.json", {stream = stream})
    get("/gz/items.json", {stream = stream, decode = false})
    get("/gz/big", {stream = stream})
    get("/binary", {stream = stream})
    get("/big", {stream = stream, headers = {range = "bytes=10-19"}})
    get("/big", {stream = stream, headers = {range = "bytes=20-39"}})
    get("/nowhere", {stream = stream})
    get("/moved", {stream = stream})
  end
  list[#list + 1] = told(s:head(url .. "/gz/items.json"))
  list[#list + 1] = told(s:post(url .. "/limited", {json = {a = 1}}))
  return list
end

local PYTHON = [[
import json, sys, zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
busy = [2]
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def answer(self, status, reason, headers, body):
        self.send_response(status, reason)
        for name, value in headers: self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        text = json.dumps({"got": len(body), "type": self.headers["Content-Type"]}).encode()
        self.answer(201, "Made", [("Content-Type", "application/json"),
            ("Content-Length", str(len(text)))], text)
    def do_GET(self):
        if self.path == "/page":
            body = "caf\xe9".encode("latin-1")
            self.answer(200, "Very  Fine", [("CONTENT-Type", "text/plain; charset=latin1"),
                ("X-b", "1"), ("x-A", "2"), ("X-B", " 3"), ("Link", '</page?n=2>; rel="next"'),
                ("Content-Length", str(len(body)))], body)
        elif self.path == "/deflate":
            body = zlib.compress(b"deflated " * 100)
            self.answer(200, "OK", [("Content-Encoding", "deflate"), ("Connection", "close")], body)
            self.close_connection = True
        elif self.path == "/busy" and busy[0] > 0:
            busy[0] -= 1
            self.answer(503, "Busy", [("Retry-After", "0"), ("Content-Length", "0")], b"")
        elif self.path == "/cut":
            self.answer(200, "OK", [("Content-Length", "1000")], b"only this")
            self.close_connection = True
        else:
            cookie = (self.headers["Cookie"] or "").split("=")[0]
            self.answer(200, "OK", [("Set-Cookie", "visited=yes; Path=/"), ("Set-Cookie", "n=1"),
                ("Content-Length", str(len(cookie)))], cookie.encode())
s = ThreadingHTTPServer(("127.0.0.1", 0), H)
print("port", s.server_address[1], flush=True)
s.serve_forever()]]

describe("http.recorder with real servers", function()
  it("nginx: gzip and chunked, ranges, redirects, errors, whole and streamed", function()
    local dir <close>, path = recorder.folder()
    local peer = start_nginx(dir:path())
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(peer.stop)
    local url = peer.url
    wait_for(url)
    local recorded = with(path, "record", function(s) return scrape(s, url) end)
    assert.equal(17000000000000001, recorded[2].json.items[3])
    assert.equal("gzip", recorded[2].headers["content-encoding"])
    assert.equal(3000000, #recorded[4].body)
    assert.equal("0123456789", recorded[6].body)
    assert.equal(1, recorded[9].history)
    peer.stop()
    assert.same(recorded, offline(path, function(s) return scrape(s, url) end))
    for name, bytes in pairs(recorder.contents(path)) do -- as other tools see it
      if name:find("_gz_big_GET_%x+%-1%.rec%.body$") then
        assert.is_true(#bytes < 100000)
        local out, good = support.run("sh", "-c", "zcat < \"$1\" | wc -c", "sh",
          path .. "/" .. name)
        assert.is_true(good)
        assert.matches("3000000", out)
      end
    end
  end)

  it("nginx over TLS, which is not spoken when it is replayed", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local dir <close>, path = recorder.folder()
    local pems = certificates.make_certificates()
    local _ <close> = corun.defer(function() certificates.remove(pems) end)
    local peer = start_nginx(dir:path(), ("ssl; ssl_certificate %sgood.pem; ssl_certificate_key "
      .. "%skey.pem"):format(pems, pems))
    if not peer then return pending("nginx is not installed") end
    local _ <close> = corun.defer(peer.stop)
    local url = peer.url:gsub("^http:", "https:")
    local tls = {tls = {ca = pems .. "ca.pem"}}
    wait_for(url, tls)
    local recorded = with(path, "record", function(s) return scrape(s, url) end, nil, tls)
    assert.equal("0123456789", recorded[6].body)
    peer.stop()
    assert.same(recorded, offline(path, function(s) return scrape(s, url) end))
  end)

  it("python: header lines, reasons, charsets, retries, cookies, a body that is cut", function()
    if not support.has("python3") then return pending("python3 is not installed") end
    local _ <close>, path = recorder.folder()
    local peer = support.start("python3", "-c", PYTHON)
    local _ <close> = corun.defer(peer.stop)
    local url = peer.url
    local function all(s)
      local list = {}
      local function get(target, o) list[#list + 1] = told(s:get(url .. target, o)) end
      for _, stream in ipairs{false, true} do
        get("/page", {stream = stream})
        get("/deflate", {stream = stream})
        get("/cut", {stream = stream})
        get("/visit", {stream = stream})
      end
      get("/busy", {retries = {min = 0.001}})
      list[#list + 1] = told(s:post(url .. "/p", {multipart = {file = {path = "LICENSE"}}}))
      list[#list + 1] = told(s:post(url .. "/p", {form = {user = "x", password = "y"}}))
      list.retries = s:stats().retries
      return list
    end
    local recorded = with(path, "record", all)
    assert.equal("caf\u{e9}", recorded[1].text)
    assert.equal(url .. "/page?n=2", recorded[1].links.next.url)
    assert.equal(900, #recorded[2].body)
    assert.equal("EOF", recorded[3].code)
    assert.is_nil(recorded[7].body)
    assert.equal(200, recorded[9].status)
    assert.equal("visited", recorded[8].body)
    peer.stop()
    for _, i in ipairs{4, 8, 9} do -- values of cookies are not kept
      recorded[i].block = recorded[i].block:gsub("visited=yes", "visited=REDACTED")
        :gsub("n=1", "n=REDACTED")
      recorded[i].headers["set-cookie"] = {"visited=REDACTED; Path=/", "n=REDACTED"}
    end
    assert.same(recorded, offline(path, all))
    for name, text in pairs(recorder.contents(path)) do
      if name:find("_page_GET_%x+%-1%.rec%.json$") then
        assert.is_truthy(text:find('"status_line": "HTTP/1.1 200 Very  Fine"', 1, true))
        assert.matches('"X%-b: 1",%s+"x%-A: 2",%s+"X%-B:  3",%s+"Link: ', text)
      end
    end
  end)
end)
